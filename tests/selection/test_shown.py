"""Pictures of things of known shape and look."""

from __future__ import annotations

import sys
from pathlib import Path

import torch
import torch.nn.functional as F

sys.path.insert(0, str(Path(__file__).parent))

from balls import CAP, RED, TABLE, TWIN, iou, scene

from dff.selection.shown import select_shown

LOOKS = F.one_hot(torch.arange(3), 8).float()


def likeness(features, looks, unwanted=()):
    scores = (features @ looks.T).clamp_min(0)
    for look in unwanted:
        scores = scores * (scores.amax(dim=1) >= features @ look)[:, None]
    return scores


def test_everything_that_looks_the_same_is_selected():
    grid, features, kinds = scene()
    found = select_shown(grid, [features], [likeness(features, LOOKS[1:2])])
    assert iou(found.chosen, (kinds == RED) | (kinds == TWIN)) > 0.9


def test_a_look_of_the_background_that_came_along_does_not_count():
    grid, features, kinds = scene()
    # A rim of the table was in the picture; its look is unlike what lies around the thing.
    table = F.normalize(LOOKS[0] + 0.9 * LOOKS[1], dim=0)
    looks = torch.stack([LOOKS[1], table])
    found = select_shown(grid, [features], [likeness(features, looks, [LOOKS[0]])])
    assert iou(found.chosen, (kinds == RED) | (kinds == TWIN)) > 0.9
    assert float(found.chosen[kinds == TABLE].float().mean()) < 0.02


def test_looks_that_touch_are_one_thing():
    grid, features, kinds = scene()
    scores = likeness(features, torch.stack([LOOKS[1], LOOKS[2]]))
    # The twin, which has no cap, is a little less alike.
    scores[kinds == TWIN] *= 0.97
    found = select_shown(grid, [features], [scores])
    assert float(found.chosen[kinds == CAP].float().mean()) > 0.9
    assert iou(found.chosen, kinds != TABLE) > 0.9


def test_where_nothing_is_alike_nothing_is_chosen():
    grid, features, _ = scene()
    found = select_shown(grid, [features], [torch.zeros(len(grid), 2)])
    assert not found.chosen.any()
