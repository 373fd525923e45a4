"""Clicks on things of known shape and look: a table, balls on it, one of two looks."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

sys.path.insert(0, str(Path(__file__).parent))

from balls import CAP, CENTRES, RADIUS, RED, TABLE, TWIN, iou, nearest, scene

from dff.errors import DffError
from dff.selection.clicked import select_clicked

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
