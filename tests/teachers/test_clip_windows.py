"""Sliding windows: cover everything, average what they see, see nothing else."""

from __future__ import annotations

import sys
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file

from dff.teachers.clip import ClipTeacher
from dff.teachers.options import ClipOptions
from dff.teachers.sliding_window import average_windows, window_starts

sys.path.insert(0, str(Path(__file__).parent))

from clip_reference import random_model, register, tiny_config

PATCH = 8


@given(st.integers(1, 200), st.integers(1, 60))
def test_windows_cover_the_line_and_overlap_by_half(length, window) -> None:
    starts = window_starts(length, window)
    covered = {cell for start in starts for cell in range(start, start + window)}
    assert covered.issuperset(range(length))
    assert starts == sorted(set(starts))
    assert starts[0] == 0
    assert starts[-1] == max(0, length - window)
    steps = [after - before for before, after in pairwise(starts)]
    assert all(0 < step <= max(1, window // 2) for step in steps)


def brute_force(encode, images, patch, window) -> torch.Tensor:
    """Cell by cell: the mean over the windows that hold it."""
    rows, columns = images.shape[2] // patch[0], images.shape[3] // patch[1]
    height, width = min(window[0], rows), min(window[1], columns)
    cells: dict[tuple[int, int], list[torch.Tensor]] = {}
    for top in window_starts(rows, height):
        for left in window_starts(columns, width):
            crop = images[:, :, top * patch[0] :, left * patch[1] :]
            features = encode(crop[:, :, : height * patch[0], : width * patch[1]])
            for i in range(height):
                for j in range(width):
                    cells.setdefault((top + i, left + j), []).append(features[:, i, j])
    stacked = [
        torch.stack([torch.stack(cells[i, j]).double().mean(0) for j in range(columns)])
        for i in range(rows)
    ]
    return torch.stack(stacked).permute(2, 0, 1, 3)


@pytest.mark.parametrize(
    ("size", "window"), [((6, 9), (4, 4)), ((5, 3), (2, 5)), ((3, 3), (1, 1)), ((7, 4), (3, 2))]
)
def test_a_cell_is_the_mean_of_the_windows_that_cover_it(size, window) -> None:
    patch = (2, 3)

    def encode(crops: torch.Tensor) -> torch.Tensor:
        # Depends on the whole crop and on the place in it.
        cells = F.avg_pool2d(crops, patch).permute(0, 2, 3, 1)
        place = torch.arange(cells.shape[1] * cells.shape[2]).reshape(1, *cells.shape[1:3], 1)
        return cells * (1 + place) + crops.std(dim=(1, 2, 3))[:, None, None, None]

    images = torch.rand(2, 3, size[0] * patch[0], size[1] * patch[1])
    features = average_windows(encode, images, patch, window)
    wanted = brute_force(encode, images, patch, window)
    assert features.shape == (2, *size, 3)
    assert torch.allclose(features.double(), wanted, atol=1e-5)


@pytest.fixture(scope="module")
def options(tmp_path_factory) -> ClipOptions:
    folder = tmp_path_factory.mktemp("windows")
    register(folder, "dff-windows", tiny_config())
    save_file(random_model(tiny_config(), 1).state_dict(), folder / "w.safetensors")
    return ClipOptions(checkpoint=folder / "w.safetensors", model="dff-windows", long_side=80)


def test_one_window_is_the_whole_image(options) -> None:
    image = torch.rand(80, 56, 3)
    whole = ClipTeacher.load(options).encode_image(image)
    for window in (80, 1000):
        one = ClipTeacher.load(replace(options, window=window)).encode_image(image)
        assert torch.allclose(one, whole, atol=1e-6)


def test_windows_are_averaged_before_normalising(options) -> None:
    image = torch.rand(1, 3, 80, 56)
    teacher = ClipTeacher.load(replace(options, window=33))  # four patches of 8
    colours = (image - torch.tensor(teacher._source.mean)[:, None, None]) / torch.tensor(
        teacher._source.std
    )[:, None, None]
    wanted = F.normalize(brute_force(teacher._tower, colours, (8, 8), (4, 4)), dim=-1)
    assert torch.allclose(teacher.encode_batch(image).double(), wanted, atol=1e-5)


def test_what_lies_outside_of_its_windows_does_not_reach_a_cell(options) -> None:
    """Padding an image on the right and below leaves the cells alone whose windows are the same."""
    teacher = ClipTeacher.load(replace(options, window=32))
    images = torch.rand(1, 3, 48, 64)
    padded = F.pad(images, (0, 32, 0, 16), value=0.7)
    small, large = teacher.encode_batch(images), teacher.encode_batch(padded)
    # Windows of 4 cells every 2: those that start before row 2 and column 4 are in both.
    assert torch.allclose(small[:, :4, :6], large[:, :4, :6], atol=1e-6)
    assert (small[:, 4:] - large[:, 4:6, :8]).abs().max() > 1e-3


def test_without_windows_everything_reaches_everywhere(options) -> None:
    teacher = ClipTeacher.load(options)
    images = torch.rand(1, 3, 48, 64)
    changed = images.clone()
    changed[..., -8:] = 0.7
    assert (teacher.encode_batch(images) - teacher.encode_batch(changed))[
        0, 0, 0
    ].abs().max() > 1e-4
