"""Boundary IoU against brute force and closed forms."""

from __future__ import annotations

import math

import pytest
import torch

from dff.evaluate.masks import boundary_iou, inner_border, intersection_over_union


def border_by_hand(mask: torch.Tensor, width: int) -> torch.Tensor:
    """Pixels of the mask with one outside it, or outside the picture, within the distance."""
    height, length = mask.shape
    found = torch.zeros_like(mask)
    for y in range(height):
        for x in range(length):
            if not mask[y, x]:
                continue
            for v in range(y - width, y + width + 1):
                for u in range(x - width, x + width + 1):
                    beyond = not (0 <= v < height and 0 <= u < length)
                    if beyond or not mask[v, u]:
                        found[y, x] = True
    return found


@pytest.mark.parametrize("width", [1, 2, 4])
def test_the_border_is_that_of_brute_force(width):
    for _ in range(3):
        mask = torch.nn.functional.interpolate(torch.rand(1, 1, 4, 5), (17, 23))[0, 0] > 0.45
        assert torch.equal(inner_border(mask, width), border_by_hand(mask, width))


def test_squares_in_closed_form():
    truth = torch.zeros(100, 100, dtype=torch.bool)
    truth[20:60, 20:60] = True
    shifted = torch.zeros_like(truth)
    shifted[20:60, 21:61] = True
    assert boundary_iou(truth, truth) == 1.0
    # Frames three pixels wide (0.02 of the diagonal): 40^2 - 34^2 = 444 pixels each. Shifted by
    # one they share 39 columns of rows 6 of 40, and two of the three columns at either side.
    common = 6 * 39 + 34 * 4
    assert boundary_iou(truth, shifted) == pytest.approx(common / (2 * 444 - common))
    assert boundary_iou(truth, shifted) < intersection_over_union(truth, shifted)


def test_it_looks_at_the_rim_alone():
    truth = torch.zeros(60, 60, dtype=torch.bool)
    truth[10:50, 10:50] = True
    holed = truth.clone()
    holed[28:32, 28:32] = False
    rim = boundary_iou(holed, truth)
    assert rim < 1.0  # the hole has a rim of its own
    assert math.isnan(boundary_iou(torch.zeros_like(truth), torch.zeros_like(truth)))
    assert boundary_iou(torch.zeros_like(truth), truth) == 0.0
