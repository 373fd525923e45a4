"""Islands: what would hang in the air if what is selected were taken away.

A bottle's cap looks like no bottle, and yet nothing but the bottle holds it.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Bool
from torch import Tensor

from dff.selection.surface_grid import SurfaceGrid

# Islands below this share of what holds them are parts of it. What is larger is a thing that rests
# on another.
PART_SHARE = 0.2
# What holds more than this share of the scene is no thing with parts, but what things stand on.
THING_SHARE = 0.15


def held_alone(
    grid: SurfaceGrid, selected: Bool[Tensor, " n"], without: Bool[Tensor, " n"] | None = None
) -> Bool[Tensor, " n"]:
    """The islands of selected things: what belongs to them, however it looks.

    Args:
        grid: the voxels.
        selected: which of them are.
        without: voxels, none of which may be among it.

    Returns:
        (n,), none of which is selected.
    """
    return islands(grid, selected, PART_SHARE, THING_SHARE * float(grid.rays.sum()), without)


def islands(
    grid: SurfaceGrid,
    selected: Bool[Tensor, " n"],
    share: float,
    most: float = math.inf,
    without: Bool[Tensor, " n"] | None = None,
) -> Bool[Tensor, " n"]:
    """What touches nothing but what is selected, and is small beside it.

    An island is a component of what is not selected. It is small where fewer than ``share`` as many
    rays met it as the largest component of the selection that it touches, of those that no more
    than ``most`` rays met.

    Args:
        grid: the voxels.
        selected: which of them are.
        share: in [0, 1].
        most: rays.
        without: voxels, none of which an island may hold.

    Returns:
        (n,), none of which is selected.
    """
    if not selected.any() or selected.all():
        return torch.zeros_like(selected)
    land, sea = grid.components(selected), grid.components(~selected)
    a, b = grid.ends
    out, back = selected[a] & ~selected[b], selected[b] & ~selected[a]
    inner, outer = torch.cat([a[out], b[back]]), torch.cat([b[out], a[back]])
    holds = torch.bincount(land[selected], grid.rays[selected].double())
    holds[holds > most] = 0.0
    sizes = torch.bincount(sea[~selected], grid.rays[~selected].double())
    largest = torch.zeros_like(sizes)
    largest.scatter_reduce_(0, sea[outer], holds[land[inner]], "amax")
    small = sizes < share * largest
    if without is not None:
        small[sea[without & ~selected]] = False
    result = torch.zeros_like(selected)
    result[~selected] = small[sea[~selected]]
    return result
