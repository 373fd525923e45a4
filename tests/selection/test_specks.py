"""Specks are dropped; things of similar size, and things with small gaps, stay whole."""

from __future__ import annotations

import torch

from dff.selection.specks import without_specks
from dff.selection.surface_grid import SurfaceGrid


def grid_of(points: torch.Tensor, resolution: int = 32) -> SurfaceGrid:
    return SurfaceGrid.build(
        points, points, torch.ones(len(points), 1), torch.zeros(len(points), 3), resolution
    )


def test_specks_are_dropped_and_things_of_similar_size_stay():
    generator = torch.Generator().manual_seed(4)
    big = 0.2 + 0.2 * torch.rand(3000, 3, generator=generator)
    other = 0.6 + 0.15 * torch.rand(2000, 3, generator=generator)
    speck = torch.tensor([[0.9, 0.1, 0.5]])
    floor = torch.rand(2000, 3, generator=generator) * torch.tensor([1.0, 1.0, 0.02])
    grid = grid_of(torch.cat([big, other, speck, floor]))
    selected = grid.points[:, 2] > 0.1
    before = selected.clone()
    kept = without_specks(grid, selected)
    assert kept[grid.voxel_at(big)].all()
    assert kept[grid.voxel_at(other)].all()
    assert not kept[grid.voxel_at(speck)].any()
    assert not kept[grid.voxel_at(floor)].any()
    assert torch.equal(selected, before)


def test_a_thing_with_gaps_of_a_voxel_is_one():
    # Every other voxel of a line: forty single voxels, none of which is a speck.
    line = torch.zeros(40, 3)
    line[:, 0] = (2 * torch.arange(40) + 0.5) / 80
    grid = grid_of(line, resolution=80)
    assert without_specks(grid, torch.ones(40, dtype=torch.bool)).all()


def test_without_anything_seen_or_selected_nothing_is_dropped():
    assert len(without_specks(grid_of(torch.zeros(0, 3)), torch.zeros(0, dtype=torch.bool))) == 0
    grid = grid_of(torch.rand(300, 3, generator=torch.Generator().manual_seed(0)))
    assert not without_specks(grid, torch.zeros(len(grid), dtype=torch.bool)).any()
