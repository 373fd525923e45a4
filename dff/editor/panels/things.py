"""The things that the inventory finds in the scene."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from dff.editor.asking import ask_thing
from dff.editor.compat import ShownPicture
from dff.editor.elements import NOTHING
from dff.inventory import Entry, entries_of, naming_teacher, picture_of
from dff.pictures import to_bytes

if TYPE_CHECKING:
    from dff.editor.app import Editor


class ThingsPanel:
    """A list of what there is, found when it is asked for.

    Args:
        editor: whose.
    """

    def __init__(self, editor: Editor) -> None:
        self._editor = editor
        gui: Any = editor.server.gui
        self._find = gui.add_button("List the things")
        self._which = gui.add_dropdown("Things", (NOTHING,), visible=False)
        self._picture = ShownPicture(gui, np.zeros((8, 8, 3), dtype=np.uint8))
        self._picture.visible = False
        self._found: dict[str, Entry] = {}
        editor.on_click(self._find, self._list)
        editor.on_change(self._which, self._take)

    def refresh(self) -> None:
        """Nothing of it depends on the session."""

    def _list(self) -> None:
        scene = self._editor.session.scene

        def work(progress: Callable[[float], None]) -> str:
            words = self._editor.words or None
            teacher = naming_teacher(scene, words, None)
            progress(0.1)
            entries = entries_of(scene, words, teacher, self._editor.say)
            progress(1.0)
            self._editor.do(lambda: self._offer(entries))
            return f"{len(entries)} thing{'s' * (len(entries) != 1)} in the scene"

        self._editor.tasks.start("Listing the things", work)

    def _offer(self, entries: Sequence[Entry]) -> None:
        self._found = {f"{entry.number}. {_label(entry)}": entry for entry in entries}
        self._which.options = (NOTHING, *self._found)
        self._which.visible = True

    def _take(self, name: str) -> None:
        thing = self._found.get(name)
        if thing is None:
            return
        session = self._editor.session
        session.choose(ask_thing(session.scene, thing.thing, _label(thing)))
        picture = picture_of(session.scene, thing)
        self._picture.visible = picture is not None
        if picture is not None:
            self._picture.show(to_bytes(picture))
        self._editor.show_selection()


def _label(entry: Entry) -> str:
    return "thing" if entry.name is None else entry.name.label
