"""Clicks on things of known shape and look: a table, balls on it, one of two looks."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from dff.errors import DffError
from dff.selection.clicked import select_clicked
from dff.selection.surface_grid import SurfaceGrid

RESOLUTION = 48
TABLE, RED, TWIN, CAP = 0, 1, 2, 3
CENTRES = {RED: (0.3, 0.3, 0.5), TWIN: (0.7, 0.7, 0.5)}
RADIUS = 0.12


def ball(centre: tuple[float, float, float], count: int, generator) -> torch.Tensor:
    directions = F.normalize(torch.randn(count, 3, generator=generator), dim=-1)
    return torch.tensor(centre) + RADIUS * directions


def scene(touching: bool = False, noise: float = 0.05):
    """Grid, unit features and the kind of each voxel; a ball's upper quarter has its own look."""
    generator = torch.Generator().manual_seed(0)
    table = torch.rand(60_000, 3, generator=generator)
    table[:, 2] = 0.40
    second = (0.3 + 1.9 * RADIUS, 0.3, 0.5) if touching else CENTRES[TWIN]
    red, twin = ball(CENTRES[RED], 12_000, generator), ball(second, 12_000, generator)
    points = torch.cat([table, red, twin])
    kinds = torch.cat([torch.full((len(p),), k) for k, p in ((0, table), (1, red), (2, twin))])
    kinds[(kinds == RED) & (points[:, 2] > 0.5 + RADIUS / 2)] = CAP
    looks = F.one_hot(torch.tensor([0, 1, 1, 2]), 8).float()[kinds]
    looks = looks + noise * torch.randn(len(looks), 8, generator=generator)
    grid = SurfaceGrid.build(points, points, looks, torch.zeros_like(points), RESOLUTION)
    voxel = grid.voxel_at(points)
    votes = torch.zeros(len(grid), 4).index_put_(
        (voxel, kinds), torch.ones(len(voxel)), accumulate=True
    )
    return grid, F.normalize(grid.hidden, dim=-1), votes.argmax(dim=1)


def nearest(grid: SurfaceGrid, place: tuple[float, float, float]) -> int:
    return int(grid.tree.query(place)[1])


def iou(chosen: torch.Tensor, truth: torch.Tensor) -> float:
    return float((chosen & truth).sum() / (chosen | truth).sum())


SIDE = (0.3 - RADIUS, 0.3, 0.5)
TOP = (0.3, 0.3, 0.5 + RADIUS)
FAR_TABLE = (0.1, 0.9, 0.40)


def test_one_click_is_the_part_of_that_look_and_not_its_twin():
    grid, features, kinds = scene()
    found = select_clicked(grid, [features], [nearest(grid, SIDE)])
    assert iou(found.chosen, kinds == RED) > 0.9
    assert not (found.chosen & (kinds == TWIN)).any()


def test_a_click_on_each_look_is_the_whole_thing():
    grid, features, kinds = scene()
    seeds = [nearest(grid, SIDE), nearest(grid, TOP)]
    found = select_clicked(grid, [features], seeds)
    assert iou(found.chosen, (kinds == RED) | (kinds == CAP)) > 0.9


def test_the_table_is_a_thing_too():
    grid, features, kinds = scene()
    found = select_clicked(grid, [features], [nearest(grid, FAR_TABLE)])
    assert iou(found.chosen, kinds == TABLE) > 0.9


def test_order_and_repetition_change_nothing():
    grid, features, _ = scene()
    side, top, table = (nearest(grid, place) for place in (SIDE, TOP, FAR_TABLE))
    first = select_clicked(grid, [features], [side, top], [table])
    for seeds, others in (([top, side], [table]), ([side, top, side], [table, table])):
        again = select_clicked(grid, [features], seeds, others)
        assert torch.equal(again.chosen, first.chosen)
        assert torch.equal(again.firm, first.firm)


def test_a_click_on_a_rim_adds_its_place_and_does_not_leak():
    grid, features, kinds = scene()
    side = nearest(grid, SIDE)
    # The voxel that is most evenly of table and of this ball.
    here = (kinds <= RED) & (grid.points[:, 0] < 0.5)
    rim = int(torch.where(here, features[:, :2].amin(dim=1), 0).argmax())
    alone = select_clicked(grid, [features], [side])
    both = select_clicked(grid, [features], [side, rim])
    assert both.chosen[rim]
    assert both.firm[rim]
    assert not (alone.chosen & ~both.chosen & (kinds == RED)).any()
    assert int((both.chosen & (kinds == TABLE)).sum()) < 40


def test_an_unwanted_click_parts_two_that_touch_and_look_alike():
    grid, features, _ = scene(touching=True)
    left, right = nearest(grid, SIDE), nearest(grid, (0.3 + 2.9 * RADIUS, 0.3, 0.5))
    together = select_clicked(grid, [features], [left])
    assert together.chosen[right]
    apart = select_clicked(grid, [features], [left], [right])
    assert apart.chosen[left]
    assert not apart.chosen[right]
    # By symmetry the border is the plane half way between the two clicks.
    middle = 0.3 + 0.95 * RADIUS
    wanted = together.chosen & (grid.points[:, 0] < middle)
    assert iou(apart.chosen, wanted) > 0.85


def test_an_unwanted_click_elsewhere_changes_nothing():
    grid, features, _ = scene()
    side = nearest(grid, SIDE)
    alone = select_clicked(grid, [features], [side])
    beside = select_clicked(grid, [features], [side], [nearest(grid, CENTRES[TWIN])])
    assert iou(alone.chosen, beside.chosen) == 1.0


def test_two_teachers_have_to_agree():
    grid, features, kinds = scene()
    # A second one that tells the two halves of the ball apart, and nothing else.
    west = (grid.points[:, 0] < 0.3).long()
    halves = F.one_hot(west, 2).float()
    found = select_clicked(grid, [features, halves], [nearest(grid, SIDE)])
    truth = (kinds == RED) & (west == 1)
    assert iou(found.chosen, truth) > 0.85


def test_nothing_clicked_is_one_line():
    grid, features, _ = scene()
    with pytest.raises(DffError, match="at least one positive click"):
        select_clicked(grid, [features], [])
