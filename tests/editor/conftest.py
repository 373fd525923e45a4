"""An editor without a browser, and somebody at its panels; a test file may have its own editor."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from acting import RED, Somebody

from dff.editor.app import Editor
from dff.editor.asking import ask_text
from dff.editor.session import Session
from dff.editor.window import Window
from dff.edits.operations import Opacity


@pytest.fixture
def editor(scene, tmp_path) -> Iterator[Editor]:
    editor = Editor(Session(scene, tmp_path / "edits"), port=8800)
    editor.set_look(size=48)
    yield editor
    editor.stop()


@pytest.fixture
def somebody(editor) -> Any:
    somebody: Any = Somebody(editor.server.scene)
    editor.windows[somebody.client_id] = Window(editor, somebody)
    return somebody


@pytest.fixture
def working(editor, somebody) -> Any:
    """Somebody with a step to work on and the thing of it selected."""
    somebody.editor = editor
    editor.session.choose(ask_text(editor.session.scene, RED))
    editor.steps_panel.work_on(editor.session.apply(Opacity(factor=0.5)))
    editor.actions.do(editor.refresh)
    editor.actions.wait()
    return somebody
