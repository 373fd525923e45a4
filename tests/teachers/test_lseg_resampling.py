"""Resampling as matrices against torch's own resampling and numbers one can check by hand."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from dff.teachers.lseg_multi_scale import SCALES, scaled_size, windows
from dff.teachers.lseg_resampling import apply_to_axes, bilinear, cell_average, doubled_twice

sys.path.insert(0, str(Path(__file__).parent))

from lseg_support import area_average, multi_scale


def test_cells_share_the_pixels_they_cut() -> None:
    expected = torch.tensor([[2 / 3, 1 / 3, 0], [0, 1 / 3, 2 / 3]], dtype=torch.float64)
    torch.testing.assert_close(cell_average(2, 3), expected)


@pytest.mark.parametrize(("cells", "size"), [(1, 7), (3, 3), (5, 8), (8, 5), (72, 480), (7, 1)])
def test_cells_are_averages_of_area(cells, size) -> None:
    line = torch.rand(1, 1, size, dtype=torch.float64)
    torch.testing.assert_close(
        cell_average(cells, size) @ line[0, 0], area_average(line, (1, cells))[0, 0]
    )


@pytest.mark.parametrize(("target", "source"), [(1, 1), (1, 5), (5, 1), (7, 7), (4, 9), (9, 4)])
def test_interpolation_is_that_of_torch(target, source) -> None:
    line = torch.rand(1, 1, source, dtype=torch.float64)
    theirs = F.interpolate(line, target, mode="linear", align_corners=True)[0, 0]
    torch.testing.assert_close(bilinear(target, source) @ line[0, 0], theirs)


def test_matrices_act_on_rows_and_columns() -> None:
    picture = torch.rand(1, 3, 6, 10, dtype=torch.float64)
    twice = picture
    for _ in range(2):
        twice = F.interpolate(twice, scale_factor=2, mode="bilinear", align_corners=True)
    torch.testing.assert_close(apply_to_axes(picture, doubled_twice(6), doubled_twice(10)), twice)


@pytest.mark.parametrize(
    ("size", "long_side", "expected"),
    [
        ((605, 806), 72, (54, 72)),
        ((806, 605), 72, (72, 54)),
        ((10, 10), 72, (72, 72)),
        ((1, 999), 72, (1, 72)),
        ((3, 2), 3, (3, 2)),
        ((2, 4), 5, (3, 5)),
    ],
)
def test_sides_are_scaled_in_proportion(size, long_side, expected) -> None:
    assert scaled_size(*size, long_side) == expected


@pytest.mark.parametrize("size", [(50, 80), (93, 31), (64, 64), (5, 200)])
def test_windows_are_the_published_evaluator_folded_into_cells(size) -> None:
    """For any network that doubles twice at its end; this one looks at neighbours and places."""
    weight = torch.randn(4, 3, 7, 7, dtype=torch.float64)
    tilt = torch.linspace(0, 1, 24, dtype=torch.float64)

    def quarter(images: torch.Tensor) -> torch.Tensor:
        return F.conv2d(images, weight, stride=4, padding=3).tanh() + tilt * tilt[:, None]

    def forward(images: torch.Tensor) -> torch.Tensor:
        x = quarter(images)
        for _ in range(2):
            x = F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=True)
        return x

    image = torch.rand(3, *size, dtype=torch.float64) * 2 - 1
    grid = scaled_size(*size, 12)
    theirs = area_average(multi_scale(forward, image[None], base=104, crop=96)[0], grid)
    ours, shares, count = torch.zeros(1), torch.zeros(grid), 0
    for window in windows(image, grid, base=104, crop=96):
        straight = quarter(window.image[None])[0]
        mirrored = quarter(window.image.flip(-1)[None])[0].flip(-1)
        ours = ours + apply_to_axes(straight + mirrored, window.rows, window.columns)
        shares = shares + window.rows.sum(dim=1)[:, None] * window.columns.sum(dim=1)
        count += 1
    torch.testing.assert_close(ours, theirs)
    torch.testing.assert_close(shares, torch.full_like(shares, len(SCALES)))
    assert count > len(SCALES)
