"""Maps on disk, and sampling them against brute force and torch's own."""

from __future__ import annotations

import math
import os

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from dff.data import feature_maps
from dff.data.feature_maps import HEADER_BYTES, FeatureMaps, check_map, map_bytes, write_map

SHAPES = [(6, 8, 5), (6, 8, 5), (9, 4, 5), (1, 1, 5)]
SIZES = [(48, 64), (61, 83), (90, 40), (7, 9)]  # of the images, not always whole cells


@pytest.fixture
def maps(tmp_path) -> FeatureMaps:
    return FeatureMaps(
        [write_map(tmp_path / f"{i}.fmap", torch.randn(*shape)) for i, shape in enumerate(SHAPES)]
    )


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
    entry = write_map(tmp_path / "a.fmap", features)
    assert check_map(entry.path) == entry
    assert os.path.getsize(entry.path) == map_bytes((3, 4, 2))
    got = FeatureMaps([entry]).map(0)
    assert got.dtype == np.float16
    assert np.array_equal(got, features.half().numpy())
    assert len(maps) == 4
    assert maps.dim == 5
    assert [maps.shape(i) for i in range(4)] == SHAPES
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
    with pytest.raises(IndexError, match="4 feature maps"):
        maps.sample(torch.tensor([4]), torch.tensor([0]), torch.tensor([0]), 48, 64)
    nothing = torch.empty(0, dtype=torch.long)
    assert maps.sample(nothing, nothing, nothing, 48, 64).shape == (0, 5)


def test_maps_of_different_widths_do_not_mix(tmp_path):
    entries = [write_map(tmp_path / str(d), torch.randn(2, 2, d)) for d in (3, 4)]
    for wrong in (entries, []):
        with pytest.raises(ValueError, match="feature width"):
            FeatureMaps(wrong)


def test_no_file_stays_open(tmp_path):
    before = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else None
    if before is None:
        pytest.skip("needs /proc")
    maps = FeatureMaps([write_map(tmp_path / str(i), torch.randn(2, 2, 2)) for i in range(50)])
    zeros = torch.zeros(50, dtype=torch.long)
    assert torch.isfinite(maps.sample(torch.arange(50), zeros, zeros, 4, 4)).all()
    assert len(os.listdir("/proc/self/fd")) <= before + 2


def test_every_kind_of_damage_is_seen(tmp_path):
    path = tmp_path / "a.fmap"
    write_map(path, torch.randn(3, 4, 2))
    whole = path.read_bytes()
    flipped = bytearray(whole)
    flipped[-5] ^= 1
    for broken in (
        b"",
        whole[:10],
        whole[:-1],
        whole + b"\0",
        bytes(flipped),
        b"x" + whole[1:],
        whole[:20] + b"\xff" * (HEADER_BYTES - 20) + whole[HEADER_BYTES:],
        whole.replace(b"[3, 4, 2]", b"[4, 3, 2 "),
        whole.replace(b"[3, 4, 2]", b"[3, 4]   "),
    ):
        path.write_bytes(broken)
        assert check_map(path) is None
    assert check_map(tmp_path / "none.fmap") is None
    path.write_bytes(whole)
    assert math.prod(check_map(path).shape) == 24
