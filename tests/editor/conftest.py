"""Somebody at the panels of the `editor` that a test file has."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from acting import RED, Somebody

from dff.editor.asking import ask_text
from dff.editor.window import Window
from dff.edits.operations import Opacity


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
