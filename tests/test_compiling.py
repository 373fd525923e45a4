"""Thresholds and documents made ready: what is chosen, and what is refused."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from dff.answering import answer_text
from dff.compiling import choose_threshold, compile_document
from dff.edits.operations import Delete, HueShift
from dff.edits.storage import parse_document
from dff.errors import DffError
from dff.fields.feature_field import FeatureField
from dff.fields.hash_encoding import GridShape
from dff.selection.exact import BakedFeatures
from dff.selection.surface_grid import SurfaceGrid


@pytest.fixture
def field() -> FeatureField:
    """Hidden features are the teacher's own: the decoder changes nothing."""
    grid = GridShape.geometric(2, 4, 8, 6, 2)
    box = torch.tensor([[-1.0] * 3, [1.0] * 3])
    made = FeatureField(box, grid, 5, True, "torch")
    with torch.no_grad():
        made.add_head("colour", 5).decoder.weight.copy_(torch.eye(5))
    return made


@pytest.fixture
def surface(colour_teacher) -> SurfaceGrid:
    """A tenth of the pixels are red, the rest is table."""
    red, table = colour_teacher.encode_text(["red", "table"])
    hidden = torch.cat([red.expand(10, 5), table.expand(90, 5)])
    line = torch.stack([(torch.arange(100) + 0.5) / 100, *torch.full((2, 100), 0.5)], dim=-1)
    return SurfaceGrid.build(line, line, hidden, torch.zeros(100, 3), resolution=100)


@pytest.fixture
def answering(colour_teacher, field, surface):
    """Text is answered on the surface by the colour teacher."""
    baked = BakedFeatures.bake(surface.hidden, field.head("colour").weight)
    scene = SimpleNamespace(
        surface=surface, teacher_of=lambda query: colour_teacher, baked=lambda name: baked
    )
    return lambda described: answer_text(scene, described.query(), described.softness)


def step(text: str, **more) -> dict:
    selection = {"text": [text], "negative": ["table"], **more.pop("selection", {})}
    return {"selection": selection, "operation": {"type": "delete"}, **more}


def document(*steps: dict):
    return parse_document({"version": 1, "steps": list(steps)})


def test_the_chosen_threshold_parts_two_heaps():
    scores = torch.cat([torch.rand(100) * 0.1 + 0.55, torch.rand(50) * 0.1 + 0.9])
    assert 0.64 < choose_threshold(scores) < 0.91


def test_the_chosen_threshold_is_never_below_even_odds():
    scores = torch.cat([torch.rand(100) * 0.1, torch.rand(50) * 0.1 + 0.3])
    assert choose_threshold(scores) == 0.5
    assert choose_threshold(torch.full((9,), 0.2)) == 0.5


def test_a_step_selects_what_it_names(field, surface, answering):
    compiled = compile_document(document(step("red")), answering, field, surface)
    (mask,) = compiled.masks(surface.points, lambda asked: surface.hidden[asked])
    assert mask.tolist() == [1.0] * 10 + [0.0] * 90


def test_a_threshold_and_softness_that_are_given_are_used(field, surface, answering):
    described = document(step("red", selection={"threshold": 0.77, "softness": 0.1}))
    (asked,) = compile_document(described, answering, field, surface).selections
    assert (asked.threshold, asked.softness) == (0.77, 0.1)


def test_steps_come_in_order_and_those_switched_off_are_left_out(field, surface, answering):
    hue = {**step("red"), "operation": {"type": "recolor", "function": "hue", "degrees": 30}}
    compiled = compile_document(
        document(hue, step("red", enabled=False), step("red")), answering, field, surface
    )
    assert compiled.operations == (HueShift(degrees=30), Delete())
    assert len(compiled.selections) == 2
    assert compiled.changes_opacity


def test_a_step_that_selects_nothing_is_named_by_its_place_in_the_file(field, surface, answering):
    steps = (step("red"), step("red", enabled=False), step("blue", selection={"threshold": 0.99}))
    with pytest.raises(DffError, match="step 3 selects nothing: 'blue'") as raised:
        compile_document(document(*steps), answering, field, surface)
    assert "\n" not in str(raised.value)


def test_a_scene_without_features_can_take_only_an_empty_document(surface, answering):
    off = document(step("red", enabled=False))
    assert compile_document(off, answering, None, surface).operations == ()
    with pytest.raises(DffError, match="without features"):
        compile_document(document(step("red")), answering, None, surface)
