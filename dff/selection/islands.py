"""Islands: what would hang in the air if what is selected were taken away.

A bottle's cap looks like no bottle, and yet nothing but the bottle holds it.
"""

from __future__ import annotations

import math
import sys

import numpy as np
import torch
from jaxtyping import Bool, Int
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import connected_components
from torch import Tensor

from dff.selection.surface_grid import SurfaceGrid

# Islands below this share of what holds them are parts of it. What is larger is a thing that rests
# on another.
PART_SHARE = 0.2
# What holds more than this share of the scene is no thing with parts, but what things stand on.
THING_SHARE = 0.15
# Nor is it a part of a thing that reaches so many voxels away from the rest.
PART_STEPS = 32


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
    most = THING_SHARE * float(grid.rays.sum())
    return islands(grid, selected, PART_SHARE, most, without, PART_STEPS)


def islands(
    grid: SurfaceGrid,
    selected: Bool[Tensor, " n"],
    share: float,
    most: float = math.inf,
    without: Bool[Tensor, " n"] | None = None,
    steps: int = sys.maxsize,
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
        steps: islands that reach as many voxels away from what is selected are left out, which is
            faster.

    Returns:
        (n,), none of which is selected.
    """
    result = torch.zeros_like(selected)
    graph, chosen = grid.graph, selected.numpy()
    land = np.flatnonzero(chosen)
    beside = graph[land]
    outer = beside.indices
    inner = np.repeat(np.arange(len(land)), np.diff(beside.indptr))
    across = ~chosen[outer]
    sea, last = _flooded(graph, np.unique(outer[across]), chosen, steps)
    if len(sea) == 0:
        return result
    _, of_land = connected_components(beside[:, land], directed=False)
    count, of_sea = connected_components(graph[sea][:, sea], directed=False)
    holds = np.bincount(of_land, grid.rays.numpy()[land])
    holds[holds > most] = 0.0
    largest = np.zeros(count)
    at = of_sea[np.searchsorted(sea, outer[across])]
    np.maximum.at(largest, at, holds[of_land[inner[across]]])
    small = np.bincount(of_sea, grid.rays.numpy()[sea]) < share * largest
    # What goes on further than was looked at, and what is unwanted, is none.
    small[of_sea[np.searchsorted(sea, last)]] = False
    if without is not None:
        small[of_sea[without.numpy()[sea]]] = False
    result[torch.from_numpy(sea[small[of_sea]])] = True
    return result


def _flooded(
    graph: csr_matrix, start: Int[np.ndarray, " k"], walls: Bool[np.ndarray, " n"], steps: int
) -> tuple[Int[np.ndarray, " m"], Int[np.ndarray, " l"]]:
    """Voxels that so many steps from some reach outside of walls, ascending.

    Returns:
        All of them, and those from which it goes on.
    """
    wet, front = walls.copy(), start
    wet[front] = True
    for _ in range(steps):
        if len(front) == 0:
            break
        found = graph[front].indices
        front = np.unique(found[~wet[found]])
        wet[front] = True
    return np.flatnonzero(wet & ~walls), front
