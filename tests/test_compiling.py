"""Thresholds and documents made ready: what is chosen, and what is refused."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from dff.answering import answer_text
from dff.compiling import Source, Surroundings, choose_threshold, compile_document
from dff.edits.operations import Delete, Extract, HueShift
from dff.edits.storage import parse_document
from dff.errors import DffError
from dff.field_matter import FieldMatter
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


@pytest.fixture
def compiling(field, surface, answering):
    """Compiles a document in the scene; what it is told is in ``compiling.told``."""
    told: list[str] = []

    def nowhere(name: str):
        raise DffError(f"no scene {name}")

    def run(described, own=None):
        matter = FieldMatter(None, (), field, snap=surface.snap)
        opened = own or (lambda: Source(matter, answering))
        around = Surroundings(
            lambda name: opened() if name is None else nowhere(name),
            nowhere,
            lambda selection: None,
            told.append,
        )
        return compile_document(described, lambda index: around)

    run.told = told
    return run


HUE = {"operation": {"type": "recolor", "function": "hue", "degrees": 30}}


def acts(compiled) -> list:
    return [act.operation for layer in compiled.layers for act in layer.acts]


def test_a_step_selects_what_it_names(surface, compiling):
    (place,) = compiling(document(step("red"))).matters[0].places
    mask, _ = place(surface.points)
    assert mask.tolist() == [1.0] * 10 + [0.0] * 90


def test_a_threshold_and_softness_that_are_given_are_used(compiling):
    described = document(step("red", selection={"threshold": 0.77, "softness": 0.1}))
    (asked,) = compiling(described).matters[0].scorers
    assert (asked.threshold, asked.softness) == (0.77, 0.1)


def test_steps_come_in_order_and_those_switched_off_are_left_out(compiling):
    compiled = compiling(document({**step("red"), **HUE}, step("red", enabled=False), step("red")))
    assert compiled.operations == (HueShift(degrees=30), Delete())
    assert acts(compiled) == [HueShift(degrees=30), Delete()]
    assert len(compiled.matters[0].scorers) == 2
    assert compiled.changes_opacity


def test_a_step_that_selects_nothing_is_told_by_its_place_and_changes_nothing(compiling):
    off = step("red", enabled=False)
    empty = step("blue", selection={"threshold": 0.99})
    compiled = compiling(document(off, off, empty))
    (line,) = compiling.told
    assert line.startswith("step 3 selects nothing: 'blue'")
    assert "\n" not in line
    assert compiled.changes_nothing


@pytest.mark.parametrize(
    "operation", [{"type": "transform"}, {"type": "transform", "rotate": [0, 0, 0], "scale": 1.0}]
)
def test_a_zero_transform_changes_nothing(compiling, operation):
    assert compiling(document({**step("red"), "operation": operation})).changes_nothing


def test_what_is_wrong_with_a_step_says_which_it_is(compiling):
    insert = {**step("red"), "operation": {"type": "insert", "scene": "other.yml"}}
    with pytest.raises(DffError, match=r"^step 2: no scene other\.yml"):
        compiling(document(step("red", enabled=False), insert))


def test_what_is_wrong_with_a_repainting_says_which_step_it_is(compiling):
    paint = {**step("red"), "operation": {"type": "repaint", "file": "../a.safetensors"}}
    with pytest.raises(DffError, match=r"^step 2: no scene \.\./a\.safetensors"):
        compiling(document(step("red", enabled=False), paint))


INSERT = {**step("red"), "operation": {"type": "insert", "scene": "other.yml"}}
SWAP = {"type": "replace", "by": {"text": "red"}}
PAINT = {"type": "repaint", "file": "blue.safetensors"}
MOVE = {"type": "transform", "translate": [1, 0, 0]}
COPY = {"type": "duplicate", "translate": [1, 0, 0]}


def of_step(number: int, operation: dict, **more) -> dict:
    return {"selection": {"step": number}, "operation": operation, **more}


@pytest.mark.parametrize(
    "steps",
    [
        [INSERT, of_step(1, PAINT)],
        [{**step("red"), "operation": {**SWAP, "scene": "other.yml"}}, of_step(1, PAINT)],
        [INSERT, of_step(1, MOVE), of_step(2, COPY), of_step(3, PAINT)],
        [
            INSERT,
            of_step(1, SWAP),
            of_step(1, COPY),
            of_step(2, HUE["operation"]),
            of_step(3, PAINT),
        ],
    ],
    ids=["inserted", "replaced", "moved and copied", "copied after"],
)
def test_things_of_another_scene_are_not_repainted(compiling, steps):
    says = rf"^step {len(steps)} repaints things of another scene \(other\.yml\).*recolor them"
    with pytest.raises(DffError, match=says):
        compiling(document(*steps))


@pytest.mark.parametrize(
    "steps",
    [
        [{**step("red"), "operation": MOVE}, of_step(1, PAINT)],
        [{**step("red"), "operation": SWAP}, of_step(1, PAINT)],
        [INSERT, of_step(1, SWAP), of_step(2, PAINT)],
        [INSERT, {**step("red"), "operation": PAINT}],
        [INSERT, of_step(1, PAINT, enabled=False)],
    ],
    ids=["moved", "replaced", "in place of an inserted one", "by name", "switched off"],
)
def test_things_of_the_scene_itself_are(compiling, steps):
    # As far as opening what the fixture has not got.
    with pytest.raises(DffError, match=r"^step \d: no scene"):
        compiling(document(*steps))


def test_an_empty_document_asks_nothing(compiling):
    def unasked():
        raise AssertionError("asked")

    compiled = compiling(document(step("red", enabled=False)), unasked)
    assert compiled.operations == ()
    assert compiled.changes_nothing


def test_a_later_step_takes_what_an_earlier_one_brought(compiling):
    copy = {
        **step("red"),
        "name": "copy",
        "operation": {"type": "duplicate", "translate": [1, 0, 0]},
    }
    for named in ("copy", 1):
        paint = {"selection": {"step": named}, **HUE}
        original, brought = compiling(document(copy, paint)).layers
        assert original.acts == ()
        assert [act.operation for act in brought.acts] == [Extract(), HueShift(degrees=30)]


def test_a_step_that_is_switched_off_brings_nothing(compiling):
    copy = {**step("red"), "operation": {"type": "duplicate", "translate": [1, 0, 0]}}
    paint = {"selection": {"step": 1}, **HUE}
    with pytest.raises(
        DffError, match="step 2 selects what step 1 brought, but that one is switched off"
    ):
        compiling(document({**copy, "enabled": False}, paint))
    off = {**copy, "name": "copy", "enabled": False}
    with pytest.raises(DffError, match="step 3 selects what step 2 brought, but"):
        compiling(document(step("red"), off, {**paint, "selection": {"step": "copy"}}))


def test_the_last_background_holds(compiling):
    grey = {**step("red"), "operation": {"type": "background", "color": [0.5, 0.5, 0.5]}}
    clear = {**step("red"), "operation": {"type": "background"}}
    assert compiling(document(clear, grey)).background == (0.5, 0.5, 0.5)
    assert compiling(document(grey, clear)).background == "transparent"
