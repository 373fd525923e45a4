"""Masks of edits are asked for where they can matter, and nowhere else."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

from dff.edited_sampling import edited_samples, masks_of
from dff.edits.compiled import CompiledEdits
from dff.edits.layers import Act, Ball, Layer
from dff.edits.operations import Delete
from dff.field_matter import FieldMatter

sys.path.insert(0, str(Path(__file__).parent))

from two_walls import PLANE, WALL, WallFeatures, anywhere, matter


@pytest.mark.parametrize(("where", "asked"), [(PLANE, 0), (WALL, 4)])
def test_of_what_can_be_deleted_only_what_can_be_seen_is_asked_about(where, asked):
    along = torch.arange(0.55, 6.0, 0.1)
    positions = torch.stack([torch.zeros_like(along), torch.zeros_like(along), 3.0 - along], dim=1)
    features = WallFeatures()
    ball = Ball(torch.tensor([0.0, 0.0, 3.0 - sum(where) / 2]), 0.6)
    layer = Layer(0, (Act(0, Delete(), 0, ball),))
    made = CompiledEdits((layer,), (matter(features, (anywhere,)),), (Delete(),))
    deltas, last = torch.full((len(along), 1), 0.1), torch.zeros(len(along), dtype=torch.bool)
    down_once = torch.tensor([[0.0, 0.0, -1.0]])
    found = edited_samples(made, positions, down_once, deltas, last, per_ray=len(along))
    assert features.asked == asked
    assert found.rgb[:, 0].any() != bool(asked)


def asked_mask(made: FieldMatter, positions: torch.Tensor, visible: torch.Tensor, ball=None):
    (mask,) = masks_of(made, (Act(0, Delete(), 0, ball),), positions, visible)
    return mask


def test_the_feature_field_is_asked_only_where_something_is():
    features = WallFeatures()
    positions = torch.tensor([0.0, 0.0, 1.0]) + torch.rand(80, 3) * 0.1
    visible = torch.rand(80) > 0.7
    mask = asked_mask(matter(features, (anywhere,)), positions, visible)
    assert features.asked == int(visible.sum())
    assert (mask[~visible] == 0).all()
    assert torch.equal(mask[visible], features.hidden_at(positions[visible])[:, 0])
    assert (mask[visible] == 1).all()


def test_nothing_visible_is_nothing_asked():
    features = WallFeatures()
    mask = asked_mask(matter(features, (anywhere,)), torch.rand(6, 3), torch.zeros(6).bool())
    assert torch.equal(mask, torch.zeros(6))
    assert features.asked == 0


def test_points_are_asked_about_where_the_snap_says():
    def to_the_wall(unit: torch.Tensor, world: torch.Tensor) -> torch.Tensor:
        moved = world.clone()
        moved[:, 2] = 1.0
        return moved

    positions, visible = torch.full((4, 3), -5.0), torch.ones(4, dtype=torch.bool)
    assert (asked_mask(matter(places=(anywhere,)), positions, visible) == 0).all()
    snapped = matter(places=(anywhere,), snap=to_the_wall)
    assert (asked_mask(snapped, positions, visible) == 1).all()


def test_outside_its_place_a_selection_is_empty():
    def left(unit: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return torch.zeros_like(unit[..., 0]), unit[..., 0] < 0.5

    positions = torch.tensor([[-1.0, 0.0, 1.0], [1.0, 0.0, 1.0]])
    features = WallFeatures()
    mask = asked_mask(matter(features, (left,)), positions, torch.ones(2, dtype=torch.bool))
    assert mask.tolist() == [1.0, 0.0]
    assert features.asked == 1


def test_outside_its_ball_a_selection_is_empty_and_not_asked():
    positions = torch.tensor([[0.0, 0.0, 1.0], [0.0, 0.5, 1.0], [0.0, 3.0, 1.0]])
    features = WallFeatures()
    ball = Ball(torch.tensor([0.0, 0.0, 1.0]), 1.0)
    mask = asked_mask(
        matter(features, (anywhere,)), positions, torch.ones(3, dtype=torch.bool), ball
    )
    assert mask.tolist() == [1.0, 1.0, 0.0]
    assert features.asked == 2
