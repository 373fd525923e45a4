"""Clicks and patches as the user writes them."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dff.errors import DffError
from dff.query.shown import Click, ClickQuery, Patch, PatchQuery

numbers = st.floats(-1e6, 1e6, allow_nan=False).map(lambda value: float(f"{value:g}"))
names = st.text("abcIMG_0123456789. -:/", min_size=1).map(str.strip).filter(bool)


@given(names, numbers, numbers)
def test_a_click_is_read_as_it_is_written(name, x, y):
    assert Click.parse(str(Click(name, x, y))) == Click(name, x, y)


@given(names, numbers, numbers, st.floats(0.5, 100), st.floats(0.5, 100))
def test_a_patch_is_read_as_it_is_written(name, x, y, wide, high):
    box = tuple(float(f"{side:g}") for side in (x, y, x + wide, y + high))
    if box[0] < box[2] and box[1] < box[3]:
        assert Patch.parse(str(Patch(name, box))) == Patch(name, box)


def test_forms():
    assert Click.parse("IMG_1:3,4.5") == Click("IMG_1", 3.0, 4.5)
    assert Patch.parse("pics/a.png") == Patch("pics/a.png")
    assert Patch.parse("C:/pics/a.png:1,2,3,4") == Patch("C:/pics/a.png", (1.0, 2.0, 3.0, 4.0))


@pytest.mark.parametrize(
    "text", ["", "IMG", "IMG:", "IMG:1", "IMG:1,2,3", "IMG:a,b", ":1,2", "IMG:nan,1", "IMG:inf,1"]
)
def test_what_is_no_click_is_one_line(text):
    with pytest.raises(DffError) as raised:
        Click.parse(text)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a:1,2",
        "a:1,2,3",
        "a:1,2,3,4,5",
        "a:5,2,3,4",
        "a:1,2,1,4",
        "a:1,4,3,2",
        "a:x,2,3,4",
        "a:nan,2,3,4",
    ],
)
def test_what_is_no_patch_is_one_line(text):
    with pytest.raises(DffError) as raised:
        Patch.parse(text)
    assert "\n" not in str(raised.value)


def test_queries_that_contradict_themselves_are_refused():
    click, patch = Click("a", 1, 2), Patch("a", (0, 0, 2, 2))
    with pytest.raises(DffError, match="at least one positive"):
        ClickQuery((), (click,))
    with pytest.raises(DffError, match="both wanted and not wanted"):
        ClickQuery((click,), (click,))
    with pytest.raises(DffError, match="at least one picture"):
        PatchQuery((), (patch,))
    with pytest.raises(DffError, match="both wanted and not wanted"):
        PatchQuery((patch,), (patch,))
    for threshold in (-0.1, 1.1, math.nan, True, "x"):
        with pytest.raises(DffError, match="from 0 to 1"):
            ClickQuery((click,), threshold=threshold)
        with pytest.raises(DffError, match="from 0 to 1"):
            PatchQuery((patch,), threshold=threshold)


def test_a_mask_is_written_after_its_image():
    assert Patch.parse("IMG_1:masks/apple.png") == Patch("IMG_1", mask="masks/apple.png")
    assert Patch.parse("a/b.jpg:c.png") == Patch("a/b.jpg", mask="c.png")
    assert Patch.parse("C:\\photo.png") == Patch("C:\\photo.png")
    assert str(Patch.parse("IMG_1:apple.png")) == "IMG_1:apple.png"
    with pytest.raises(DffError, match="not both"):
        Patch("IMG_1", (0, 0, 1, 1), "apple.png")
