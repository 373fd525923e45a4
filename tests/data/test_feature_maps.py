"""Maps on disk, and sampling them against brute force and torch's own."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from dff.data import feature_maps
from dff.data.feature_file import MapEntry, MapFacts, to_half, write_map
from dff.data.feature_maps import FeatureMaps
from dff.data.feature_rows import MappedRows, ReadRows

SHAPES = [(6, 8, 5), (6, 8, 5), (9, 4, 5), (1, 1, 5), (7, 1, 5), (1, 6, 5)]
SIZES = [
    (48, 64),
    (61, 83),
    (90, 40),
    (7, 9),
    (50, 10),
    (9, 50),
]  # of the images, not always whole cells


def write(path: Path, features: torch.Tensor) -> MapEntry:
    return write_map(path, to_half(features), MapFacts())


@pytest.fixture(params=[1 << 30, 0], ids=["mapped", "read"])
def maps(tmp_path, request) -> FeatureMaps:
    """Maps of all shapes, fetched in both ways."""
    entries = [write(tmp_path / f"{i}.fmap", torch.randn(*s)) for i, s in enumerate(SHAPES)]
    maps = FeatureMaps(entries, mapped_bytes=request.param)
    assert isinstance(maps._rows, MappedRows if request.param else ReadRows)
    return maps


def brute_force(grid: np.ndarray, y: float, x: float, height: int, width: int) -> list[float]:
    """Bilinear between cell centres, cell by cell, in Python floats."""
    h, w, d = grid.shape
    result = [0.0] * d
    v = min(max((y + 0.5) / height * h - 0.5, 0.0), h - 1.0)
    u = min(max((x + 0.5) / width * w - 0.5, 0.0), w - 1.0)
    for i in range(h):
        for j in range(w):
            weight = max(0.0, 1 - abs(v - i)) * max(0.0, 1 - abs(u - j))
            for k in range(d):
                result[k] += weight * float(grid[i, j, k])
    return result


def random_pixels(count: int):
    image = torch.randint(0, len(SHAPES), (count,))
    heights = torch.tensor([s[0] for s in SIZES])[image]
    widths = torch.tensor([s[1] for s in SIZES])[image]
    return image, (torch.rand(count) * heights).long(), (torch.rand(count) * widths).long()


def test_maps_come_back_as_float16(maps, tmp_path):
    features = torch.randn(3, 4, 2)
    entry = write(tmp_path / "a.fmap", features)
    got = FeatureMaps([entry]).map(0)
    assert got.dtype == np.float16
    assert np.array_equal(got, features.half().numpy())
    assert len(maps) == 6
    assert maps.dim == 5
    assert [maps.shape(i) for i in range(6)] == SHAPES
    with pytest.raises(ValueError, match="read-only"):
        got[0, 0, 0] = 1


def test_sampling_agrees_with_brute_force(maps):
    image, ys, xs = random_pixels(300)
    heights = torch.tensor([s[0] for s in SIZES])[image]
    widths = torch.tensor([s[1] for s in SIZES])[image]
    got = maps.sample(image, ys, xs, heights, widths)
    assert got.dtype == torch.float32
    expected = [
        brute_force(maps.map(int(i)), int(y), int(x), *SIZES[int(i)])
        for i, y, x in zip(image, ys, xs, strict=True)
    ]
    torch.testing.assert_close(got, torch.tensor(expected), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("index", range(len(SHAPES)))
def test_sampling_every_pixel_agrees_with_grid_sample(maps, index):
    height, width = SIZES[index]
    ys, xs = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    grid = torch.from_numpy(maps.map(index).astype(np.float64)).permute(2, 0, 1)[None]
    where = torch.stack([(xs + 0.5) / width * 2 - 1, (ys + 0.5) / height * 2 - 1], -1).double()
    expected = F.grid_sample(grid, where[None], align_corners=False, padding_mode="border")
    which = torch.full((height * width,), index)
    got = maps.sample(which, ys.flatten(), xs.flatten(), height, width)
    torch.testing.assert_close(got, expected[0].flatten(1).T.float(), rtol=1e-5, atol=1e-5)


def test_many_pixels_are_sampled_in_blocks(maps, monkeypatch):
    image, ys, xs = random_pixels(100)
    whole = maps.sample(image, ys, xs, 48, 64)
    monkeypatch.setattr(feature_maps, "_BLOCK", 7)
    torch.testing.assert_close(maps.sample(image, ys, xs, 48, 64), whole)


def test_cell_centres_give_the_cells_themselves(maps):
    # In an image as large as the grid, pixel and cell are the same square.
    ys, xs = torch.meshgrid(torch.arange(9), torch.arange(4), indexing="ij")
    got = maps.sample(torch.full((36,), 2), ys.flatten(), xs.flatten(), 9, 4)
    assert np.array_equal(got.numpy(), maps.map(2).reshape(36, 5).astype(np.float32))


def test_sampling_knows_its_bounds(maps):
    with pytest.raises(IndexError, match="6 feature maps"):
        maps.sample(torch.tensor([6]), torch.tensor([0]), torch.tensor([0]), 48, 64)
    nothing = torch.empty(0, dtype=torch.long)
    assert maps.sample(nothing, nothing, nothing, 48, 64).shape == (0, 5)


def test_maps_of_different_widths_do_not_mix(tmp_path):
    entries = [write(tmp_path / str(d), torch.randn(2, 2, d)) for d in (3, 4)]
    for wrong in (entries, []):
        with pytest.raises(ValueError, match="feature width"):
            FeatureMaps(wrong)


def test_no_file_stays_open(tmp_path):
    before = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else None
    if before is None:
        pytest.skip("needs /proc")
    maps = FeatureMaps([write(tmp_path / str(i), torch.randn(2, 2, 2)) for i in range(50)])
    zeros = torch.zeros(50, dtype=torch.long)
    assert torch.isfinite(maps.sample(torch.arange(50), zeros, zeros, 4, 4)).all()
    assert len(os.listdir("/proc/self/fd")) <= before + 2


def test_a_basis_must_fit(tmp_path):
    entries = [write(tmp_path / "a", torch.randn(2, 2, 3))]
    assert FeatureMaps(entries, torch.eye(5)[:3]).basis.shape == (3, 5)
    with pytest.raises(ValueError, match="rows"):
        FeatureMaps(entries, torch.eye(5)[:4])
