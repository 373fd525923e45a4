"""Repaintings on disk: exact round trips, the same bytes, and one line for every damage."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load, save_file
from torch.nn import init

from dff.errors import DffError
from dff.fields.hash_encoding import GridShape
from dff.fields.radiance_field import RadianceField, RadianceShape
from dff.fields.visibility import DensityPrior
from dff.repaint import stored
from dff.repaint.paint import TEXTURE, FieldPaint
from dff.repaint.stored import load_paint, read_tensors, save_paint

CHECKPOINT = "c" * 64
SMALL = GridShape((2, 4), 6, 3)


def field_of(hidden: int = 16, appearance: int = 0) -> RadianceField:
    torch.manual_seed(1)
    shape = RadianceShape(GridShape((4, 8), 8, 2), hidden, 7, appearance)
    box = torch.tensor([[-1.0] * 3, [1.0] * 3])
    field = RadianceField(box, 3, shape, DensityPrior.uniform(1.0), True, "torch").eval()
    init.normal_(field.appearance.weight)
    return field


def painted(field: RadianceField, texture: GridShape | None = SMALL) -> FieldPaint:
    paint = FieldPaint(field, [-0.5, -0.4, -0.3], [0.1, 0.2, 0.7], texture)
    for number, value in enumerate(paint.parameters()):
        torch.manual_seed(number)
        init.normal_(value, std=0.3)
    return paint


@torch.no_grad()
def samples(field: RadianceField, count: int = 40) -> tuple[torch.Tensor, ...]:
    torch.manual_seed(5)
    positions = torch.rand(count, 3) * 2 - 1
    directions = torch.nn.functional.normalize(torch.randn(count, 3), dim=-1)
    _, code = field.density_at(positions)
    return positions, directions, code, field.colour_of(code, directions)


@pytest.fixture
def path(tmp_path) -> Path:
    return tmp_path / "red.safetensors"


@pytest.mark.parametrize("appearance", [0, 4])
@pytest.mark.parametrize("texture", [TEXTURE, None])
def test_a_new_paint_gives_the_field_s_own_colours(texture, appearance):
    field = field_of(appearance=appearance)
    paint = FieldPaint(field, [-1, -1, -1], [1, 1, 1], texture)
    given = samples(field)
    with torch.no_grad():
        torch.testing.assert_close(paint(*given), given[3], atol=1e-6, rtol=0)


def test_the_texture_adds_the_sum_of_its_levels_to_the_logits():
    field = field_of()
    paint = FieldPaint(field, [-1, -1, -1], [1, 1, 1], SMALL)
    assert paint.texture is not None
    offset = torch.tensor([0.3, -0.2, 0.7])
    with torch.no_grad():
        paint.texture.table.copy_(offset.expand_as(paint.texture.table))
        given = samples(field)
        wanted = torch.sigmoid(torch.logit(given[3].double()) + 2 * offset.double())
        torch.testing.assert_close(paint(*given).double(), wanted, atol=1e-5, rtol=0)


def test_painting_leaves_the_field_as_it_is():
    field = field_of()
    before = {name: value.clone() for name, value in field.state_dict().items()}
    paint = painted(field)
    paint(*samples(field)).sum().backward()
    assert all(torch.equal(value, before[name]) for name, value in field.state_dict().items())
    assert all(value.grad is None for value in field.parameters())
    assert all(value.grad is not None for value in paint.parameters())


@pytest.mark.parametrize("texture", [SMALL, None])
def test_what_is_read_is_what_was_written_bit_for_bit(path, texture):
    field = field_of()
    paint = painted(field, texture)
    save_paint(paint, path, {"checkpoint": CHECKPOINT, "prompt": "red"})
    found = load_paint(path, CHECKPOINT, field)
    given = samples(field)
    with torch.no_grad():
        assert torch.equal(found(*given), paint(*given))
    assert read_tensors(path)[0]["prompt"] == "red"


def test_the_same_paint_gives_the_same_bytes(path):
    field = field_of()
    facts = {"checkpoint": CHECKPOINT, "prompt": "red", "settings": {"steps": 3, "seed": 1}}
    save_paint(painted(field), path, facts)
    first = path.read_bytes()
    save_paint(painted(field), path, dict(reversed(facts.items())))
    assert path.read_bytes() == first
    assert len(first) < 30_000


def test_no_samples_are_no_colours(path):
    field = field_of()
    nothing = torch.zeros(0, 3)
    assert painted(field)(nothing, nothing, torch.zeros(0, 7), nothing).shape == (0, 3)


def refused(path: Path, field: RadianceField | None = None) -> str:
    with pytest.raises(DffError) as error:
        load_paint(path, CHECKPOINT, field or field_of())
    line = str(error.value)
    assert "\n" not in line
    assert path.name in line
    return line


def test_a_missing_file(path):
    assert "no such repainting" in refused(path)


@pytest.mark.parametrize("kept", [0, 5, 200, -1])
def test_a_truncated_file(path, kept):
    save_paint(painted(field_of()), path, {"checkpoint": CHECKPOINT})
    path.write_bytes(path.read_bytes()[:kept])
    assert "damaged" in refused(path)


def test_a_file_of_something_else(path):
    save_file({"weight": torch.zeros(3)}, path)
    assert "no repainting" in refused(path)
    path.write_text("version: 1\nsteps: []\n")
    assert "no repainting" in refused(path)


def test_a_folder(path):
    path.mkdir()
    assert "no such repainting" in refused(path)


def test_another_checkpoint(path):
    save_paint(painted(field_of()), path, {"checkpoint": "d" * 64})
    assert "another checkpoint" in refused(path)


def test_a_later_version(path, monkeypatch):
    monkeypatch.setattr(stored, "VERSION", 2)
    save_paint(painted(field_of()), path, {"checkpoint": CHECKPOINT})
    monkeypatch.undo()
    assert "version 2: update dff" in refused(path)


def test_a_field_of_another_shape(path):
    save_paint(painted(field_of(16)), path, {"checkpoint": CHECKPOINT})
    assert "does not fit" in refused(path, field_of(32))


def test_a_file_larger_than_any(path, monkeypatch):
    save_paint(painted(field_of()), path, {"checkpoint": CHECKPOINT})
    monkeypatch.setattr(stored, "MAX_BYTES", 100)
    assert "larger" in refused(path)


def changed(path: Path, **changes: object) -> None:
    """A file whose facts say something else."""
    save_paint(painted(field_of()), path, {"checkpoint": CHECKPOINT})
    told, _ = read_tensors(path)
    save_file(load(path.read_bytes()), path, {"dff": json.dumps({**told, **changes})})


HOSTILE = {
    "a huge grid": {"texture": {"resolutions": [2**40] * 8, "log2": 19}},
    "a huge table": {"texture": {"resolutions": [4096] * 8, "log2": 60}},
    "no resolutions": {"texture": {"resolutions": [], "log2": 4}},
    "a resolution of true": {"texture": {"resolutions": [True], "log2": 4}},
    "a text for a grid": {"texture": "large"},
    "half a grid": {"texture": {"log2": 4}},
    "an empty box": {"low": [1, 1, 1], "high": [1, 2, 2]},
    "a box without end": {"low": [-1e300, 0, 0]},
    "a box of NaN": {"low": [float("nan"), 0, 0]},
    "half a corner": {"low": [0, 0]},
    "a text for a corner": {"high": ["a", "b", "c"]},
    "no texture, but its table": {"texture": None},
}


@pytest.mark.parametrize("changes", HOSTILE.values(), ids=HOSTILE)
def test_facts_that_cannot_be(path, changes):
    changed(path, **changes)
    assert "damaged" in refused(path)


def test_facts_nested_without_end(path):
    save_paint(painted(field_of()), path, {"checkpoint": CHECKPOINT})
    save_file(load(path.read_bytes()), path, {"dff": "[" * 100_000})
    assert "damaged" in refused(path)


def test_nan_among_the_weights(path):
    paint = painted(field_of())
    with torch.no_grad():
        next(paint.parameters()).view(-1)[0] = torch.nan
    save_paint(paint, path, {"checkpoint": CHECKPOINT})
    assert "damaged" in refused(path)
