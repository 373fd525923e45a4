"""Regions of a table with balls on it, against the kinds that the voxels are known to be of."""

from __future__ import annotations

import itertools
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

sys.path.insert(0, str(Path(__file__).parent))

from balls import CAP, CENTRES, RADIUS, RED, TABLE, TWIN, iou, nearest, scene

from dff.selection.regions import LEVELS, Regions
from dff.selection.surface_grid import components_of_graph

SIDE = (0.3 - RADIUS, 0.3, 0.5)
TOP = (0.3, 0.3, 0.5 + RADIUS)


@pytest.fixture(scope="module")
def made():
    return scene()


def two_looks(cosine: float) -> torch.Tensor:
    """Features of the made-up scene in which cap and ball have this cosine."""
    look = torch.eye(8)[:4].clone()
    look[CAP] = 0
    look[RED] = look[TWIN] = torch.eye(8)[1]
    look[CAP, 1], look[CAP, 2] = cosine, (1 - cosine**2) ** 0.5
    return look


def test_a_thing_of_two_looks_is_one_region_where_they_are_alike_enough(made):
    grid, _, kinds = made
    for cosine, together in ((0.8, True), (0.6, False)):
        regions = Regions.of(grid, [two_looks(cosine)[kinds]])
        region = regions.thing(nearest(grid, SIDE))
        assert region is not None
        truth = (kinds == RED) | ((kinds == CAP) if together else False)
        assert iou(region, truth) == 1.0


def test_things_that_do_not_touch_stay_apart_however_alike(made):
    grid, features, kinds = made
    region = Regions.of(grid, [features]).thing(nearest(grid, SIDE))
    assert region is not None
    red = kinds == RED
    assert float(region[red].float().mean()) > 0.8
    assert not (region & ((kinds == TABLE) | (kinds == TWIN))).any()


def test_what_things_stand_on_is_no_thing(made):
    grid, features, kinds = made
    regions = Regions.of(grid, [features])
    assert kinds[regions.ground] == TABLE
    assert regions.thing(nearest(grid, (0.1, 0.9, 0.40))) is None


def test_each_level_joins_regions_of_the_one_before(made):
    grid, features, _ = made
    numbers = Regions.of(grid, [features]).numbers
    assert len(numbers) == len(LEVELS)
    for finer, coarser in itertools.pairwise(numbers):
        pairs = torch.unique(torch.stack([finer, coarser]), dim=1)
        assert pairs.shape[1] == len(torch.unique(finer))


def test_no_two_regions_that_touch_are_as_alike_as_the_level_they_were_joined_at(made):
    grid, features, _ = made
    weight = grid.rays.double()[:, None]
    for level, number in zip(LEVELS, Regions.of(grid, [features]).numbers, strict=True):
        total = torch.zeros(int(number.max()) + 1, features.shape[1], dtype=torch.float64)
        mean = F.normalize(total.index_add_(0, number, features.double() * weight), dim=1)
        first, second = (number[end] for end in grid.ends)
        across = first != second
        cosines = (mean[first[across]] * mean[second[across]]).sum(dim=1)
        assert float(cosines.max()) < level + 1e-5


def test_regions_hang_together(made):
    grid, features, _ = made
    number = Regions.of(grid, [features]).numbers[-1]
    first, second = grid.ends
    same = (number[first] == number[second]).numpy()

    pieces = components_of_graph(grid.pairs[same], np.ones(len(grid), dtype=bool))
    assert len(np.unique(pieces)) == len(torch.unique(number))


def test_two_teachers_join_what_neither_doubts(made):
    grid, features, kinds = made
    west = (grid.points[:, 0] < CENTRES[RED][0]).long()
    region = Regions.of(grid, [features, F.one_hot(west, 2).float()]).thing(nearest(grid, SIDE))
    assert region is not None
    assert iou(region, (kinds == RED) & (west == 1)) > 0.85


def test_the_same_looks_are_joined_once(made):
    grid, features, _ = made
    assert Regions.of(grid, [features]) is Regions.of(grid, [features])
    assert Regions.of(grid, [features.clone()]) is not Regions.of(grid, [features])
