"""Figures of edits against closed forms and brute force."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from dff.evaluate.edits import faithfulness, locality, pooled_psnr, widened


def grey(value: float, size: tuple[int, int] = (6, 8)) -> torch.Tensor:
    return torch.full((*size, 3), value)


@pytest.mark.parametrize("width", [0.0, 1.0, 2.0, 2.5])
def test_widened_by_brute_force(width):
    mask = torch.rand(9, 13) < 0.06
    rows, columns = np.nonzero(mask.numpy())
    for y in range(9):
        for x in range(13):
            near = (np.hypot(rows - y, columns - x) <= width).any()
            assert bool(widened(mask, width)[y, x]) == near


def test_nothing_widens_to_nothing():
    nothing = torch.zeros(4, 5, dtype=torch.bool)
    assert not widened(nothing).any()


def test_pixels_of_all_views_are_pooled():
    first, second = torch.zeros(6, 8, dtype=torch.bool), torch.zeros(6, 8, dtype=torch.bool)
    first[0, :3], second[1, :1] = True, True
    figure = pooled_psnr([grey(0.5), grey(0.9)], [grey(0.4), grey(0.5)], [first, second])
    assert figure == pytest.approx(-10 * math.log10((3 * 0.01 + 1 * 0.16) / 4), abs=1e-5)
    assert math.isnan(pooled_psnr([], [], []))
    assert math.isnan(pooled_psnr([grey(0.5)], [grey(0.4)], [torch.zeros_like(first)]))
    with pytest.raises(ValueError, match="shorter"):
        pooled_psnr([grey(0.5)], [grey(0.4)], [])


def test_loss_is_what_editing_costs():
    everywhere = [torch.ones(6, 8, dtype=torch.bool)]
    near = faithfulness([grey(0.5)], [grey(0.3)], [grey(0.5)], [grey(0.4)], everywhere)
    assert near.edited == pytest.approx(-10 * math.log10(0.04), abs=1e-5)
    assert near.unedited == pytest.approx(20.0, abs=1e-5)
    assert near.loss == pytest.approx(20 * math.log10(2), abs=1e-5)


def test_locality_looks_only_away_from_the_silhouette():
    before, after = grey(0.5, (12, 12)), grey(0.5, (12, 12))
    silhouette = torch.zeros(12, 12, dtype=torch.bool)
    silhouette[5, 5] = True
    after[4:7, 4:7] = after[5, 3:8] = 0.9  # as far as two pixels to either side
    assert locality([after], [before], [silhouette]) == math.inf
    after[5, 8] = 0.6
    counted = 144 - 13  # a disc of radius 2 holds 13 pixels
    expected = -10 * math.log10(0.01 / counted)
    assert locality([after], [before], [silhouette]) == pytest.approx(expected, abs=1e-3)
    assert math.isnan(locality([after], [before], [torch.ones_like(silhouette)]))
