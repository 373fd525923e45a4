"""A scene that a step draws on is opened once, beside the editing."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from acting import GREEN, PATIENCE, press

from dff.editor.app import Editor
from dff.editor.asking import ask_text
from dff.editor.opening import OPENING
from dff.editor.session import Session
from dff.edits.operations import Insert, Replace


@pytest.fixture
def editor(scene, other, tmp_path) -> Iterator[Editor]:
    editor = Editor(Session(scene, tmp_path / "edits", trusted=[tmp_path]), port=8780)
    yield editor
    editor.stop()


@pytest.fixture
def said(editor, monkeypatch) -> list[str]:
    lines: list[str] = []
    monkeypatch.setattr(editor, "say", lambda line, *_: lines.append(line))
    return lines


@pytest.fixture
def loading(editor, monkeypatch) -> Any:
    """Counts what is loaded, which takes until somebody says so."""
    loading, others = SimpleNamespace(count=0, go_on=threading.Event()), editor.session.scene.others
    load = others._load

    def wait(*given: Any) -> Any:
        loading.count += 1
        assert loading.go_on.wait(PATIENCE)
        return load(*given)

    monkeypatch.setattr(others, "_load", wait)
    return loading


def ask_for(editor: Editor, kind: str, words: str, where: str = "../other/config.yml") -> None:
    """Fill in the form and press Apply."""
    panel = editor.edit_panel
    panel._which.value = kind
    panel._show_form(kind)
    fields = panel._forms[kind]._fields
    fields["scene"].write(where)
    if kind == "insert":
        panel._words.value = words
    else:
        fields["by"].handles[1].value = words
    apply(editor)


def apply(editor: Editor) -> None:
    press(editor.edit_panel._apply, SimpleNamespace(client_id=1))
    editor.actions.wait()


def opened(editor: Editor) -> None:
    editor.tasks.wait(PATIENCE)
    editor.actions.wait()


def test_a_thing_is_inserted_when_its_scene_is_open(editor, said, loading):
    session = editor.session
    ask_for(editor, "insert", "red")
    # The queue is free: other things are done meanwhile.
    assert editor.tasks.doing == OPENING
    assert not session.document.steps
    editor.edit_panel._words.value = "something else"
    apply(editor)
    assert said.pop() == f"{OPENING} is still at work: wait, or cancel it"
    loading.go_on.set()
    opened(editor)
    (step,) = session.document.steps
    assert isinstance(step.operation, Insert)
    assert step.selection.text == ("red",)
    assert editor.steps_panel.current == 0
    # And is not loaded again by what is done then.
    ask_for(editor, "insert", "green")
    assert not editor.tasks.busy
    assert len(session.document.steps) == 2
    editor.do(session.undo)
    editor.actions.wait()
    assert loading.count == 1
    assert said == ["the other scene is open"]


def test_what_is_replaced_is_what_was_selected_then(editor, said, loading):
    session = editor.session
    session.choose(ask_text(session.scene, GREEN))
    ask_for(editor, "replace", "red")
    editor.do(session.clear)
    loading.go_on.set()
    opened(editor)
    (step,) = session.document.steps
    assert isinstance(step.operation, Replace)
    assert step.selection.text == ("green",)


def test_another_scene_in_a_form_is_opened_first(editor, said, loading):
    session = editor.session
    session.choose(ask_text(session.scene, GREEN))
    session.apply(Replace(by=session.described()))
    editor.do(lambda: editor.steps_panel.work_on(0))
    editor.actions.wait()
    panel = editor.edit_panel
    fields = panel._forms["replace"]._fields
    fields["scene"].write("../other/config.yml")
    fields["by"].handles[1].value = "red"
    panel._changed(SimpleNamespace(client=SimpleNamespace(client_id=1)))
    editor.actions.wait()
    assert editor.tasks.doing == OPENING
    loading.go_on.set()
    opened(editor)
    assert session.document.steps[0].operation.scene == "../other/config.yml"
    assert session.document.steps[0].operation.by.text == ("red",)


def test_beside_other_work_it_is_opened_at_once(editor, said, loading):
    go_on = threading.Event()
    editor.tasks.start("Rendering", lambda progress: str(go_on.wait(PATIENCE)))
    loading.go_on.set()
    ask_for(editor, "insert", "red")
    assert len(editor.session.document.steps) == 1
    go_on.set()


def test_one_that_is_cancelled_is_not_inserted(editor, said, loading):
    ask_for(editor, "insert", "red")
    editor.tasks.cancel()
    loading.go_on.set()
    opened(editor)
    assert not editor.session.document.steps
    assert said == [f"{OPENING}: cancelled"]


def test_one_that_may_not_be_read_is_not_opened(editor, said):
    ask_for(editor, "insert", "red", "../edits/config.yml")
    assert "there is no such file" in said[0]
    assert not editor.tasks.busy
