"""Every operation has a panel with all of its parameters, and what it says is what is shown."""

from __future__ import annotations

import pytest

from dff.editor.compat import serve
from dff.editor.forms import BEGINNINGS, Form, kind_of, kinds
from dff.edits.operations import OPERATIONS, RECOLOR_FUNCTIONS, Background, Insert, Replace
from dff.edits.recolours import Curves
from dff.edits.selections import FileSelection
from dff.errors import DffError

KEPT = {"apple": "selections/apple.npz"}
# What some operations cannot do without.
GIVEN = {
    "insert": {"scene": "x/config.yml"},
    "replace": {"by": {"file": "selections/apple.npz"}},
    "recolour: tint": {"color": (1.0, 0.0, 0.0)},
    "recolour: set": {"color": (1.0, 0.0, 0.0)},
}


@pytest.fixture(scope="module")
def gui():
    server = serve("127.0.0.1", 8700, "forms")
    yield server.gui
    server.stop()


def a_form(gui, name: str, changed=lambda event: None) -> Form:
    return Form(gui, kinds()[name], lambda: KEPT, changed)


def test_all_operations_have_one_but_repainting_which_is_trained():
    names = {name.removeprefix("recolour: ") for name in kinds()}
    assert names == (set(OPERATIONS) | set(RECOLOR_FUNCTIONS)) - {"repaint"}


@pytest.mark.parametrize("name", kinds())
def test_what_a_form_begins_with_is_an_operation(gui, name):
    form = a_form(gui, name)
    if kinds()[name] is Insert:
        with pytest.raises(DffError, match="say which scene"):
            form.operation()
        form._fields["scene"].write("other/config.yml")
    operation = form.operation()
    assert kind_of(operation) == name
    required = [n for n, f in type(operation).model_fields.items() if f.is_required()]
    for field in set(required) & set(BEGINNINGS):
        assert getattr(operation, field) == pytest.approx(BEGINNINGS[field], abs=0.01)


@pytest.mark.parametrize(
    "data",
    [
        {"type": "delete", "fill": True},
        {"type": "opacity", "factor": 0.25},
        {"type": "transform", "translate": (0.1, 0.0, -0.2), "rotate": (0.0, 0.0, 45.0)},
        {"type": "transform", "scale": 1.5, "pivot": (0.1, 0.2, 0.3), "axes": "object"},
        {"type": "duplicate", "count": 3, "translate": (0.1, 0.0, 0.0), "pivot": "base"},
        {"type": "insert", "scene": "x/config.yml", "at": (0.0, 0.5, 0.0)},
        {"type": "replace", "by": {"file": "selections/apple.npz"}, "pivot": "center"},
        {"type": "replace", "scene": "x/config.yml", "by": {"text": ["red"], "softness": 0.2}},
        {"type": "replace", "by": {"click": ["0.1,0.2,0.3"]}},
        {"type": "background", "color": None},
        {"type": "background", "color": (1.0, 0.0, 0.2)},
        {"type": "recolor", "function": "hue", "degrees": -90.0},
        {"type": "recolor", "function": "tint", "color": (0.2, 0.4, 0.6), "strength": 0.75},
        {"type": "recolor", "function": "set", "color": (0.0, 1.0, 0.0), "gain": 2.0},
        {"type": "recolor", "function": "channels", "order": "bgr"},
        {"type": "recolor", "function": "curves", "red": ((0.0, 0.1), (1.0, 0.9)), "smooth": False},
    ],
)
def test_what_is_shown_is_what_is_said(gui, data):
    models = RECOLOR_FUNCTIONS if data["type"] == "recolor" else OPERATIONS
    operation = models[data.get("function", data["type"])].model_validate(data)
    form = a_form(gui, kind_of(operation))
    form.show(operation)
    assert form.operation() == operation


def test_what_cannot_be_is_said_in_one_line(gui):
    form = a_form(gui, "recolour: curves")
    for text, said in (("0,0 1,one", "a curve is written"), ("0,0 0,1", "left to right")):
        form._fields["all"].handles[0].value = text
        with pytest.raises(DffError, match=said):
            form.operation()
    form._fields["all"].handles[0].value = ""
    with pytest.raises(DffError, match="at least one curve"):
        form.operation()


def test_replacing_needs_a_kept_selection(gui):
    form = Form(gui, Replace, dict, lambda event: None)
    with pytest.raises(DffError, match="keep a selection"):
        form.operation()
    form = a_form(gui, "replace")
    assert form.operation().by == FileSelection(file="selections/apple.npz")


def test_what_was_put_there_before_is_forgotten(gui):
    kept = dict(KEPT)
    form = Form(gui, Replace, lambda: kept, lambda event: None)
    before = form.operation()
    form.show(before)
    kept["apple"] = "selections/other.npz"
    assert form.operation() == before
    form.forget()
    assert form.operation().by == FileSelection(file="selections/other.npz")


def test_a_name_means_the_file_that_it_has_when_a_step_is_made(gui):
    kept = dict(KEPT)
    form = Form(gui, Replace, lambda: kept, lambda event: None)
    said = form.said()
    kept["apple"] = "selections/other.npz"
    assert form.operation(said).by == FileSelection(file="selections/other.npz")


def test_only_the_form_that_is_chosen_is_seen(gui):
    form = a_form(gui, "delete")
    form.visible = False
    assert not form.visible
    assert Background().color is None
    assert Curves(all=((0.0, 0.0), (1.0, 1.0))).smooth


@pytest.mark.parametrize("name", kinds())
def test_sliders_reach_nothing_that_would_be_refused(gui, name):
    form = a_form(gui, name)
    for field in set(form._fields) & {"factor", "scale", "gain", "strength", "count", "degrees"}:
        (slider,) = form._fields[field].handles
        for end in (slider.min, slider.max):
            model = kinds()[name]
            assert end == pytest.approx(
                getattr(model.model_validate({**GIVEN.get(name, {}), field: end}), field)
            )


def test_a_full_slider_of_opacity_changes_nothing(gui):
    (slider,) = a_form(gui, "opacity")._fields["factor"].handles
    assert (slider.min, slider.max) == (0.0, 1.0)


@pytest.mark.parametrize(
    ("name", "field", "value", "hidden"),
    [
        ("transform", "pivot", "center", [False, True]),
        ("transform", "pivot", (0.0, 0.0, 1.0), [False, False]),
        ("insert", "at", None, [False, True]),
        ("insert", "at", (0.0, 0.0, 1.0), [False, False]),
        ("background", "color", None, [False, True]),
        ("background", "color", (1.0, 0.0, 0.0), [False, False]),
        ("replace", "scene", None, [False]),
    ],
)
def test_only_fields_that_do_something_are_seen(gui, name, field, value, hidden):
    form = a_form(gui, name)
    form._fields[field].write(value)
    form._hide_idle()
    handles = form._fields[field].handles
    assert [not handle.visible for handle in handles] == hidden
    form.visible = False
    assert not any(handle.visible for handle in handles)
    form.visible = True
    assert [not handle.visible for handle in handles] == hidden


def test_what_a_person_switches_on_shows_its_field(gui):
    form = a_form(gui, "background")
    clear, colour = form._fields["color"].handles
    clear.value = False  # which viser before 1.0 tells from another thread
    form._hide_idle()
    assert colour.visible
    assert form.operation().color == (1.0, 1.0, 1.0)


def test_something_of_another_scene_is_put_there_by_words(gui):
    form = a_form(gui, "replace")
    kept, words = form._fields["by"].handles
    assert (kept.visible, words.visible) == (True, False)
    form._fields["scene"].write("other/config.yml")
    form._hide_idle()
    assert (kept.visible, words.visible) == (False, True)
    with pytest.raises(DffError, match="say in words"):
        form.operation()
    words.value = "cup, saucer"
    operation = form.operation()
    assert operation.scene == "other/config.yml"
    assert operation.by.text == ("cup", "saucer")
