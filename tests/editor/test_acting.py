"""Panels without a browser: what a person does to their elements, and what they show then."""

from __future__ import annotations

import io
import threading
from types import SimpleNamespace
from typing import Any

import pytest
from acting import GREEN, PATIENCE, press, set_to
from PIL import Image

from dff.editor.app import Editor
from dff.editor.asking import ask_text
from dff.editor.panels.repaint import in_our_words
from dff.edits.operations import Opacity
from dff.query.text import TextQuery


def test_a_form_shows_what_is_in_force_after_a_refusal(editor, working):
    (slider,) = editor.edit_panel._forms["opacity"]._fields["factor"].handles
    set_to(slider, 0.25, working)
    assert editor.session.document.steps[0].operation == Opacity(factor=0.25)
    set_to(slider, 1000.0, working)
    assert working.said
    assert slider.value == 0.25
    assert editor.session.document.steps[0].operation == Opacity(factor=0.25)


def test_a_refinement_that_is_refused_is_not_shown(editor, working):
    grow = editor.select_panel._refine._grow
    set_to(grow, 0.05, working)
    assert editor.session.choice.refinement.grow == 0.05
    set_to(grow, -3.0, working)
    assert working.said
    assert grow.value == 0.05
    editor.session.clear()
    set_to(grow, 0.1, working)
    assert grow.value == 0.0


def test_a_press_means_what_the_fields_say_then(editor, working):
    panel, go_on = editor.select_panel, threading.Event()
    panel._words._impl.value = "green"
    editor.actions.do(lambda: go_on.wait(PATIENCE))
    press(panel._find, working)
    panel._words._impl.value = "zebra"
    go_on.set()
    editor.actions.wait()
    assert editor.session.choice.asked.label == "green"
    assert not working.said


def test_an_empty_prompt_is_refused_whatever_is_typed_later(editor, working):
    panel = editor.edit_panel._repaint
    press(panel._start, working)
    assert "prompt" in working.said[0]
    editor.actions.wait()
    assert not editor.tasks.busy


def test_the_panel_names_its_own_fields():
    said = in_our_words("get it and give it by --clip.checkpoint, or put it into the cache")
    assert said == "get it and give it in the field 'CLIP weights', or put it into the cache"


def test_weights_are_looked_for_beside_the_queue(editor, working, monkeypatch):
    found, go_on = [], threading.Event()

    def find(options: Any) -> Any:
        found.append(options.checkpoint.name)
        assert go_on.wait(PATIENCE)
        raise RuntimeError("enough")

    monkeypatch.setattr("dff.repaint.tower.find_tower", find)
    panel = editor.edit_panel._repaint
    panel._prompt._impl.value, panel._checkpoint._impl.value = "a plum", "x.pt"
    press(panel._start, working)
    editor.actions.wait()
    assert editor.tasks.busy
    go_on.set()
    editor.tasks.wait(PATIENCE)
    assert found == ["x.pt"]


def test_a_large_picture_is_kept_small(editor, working):
    buffer = io.BytesIO()
    Image.new("RGB", (3000, 1500), (220, 30, 20)).save(buffer, format="PNG")
    upload = editor.select_panel._upload
    upload._impl.value = SimpleNamespace(name="plum.png", content=buffer.getvalue())
    press(upload, working)
    editor.actions.wait()
    assert not working.said
    (kept,) = (editor.session.folder / "pictures").iterdir()
    with Image.open(kept) as picture:
        assert max(picture.size) == 1024
    assert editor.session.choice.asked.label == "plum"


def test_showing_a_kept_selection_shows_it(editor, working):
    panel = editor.select_panel._kept
    panel._take(editor.session.keep("apple"))
    set_to(panel._shown, True, working)
    assert editor.session.kept.named["apple"].shown
    assert editor.look.output == "selection"


def test_what_is_shown_of_kept_selections_is_what_was_chosen_then(editor, working):
    kept, panel, go_on = editor.session.kept, editor.select_panel._kept, threading.Event()
    for name in ("apple", "plum"):
        panel._take(editor.session.keep(name))
    before = kept.named["apple"].colour
    editor.actions.do(lambda: go_on.wait(PATIENCE))
    for name, colour in (("plum", (255, 0, 0)), ("apple", (0, 255, 0)), ("plum", (0, 0, 255))):
        panel._which._impl.value = name
        panel._colour._impl.value = colour
        press(panel._colour, working)
    panel._shown._impl.value = True
    press(panel._shown, working)
    panel._which._impl.value = "apple"
    go_on.set()
    editor.actions.wait()
    assert {name: each.shown for name, each in kept.named.items()} == {
        "apple": False,
        "plum": True,
    }
    assert before != kept.named["apple"].colour == (0.0, 1.0, 0.0)
    assert kept.named["plum"].colour == (0.0, 0.0, 1.0)


def test_two_fast_clicks_switch_a_step_back(editor, working):
    box, go_on = editor.steps_panel._enabled, threading.Event()
    before = editor.session.stack.moments
    editor.actions.do(lambda: go_on.wait(PATIENCE))
    for value in (False, True):
        box._impl.value = value
        press(box, working)
    go_on.set()
    editor.actions.wait()
    assert editor.session.document.steps[0].enabled
    assert editor.session.stack.moments == before
    set_to(box, False, working)
    assert not editor.session.document.steps[0].enabled


@pytest.fixture
def replacing(editor, working) -> Any:
    """Somebody who is about to put one of two kept selections where the red thing is."""
    editor.session.keep("other")
    editor.session.keep("apple")
    panel = editor.edit_panel
    set_to(panel._which, "replace", working)
    panel._forms["replace"]._fields["by"].handles[0]._impl.value = "apple"
    return working


def replaced_by(editor: Editor) -> Any:
    return editor.session.document.steps[-1].operation.by.file


def test_what_is_put_there_is_what_is_kept_now(editor, replacing):
    session, panel = editor.session, editor.edit_panel
    press(panel._apply, replacing)
    editor.actions.wait()
    before = session.kept.files["apple"]
    assert replaced_by(editor) == before
    press(panel._done, replacing)
    editor.actions.wait()
    session.choose(ask_text(session.scene, GREEN))
    session.keep("apple")
    press(panel._apply, replacing)
    editor.actions.wait()
    assert not replacing.said
    assert replaced_by(editor) == session.kept.files["apple"] != before


def test_what_is_put_there_is_what_was_chosen_when_apply_was_pressed(editor, replacing):
    session, panel, go_on = editor.session, editor.edit_panel, threading.Event()
    session.choose(ask_text(session.scene, GREEN))
    session.keep("other")
    editor.actions.do(lambda: go_on.wait(PATIENCE))
    press(panel._apply, replacing)
    panel._forms["replace"]._fields["by"].handles[0]._impl.value = "other"
    go_on.set()
    editor.actions.wait()
    assert replaced_by(editor) == session.kept.files["apple"] != session.kept.files["other"]


def test_that_nothing_is_selected_is_said_where_something_would_be_seen(editor, working):
    line = editor.look_panel._nothing
    for output in ("colour", "heatmap", "selection"):
        set_to(editor.look_panel._output, output, working)
        assert not line.visible
    editor.session.clear()
    for output, said in (("colour", False), ("heatmap", True), ("selection", True)):
        set_to(editor.look_panel._output, output, working)
        assert line.visible == said


def test_an_empty_common_part_is_not_put_on_the_threshold(editor, working):
    session = editor.session
    session.keep("red")
    session.choose(ask_text(session.scene, TextQuery(("green",), ("table", "sky", "red"))))
    session.combine("red", "intersect")
    editor.select_panel.refresh()
    assert session.choice.selection.count == 0
    assert "nothing is left of it" in editor.select_panel._now.content


def test_a_path_is_saved_with_the_name_that_it_had(editor, working):
    panel, go_on = editor.path_panel, threading.Event()
    working.send_file_download = lambda *_given, **_how: None
    for place in ((0.0, 0.0, 1.0), (0.0, 1.0, 1.0)):
        working.camera.position = place
        press(panel._add, working)
        editor.actions.wait()
    editor.actions.do(lambda: go_on.wait(PATIENCE))
    panel._name._impl.value = "first"
    press(panel._save, working)
    panel._name._impl.value = "second"
    go_on.set()
    editor.actions.wait()
    assert [path.name for path in (editor.session.folder / "paths").iterdir()] == ["first.json"]


def test_a_preview_ends_when_one_begins_anew_or_presses_again(editor, working):
    panel, window = editor.path_panel, editor.windows[working.client_id]
    panel._seconds._impl.value = 600.0
    for end in (panel._preview, editor._cancel, panel._clear):
        for place in ((0.0, 0.0, 1.0), (0.0, 1.0, 1.0)):
            working.camera.position = place
            press(panel._add, working)
        editor.actions.wait()
        press(panel._preview, working)
        editor.actions.wait()
        thread = window.preview._thread
        assert thread.is_alive()
        press(end, working)
        editor.actions.wait()
        thread.join(PATIENCE)
        assert not thread.is_alive()
