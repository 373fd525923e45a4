"""Where a scene has two teachers, a person says in the panel whose features answer."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from acting import press, set_to

from dff.editor.compat import Click, Rectangle
from dff.editor.panels.select import AUTOMATIC
from dff.query.routing import PRODUCT
from dff.query.text import TextQuery
from dff.scene import load

# Its label: see `tiny_picture`.
RED_BALL = 2


@pytest.fixture
def scene(both):
    return load(both, device="cpu")


@pytest.fixture
def person(editor, somebody):
    """Looks from where the first photo was taken."""
    somebody.editor = editor
    editor.windows[somebody.client_id].jump(0)
    return somebody


def choose(editor, teacher: str, person) -> None:
    set_to(editor.select_panel._teacher, teacher, person)


def find(editor, words: str, person) -> None:
    editor.select_panel._words.value = words
    editor.select_panel._not.value = "table"
    press(editor.select_panel._find, person)
    editor.actions.wait()


def red_place(editor, truth) -> tuple[float, float]:
    """Where the red thing is in the first photo, as shares of width and height."""
    labels = truth(editor.session.scene.views("train")[0].name)
    row, column = (float(np.median(axis)) for axis in np.nonzero(labels == RED_BALL))
    return (column + 0.5) / labels.shape[1], (row + 0.5) / labels.shape[0]


def test_each_of_them_and_all_together_can_be_chosen(editor):
    dropdown = editor.select_panel._teacher
    assert dropdown.visible
    assert tuple(dropdown.options) == (AUTOMATIC, "edges", "colour", PRODUCT)


def test_words_go_to_the_one_that_was_chosen(editor, person):
    choose(editor, "colour", person)
    find(editor, "red", person)
    wanted = editor.session.scene.select(TextQuery(("red",), ("table",), teacher="colour"))
    assert wanted.count > 0
    assert torch.equal(editor.session.selection.scores, wanted.scores)
    assert editor.session.described().teacher == "colour"


@pytest.mark.parametrize(
    ("teacher", "line"), [("edges", "edges"), (PRODUCT, "words go to one teacher")]
)
def test_one_that_knows_no_words_is_told_in_a_line(editor, person, teacher, line):
    choose(editor, teacher, person)
    find(editor, "red", person)
    assert editor.session.selection is None
    (said,) = person.said
    assert line in said
    assert "\n" not in said
    assert "inside" not in said


@pytest.mark.parametrize("teacher", [AUTOMATIC, "edges", "colour", PRODUCT])
def test_clicks_and_rectangles_are_answered_by_the_one_that_was_chosen(
    editor, person, truth, teacher
):
    choose(editor, teacher, person)
    x, y = red_place(editor, truth)
    asked = None if teacher == AUTOMATIC else teacher
    editor._clicked(Click(person, x, y, False))
    editor.actions.wait()
    assert not person.said
    assert editor.session.described().teacher == asked
    editor._framed(Rectangle(person, (x - 0.05, y - 0.05), (x + 0.05, y + 0.05)))
    editor.actions.wait()
    assert not person.said
    assert editor.session.selection.count > 0
    assert editor.session.choice.asked.label == "rectangle"


def test_another_teacher_gives_another_answer(editor, person, truth):
    x, y = red_place(editor, truth)
    found = {}
    for teacher in ("edges", "colour"):
        choose(editor, teacher, person)
        editor.session.clear()
        editor._clicked(Click(person, x, y, False))
        editor.actions.wait()
        assert editor.session.selection.count > 0
        found[teacher] = editor.session.selection.scores
    assert not torch.equal(found["edges"], found["colour"])
