"""Judging an edit: figures against those counted pixel by pixel."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from dff.edits.operations import HueShift, Insert, Operation, Transform
from dff.evaluate.chosen_views import evenly
from dff.evaluate.edit_cases import Case, Pictures
from dff.evaluate.edits import widened
from dff.evaluate.judged_edits import judged

THING, HEIGHT, WIDTH = 3, 20, 30
OFF, CHANGE = 0.05, 0.1


def square(row: int, column: int, side: int) -> torch.Tensor:
    mask = torch.zeros(HEIGHT, WIDTH, dtype=torch.bool)
    mask[row : row + side, column : column + side] = True
    return mask


WAS = [square(4, 4, 3), square(5, 6, 6)]
MARKED = [square(4, 5, 3), square(6, 6, 6)]
ELSEWHERE = [square(12, 20, 3), square(11, 20, 6)]


class Rendered:
    """A bench whose unedited pictures are off by a known amount, and whose selection is known."""

    def __init__(self, before: Pictures) -> None:
        self.unedited = [image + OFF for image in before.images]

    def silhouettes(self, selection: object) -> list[torch.Tensor]:
        assert selection == "asked"
        return MARKED


def pictures(shown: list[torch.Tensor], changed: list[torch.Tensor]) -> Pictures:
    generator = torch.Generator().manual_seed(0)
    images = [torch.rand(HEIGHT, WIDTH, 3, generator=generator) / 2 for _ in shown]
    return Pictures(
        [image + CHANGE * mask[..., None] for image, mask in zip(images, changed, strict=True)],
        [THING * mask.long() for mask in shown],
    )


def case_of(operation: Operation) -> Case:
    truth: Any = SimpleNamespace(touched=(THING,))
    selections: Any = {"click": "asked"}
    return Case("any", "thing", operation, selections, truth)


def judge(operation: Operation, before: Pictures, kept: Pictures, changed: list[torch.Tensor]):
    bench: Any = Rendered(before)
    edited = [
        image + CHANGE * mask[..., None]
        for image, mask in zip(bench.unedited, changed, strict=True)
    ]
    return judged(bench, case_of(operation), "click", edited, before, kept)


def decibel(squares: float) -> float:
    return -10 * math.log10(squares)


NOTHING = [torch.zeros(HEIGHT, WIDTH, dtype=torch.bool)] * 2


def test_what_is_selected_is_held_against_the_thing():
    before, kept = pictures(WAS, NOTHING), pictures(WAS, WAS)
    found = judge(HueShift(degrees=120), before, kept, MARKED)
    near = [widened(mask) for mask in WAS]
    error = counted = both = either = 0.0
    for view, mask in enumerate(near):
        for row, column in mask.nonzero().tolist():
            wrong = float(MARKED[view][row, column]) - float(WAS[view][row, column])
            error, counted = error + (OFF + CHANGE * wrong) ** 2, counted + 1
        both += int((MARKED[view] & WAS[view]).sum())
        either += int((MARKED[view] | WAS[view]).sum())
    assert found.edited == pytest.approx(decibel(error / counted), abs=1e-3)
    assert found.unedited == pytest.approx(decibel(OFF**2), abs=1e-3)
    assert found.iou == pytest.approx(both / either)
    assert found.local == math.inf
    assert found.best == 1


def test_where_a_thing_is_put_counts_as_its_place_and_the_rest_does_not():
    before, kept = pictures(WAS, NOTHING), pictures(ELSEWHERE, ELSEWHERE)
    changed = [a | b for a, b in zip(MARKED, ELSEWHERE, strict=True)]
    moving = Transform(translate=(1.0, 0.0, 0.0))
    assert judge(moving, before, kept, changed).local == math.inf
    far = [mask | square(18, 0, 1) for mask in changed]
    left = sum(int((~widened(mask)).sum()) for mask in changed)
    found = judge(moving, before, kept, far)
    assert found.local == pytest.approx(decibel(2 * CHANGE**2 / left), abs=1e-3)
    # Painting a thing gives it no second place.
    assert judge(HueShift(degrees=120), before, kept, changed).local < 40


def test_a_thing_of_another_scene_is_selected_nowhere_in_this_one():
    before, kept = pictures(NOTHING, NOTHING), pictures(ELSEWHERE, ELSEWHERE)
    inserting = Insert(scene="other/config.yml")
    found = judge(inserting, before, kept, ELSEWHERE)
    assert math.isnan(found.iou)
    assert found.local == math.inf
    assert found.edited == pytest.approx(found.unedited, abs=1e-3)


@pytest.mark.parametrize(
    ("count", "most", "chosen"),
    [(5, 3, [0, 2, 4]), (5, 9, [0, 1, 2, 3, 4]), (8, 4, [0, 2, 5, 7]), (4, 0, [0]), (0, 3, [])],
)
def test_views_are_spread_evenly(count, most, chosen):
    assert evenly(list(range(count)), most) == chosen  # type: ignore[arg-type]
