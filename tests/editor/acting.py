"""A person at the panels without a browser, and what they do to elements."""

from __future__ import annotations

import contextlib
from types import SimpleNamespace
from typing import Any

from dff.query.text import TextQuery

PATIENCE = 60.0
RED = TextQuery(("red",), ("table", "sky"))
GREEN = TextQuery(("green",), ("table", "sky"))


class Somebody:
    """A window as viser tells of it, without a browser: remembers what was said in it."""

    client_id = 7

    def __init__(self, scene: Any) -> None:
        self.scene, self.said = scene, []
        self.camera = SimpleNamespace(
            position=(0.0, 0.0, 0.0),
            wxyz=(1.0, 0.0, 0.0, 0.0),
            fov=1.0,
            aspect=1.5,
            on_update=lambda action: None,
        )

    def atomic(self) -> contextlib.AbstractContextManager:
        return contextlib.nullcontext()

    def add_notification(self, _title: str, line: str, **_how: Any) -> None:
        self.said.append(line)


def press(handle: Any, client: Any) -> None:
    """Press a button; what it asks for is done later."""
    for action in handle._impl.update_cb:
        action(SimpleNamespace(client=client, target=handle))


def set_to(handle: Any, value: Any, client: Any) -> None:
    """Change an element as a browser does, and wait until that is acted on."""
    handle._impl.value = value
    press(handle, client)
    client.editor.actions.wait()
