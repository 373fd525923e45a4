"""Frames in a view of a made-up scene: pixels are the voxels of a plan seen from above."""

from __future__ import annotations

import sys
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parent))

from balls import CAP, CENTRES, RADIUS, RED, TABLE, TWIN, scene

from dff.selection.framed import framed


def seen_from_above(grid):
    """The voxel of each pixel of a plan, and the pixels' x and y."""
    y, x = torch.meshgrid(*[torch.linspace(0.01, 0.99, 99)] * 2, indexing="ij")
    place = torch.stack([x, y], dim=-1).flatten(0, 1)
    height = torch.full((len(place), 1), 0.4)
    for centre in CENTRES.values():
        away = (place - torch.tensor(centre[:2])).square().sum(dim=1, keepdim=True)
        top = centre[2] + (RADIUS**2 - away).clamp_min(0).sqrt()
        height = torch.where(away < RADIUS**2, top, height)
    return grid.voxel_at(torch.cat([place, height], dim=1)), place


def frame(place, centre, half):
    return ((place - torch.tensor(centre[:2])).abs() < half).all(dim=1)


def test_a_frame_around_a_thing_is_that_thing():
    grid, features, kinds = scene()
    voxels, place = seen_from_above(grid)
    for kind in (RED, TWIN):
        seed = framed(grid, [features], voxels, frame(place, CENTRES[kind], RADIUS))
        assert seed is not None
        assert kinds[seed] in ((RED, CAP) if kind == RED else (TWIN,))


def test_a_frame_that_holds_little_of_anything_shows_no_thing():
    grid, features, _ = scene()
    voxels, place = seen_from_above(grid)
    assert framed(grid, [features], voxels, frame(place, (0.3, 0.8), 0.05)) is None
    assert framed(grid, [features], voxels, torch.zeros(len(voxels), dtype=torch.bool)) is None


def test_a_frame_around_everything_is_what_things_stand_on():
    grid, features, kinds = scene()
    voxels, _ = seen_from_above(grid)
    seed = framed(grid, [features], voxels, torch.ones(len(voxels), dtype=torch.bool))
    assert seed is not None
    assert kinds[seed] == TABLE
