"""What nothing but a thing holds goes with it; what rests on it, or on the table, does not."""

from __future__ import annotations

import itertools
import math

import pytest
import torch

from dff.selection.islands import held_alone, islands
from dff.selection.surface_grid import SurfaceGrid

SIZE = 32


def grid_of(*boxes: tuple[tuple[int, int], tuple[int, int], tuple[int, int]]) -> SurfaceGrid:
    """One ray in each voxel of some boxes of voxels, each given by its ranges."""
    places = [place for box in boxes for place in itertools.product(*(range(*r) for r in box))]
    points = (torch.tensor(sorted(set(places)), dtype=torch.float) + 0.5) / SIZE
    return SurfaceGrid.build(
        points, points, torch.ones(len(points), 1), torch.zeros(len(points), 3), SIZE
    )


def inside(grid: SurfaceGrid, *ranges: tuple[int, int]) -> torch.Tensor:
    low, high = (torch.tensor([r[k] for r in ranges]) / SIZE for k in (0, 1))
    return ((grid.points > low) & (grid.points < high)).all(dim=1)


FLOOR = ((0, 32), (0, 32), (0, 1))
BOTTLE = ((8, 12), (8, 12), (1, 9))
CAP = ((9, 11), (9, 11), (9, 13))


def test_a_cap_goes_with_its_bottle_and_a_bottle_not_with_its_cap():
    grid = grid_of(FLOOR, BOTTLE, CAP)
    bottle, cap = inside(grid, *BOTTLE), inside(grid, *CAP)
    assert torch.equal(held_alone(grid, bottle), cap)
    assert not held_alone(grid, cap).any()
    # Neither what is left of the cap nor the bottle itself is an island with the cap selected.
    assert not held_alone(grid, bottle | cap).any()


def test_what_touches_something_else_too_is_held_by_it():
    shelf = ((9, 11), (9, 32), (12, 13))
    wall = ((0, 32), (31, 32), (0, 32))
    grid = grid_of(FLOOR, BOTTLE, CAP, shelf, wall)
    assert not held_alone(grid, inside(grid, *BOTTLE)).any()


def test_what_is_large_beside_its_holder_is_a_thing_on_another():
    ball = ((8, 12), (8, 12), (9, 12))
    grid = grid_of(FLOOR, BOTTLE, ball)
    assert not held_alone(grid, inside(grid, *BOTTLE)).any()
    assert torch.equal(islands(grid, inside(grid, *BOTTLE), 0.5), inside(grid, *ball))


def test_things_do_not_go_with_the_table_that_they_stand_on():
    grid = grid_of(FLOOR, BOTTLE, CAP)
    floor = inside(grid, *FLOOR)
    assert not held_alone(grid, floor).any()
    assert torch.equal(islands(grid, floor, 0.2), ~floor)


def test_the_holder_that_counts_is_the_one_that_is_touched():
    # As many voxels as the cap has, alone on the floor, hold no share of the bottle's.
    crumb, dot = ((20, 21), (20, 22), (1, 2)), ((20, 21), (20, 21), (2, 3))
    grid = grid_of(FLOOR, BOTTLE, CAP, crumb, dot)
    held = held_alone(grid, inside(grid, *BOTTLE) | inside(grid, *crumb))
    assert torch.equal(held, inside(grid, *CAP))


def test_an_unwanted_voxel_keeps_its_island_away():
    grid = grid_of(FLOOR, BOTTLE, CAP)
    unwanted = inside(grid, (9, 10), (9, 10), (12, 13))
    assert unwanted.sum() == 1
    assert not held_alone(grid, inside(grid, *BOTTLE), unwanted).any()


@pytest.mark.parametrize("seed", range(6))
def test_as_by_walking_from_voxel_to_voxel(seed):
    generator = torch.Generator().manual_seed(seed)
    points = torch.rand(250, 3, generator=generator) * 0.25
    grid = SurfaceGrid.build(points, points, torch.ones(250, 1), torch.zeros(250, 3), SIZE)
    selected = torch.rand(len(grid), generator=generator) < 0.5
    place = [tuple(row) for row in (grid.points * SIZE).long().tolist()]
    number = {where: k for k, where in enumerate(place)}

    def neighbours(k: int) -> list[int]:
        steps = itertools.product((-1, 0, 1), repeat=3)
        around = (tuple(a + b for a, b in zip(place[k], step, strict=True)) for step in steps)
        return [number[where] for where in around if number.get(where, k) != k]

    part_of: dict[int, int] = {}
    for start in range(len(grid)):
        left = [] if start in part_of else [start]
        while left:
            here = left.pop()
            part_of[here] = start
            alike = (k for k in neighbours(here) if selected[k] == selected[start])
            left.extend(k for k in alike if k not in part_of)
    rays = dict.fromkeys(part_of.values(), 0)
    for k, part in part_of.items():
        rays[part] += int(grid.rays[k])

    for share, most in ((0.1, math.inf), (0.5, 20.0), (1.0, math.inf)):
        wanted = torch.zeros(len(grid), dtype=torch.bool)
        for part in {part_of[k] for k in range(len(grid)) if not selected[k]}:
            mine = [k for k in part_of if part_of[k] == part]
            touched = {part_of[j] for k in mine for j in neighbours(k) if selected[j]}
            holders = [rays[land] for land in touched if rays[land] <= most]
            wanted[mine] = rays[part] < share * max(holders, default=0)
        assert torch.equal(islands(grid, selected, share, most), wanted)
        assert torch.equal(islands(grid, selected, share, most, steps=40), wanted)
        assert wanted.any() or most < math.inf


def test_a_part_that_reaches_too_far_is_left_out_where_that_is_asked():
    pole = ((10, 11), (10, 11), (9, 20))
    grid = grid_of(FLOOR, BOTTLE, pole)
    bottle = inside(grid, *BOTTLE)
    for steps, found in ((10, False), (11, True)):
        held = islands(grid, bottle, 0.2, steps=steps)
        assert torch.equal(held, inside(grid, *pole) & found)


def test_nothing_selected_and_everything_selected_have_no_islands():
    grid = grid_of(FLOOR, BOTTLE)
    for value in (False, True):
        assert not islands(grid, torch.full((len(grid),), value), 1.0).any()
