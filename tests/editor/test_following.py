"""The step that is changed is the one that the panels name, and its form shows what it holds."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace

import pytest

from dff.editor.app import Editor
from dff.editor.asking import ask_text
from dff.editor.session import Session
from dff.editor.work_file import WouldReplaceError
from dff.edits.operations import Delete, Transform
from dff.edits.recolours import HueShift
from dff.edits.stack import EditStack
from dff.edits.storage import load_document
from dff.query.text import TextQuery

HUE = "recolour: hue"


@pytest.fixture
def editor(scene, tmp_path) -> Iterator[Editor]:
    editor = Editor(Session(scene, tmp_path / "edits"), port=8750)
    yield editor
    editor.stop()


def do(editor: Editor, action) -> None:
    """What a press does, until everything shows it."""
    editor.do(action)
    editor.actions.wait()


def apply(editor: Editor, kind: str, **values) -> None:
    """Do something to what is red, with these parameters."""
    session = editor.session
    session.choose(ask_text(session.scene, TextQuery(("red",), ("table", "sky"))))
    panel = editor.edit_panel
    panel._which.value = kind
    panel._choose(kind)
    write(editor, kind, **values)
    do(editor, lambda: session.apply(shown(editor, kind)))
    do(editor, lambda: editor.steps_panel.work_on(len(session.document.steps) - 1))


def write(editor: Editor, kind: str, **values) -> None:
    for name, value in values.items():
        editor.edit_panel._forms[kind]._fields[name].write(value)


def change(editor: Editor, kind: str, **values) -> None:
    """A person changes parameters in the form."""
    write(editor, kind, **values)
    person = SimpleNamespace(scene=None, add_notification=lambda *_, **__: None)
    editor.edit_panel._changed(SimpleNamespace(client=person))
    editor.actions.wait()


def shown(editor: Editor, kind: str):
    assert editor.edit_panel._which.value == kind
    return editor.edit_panel._forms[kind].operation()


def degrees(editor: Editor) -> list[float]:
    found = []
    for step in editor.session.document.steps:
        assert isinstance(step.operation, HueShift)
        found.append(step.operation.degrees)
    return found


def test_after_undoing_a_step_none_is_changed_until_one_is_chosen(editor):
    session, panel = editor.session, editor.edit_panel
    apply(editor, HUE, degrees=90.0)
    do(editor, lambda: editor.steps_panel.work_on(None))
    apply(editor, HUE, degrees=-90.0)
    assert panel._now.content == "Changing **step 2**"
    do(editor, session.undo)
    assert panel._now.content == ""
    assert not panel._done.visible
    change(editor, HUE, degrees=-100.0)
    assert degrees(editor) == [90.0]
    do(editor, lambda: editor.steps_panel.work_on(0))
    assert shown(editor, HUE) == HueShift(degrees=90)
    do(editor, session.undo)
    assert not session.document.steps
    assert editor.steps_panel.current is None
    assert not panel._done.visible
    assert "No steps yet" in editor.steps_panel._list.content


def test_the_form_shows_what_undo_gives_back(editor):
    session = editor.session
    apply(editor, "transform")
    do(editor, lambda: session.update(0, Transform(translate=(0.0, 0.0, 0.04))))
    assert shown(editor, "transform").translate == (0.0, 0.0, 0.04)
    do(editor, session.undo)
    assert shown(editor, "transform").translate == (0.0, 0.0, 0.0)
    assert editor.steps_panel.current == 0
    change(editor, "transform", scale=0.5)
    assert session.document.steps[0].operation == Transform(scale=0.5)
    do(editor, session.undo)
    do(editor, session.redo)
    assert shown(editor, "transform") == Transform(scale=0.5)


def test_the_step_that_is_changed_stays_the_same_wherever_it_goes(editor):
    session = editor.session
    for angle in (10.0, 20.0, 30.0):
        apply(editor, HUE, degrees=angle)
    do(editor, lambda: editor.steps_panel.work_on(1))
    do(editor, lambda: session.change(lambda stack: stack.remove(0)))
    assert editor.steps_panel.current == 0
    assert editor.edit_panel._now.content == "Changing **step 1**"
    change(editor, HUE, degrees=25.0)
    assert degrees(editor) == [25.0, 30.0]
    do(editor, lambda: editor.steps_panel._move("down"))
    assert editor.steps_panel.current == 1
    assert degrees(editor) == [30.0, 25.0]
    change(editor, HUE, degrees=26.0)
    assert degrees(editor) == [30.0, 26.0]
    do(editor, lambda: editor.steps_panel._do(EditStack.remove))
    assert editor.steps_panel.current is None


def test_another_document_is_no_step_that_is_changed(editor):
    session = editor.session
    apply(editor, HUE, degrees=90.0)
    session.save("first.yml")
    session.save("second.yml")
    do(editor, lambda: editor.keep_panel._open_it("first.yml"))
    assert editor.steps_panel.current is None


def test_what_is_typed_and_refused_stays_to_be_mended(editor):
    kind = "recolour: curves"
    apply(editor, kind, all=((0.0, 0.0), (1.0, 0.5)))
    text = editor.edit_panel._forms[kind]._fields["all"].handles[0]
    before = editor.session.document
    text.value = "0,0 1,one"
    change(editor, kind)
    do(editor, lambda: None)
    assert text.value == "0,0 1,one"
    assert editor.session.document == before


def test_saving_over_another_document_is_pressed_twice(editor):
    panel, session = editor.keep_panel, editor.session
    apply(editor, HUE, degrees=90.0)
    for name in ("first.yml", "second.yml", "third.yml"):
        session.save(name)
    do(editor, session.undo)
    for name in ("first.yml", "second.yml", "first.yml"):
        with pytest.raises(WouldReplaceError, match="press Save again"):
            panel.save(name)
        assert load_document(session.folder / name).steps
    panel.save("first.yml")
    assert not load_document(session.folder / "first.yml").steps
    assert session.path.name == "first.yml"
    panel.save()


def test_unsaved_work_is_offered_until_somebody_answers(editor, scene):
    apply(editor, HUE, degrees=90.0)
    later = Editor(Session(scene, editor.session.folder), port=8760)
    try:
        panel = later.recovery_panel
        later.actions.wait()
        assert panel._recover.visible
        assert "1 step " in panel._what.content
        apply(later, "delete")
        do(later, later.session.save)
        assert panel._recover.visible
        do(later, panel._recover_it)
        assert not panel._recover.visible
        assert degrees(later) == [90.0]
        assert later.steps_panel.current is None
        do(later, later.session.undo)
        assert later.session.document.steps[0].operation == Delete()
    finally:
        later.stop()
