"""The baked surface against brute force: means, neighbours, components."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from dff.selection.surface_grid import SurfaceGrid
from dff.selection.surface_snap import cells


def grid_of(points: torch.Tensor, resolution: int = 16, **more) -> SurfaceGrid:
    """A grid of points in the unit cube, world units being ten times as large."""
    hidden = more.get("hidden", torch.ones(len(points), 2))
    rgb = more.get("rgb", torch.zeros(len(points), 3))
    return SurfaceGrid.build(points, 10 * points, hidden, rgb, resolution)


def test_voxels_hold_the_means_of_what_met_them():
    points, hidden, rgb = torch.rand(300, 3), torch.randn(300, 5), torch.rand(300, 3)
    grid = grid_of(points, 4, hidden=hidden, rgb=rgb)
    number = cells(points, 4)
    assert torch.equal(torch.unique(number), grid.snap.seen)
    for index, voxel in enumerate(grid.snap.seen.tolist()):
        mine = number == voxel
        assert int(grid.rays[index]) == int(mine.sum())
        torch.testing.assert_close(grid.hidden[index], hidden[mine].mean(dim=0))
        torch.testing.assert_close(grid.rgb[index], rgb[mine].mean(dim=0))
        torch.testing.assert_close(grid.points[index], 10 * points[mine].mean(dim=0))


def test_neighbours_are_those_whose_corners_touch():
    grid = grid_of(torch.rand(120, 3), 6)
    corners = np.stack(np.unravel_index(grid.snap.seen.numpy(), (6, 6, 6)), axis=1)
    expected = {
        (a, b)
        for a, b in itertools.combinations(range(len(grid)), 2)
        if np.abs(corners[a] - corners[b]).max() == 1
    }
    assert {tuple(sorted(pair)) for pair in grid.pairs.tolist()} == expected


def test_components_against_flooding_by_hand():
    grid = grid_of(torch.rand(200, 3), 8)
    selected = torch.rand(len(grid)) < 0.5
    beside = {index: set() for index in range(len(grid))}
    for a, b in grid.pairs.tolist():
        beside[a].add(b)
        beside[b].add(a)
    left, groups = set(selected.nonzero()[:, 0].tolist()), []
    while left:
        group, edge = set(), {left.pop()}
        while edge:
            index = edge.pop()
            group.add(index)
            fresh = (beside[index] & left) - group
            left -= fresh
            edge |= fresh
        groups.append(group)
    number = grid.components(selected)
    assert bool((number[~selected] == -1).all())
    found = [set((number == k).nonzero()[:, 0].tolist()) for k in range(int(number.max()) + 1)]
    assert sorted(map(sorted, found)) == sorted(map(sorted, groups))
    weights = [float(grid.rays[list(group)].sum()) for group in found]
    assert weights == sorted(weights, reverse=True)


def test_nothing_selected_has_no_components():
    grid = grid_of(torch.rand(50, 3))
    assert bool((grid.components(torch.zeros(len(grid), dtype=torch.bool)) == -1).all())


def test_the_voxel_at_a_place_is_the_nearest_one():
    grid = grid_of(torch.rand(60, 3), 8)
    centres = torch.stack(
        torch.meshgrid(*[(torch.arange(8) + 0.5) / 8] * 3, indexing="ij"), dim=-1
    ).view(-1, 3)
    corners = np.stack(np.unravel_index(grid.snap.seen.numpy(), (8, 8, 8)), axis=1)
    distance = torch.cdist(centres * 8 - 0.5, torch.from_numpy(corners).float())
    chosen = grid.voxel_at(centres)
    found = distance[torch.arange(len(centres)), chosen]
    torch.testing.assert_close(found, distance.min(dim=1).values)


def test_the_fingerprint_tells_grids_apart():
    points = torch.rand(50, 3)
    same, other = grid_of(points), grid_of(points, hidden=torch.zeros(50, 2))
    assert grid_of(points).fingerprint == same.fingerprint
    assert other.fingerprint != same.fingerprint
    assert grid_of(points, 8).fingerprint != same.fingerprint


def test_spacing_is_the_distance_of_neighbours():
    axis = (torch.arange(8) + 0.5) / 16
    plane = torch.stack(torch.meshgrid(axis, axis, torch.tensor([0.5]), indexing="ij"), -1)
    # Half of the neighbours lie beside each other, the others across: 10 / 16 is the smaller one.
    assert grid_of(plane.view(-1, 3)).spacing == pytest.approx(10 / 16, rel=1e-5)


def test_an_empty_grid_does_no_harm():
    grid = grid_of(torch.zeros(0, 3))
    assert len(grid) == 0
    assert grid.spacing == 0.0
    assert len(grid.components(torch.zeros(0, dtype=torch.bool))) == 0


def test_between_voxels_values_are_trilinear_over_the_occupied_ones():
    resolution = 4
    cells = torch.tensor([[1, 1, 1], [2, 1, 1], [1, 2, 1]])
    points = (cells + 0.5) / resolution
    grid = SurfaceGrid.build(points, points, torch.ones(3, 2), torch.ones(3, 3), resolution)
    values = torch.zeros(3)
    values[grid.voxel_at(points)] = torch.tensor([0.0, 1.0, 0.5])
    asked = torch.stack(
        [
            points[0],
            points[1],
            (points[0] + points[1]) / 2,
            0.75 * points[0] + 0.25 * points[2],
            # The fourth corner of this square is empty: 0.36, 0.24 and 0.24 are what counts.
            points[0] + 0.4 * (points[1] - points[0]) + 0.4 * (points[2] - points[0]),
            torch.tensor([0.99, 0.3, 0.3]),
        ]
    )
    expected = [0.0, 1.0, 0.5, 0.125, (0.24 * 1.0 + 0.24 * 0.5) / 0.84, 1.0]
    assert torch.allclose(grid.sampled(values, asked), torch.tensor(expected), atol=1e-6)
