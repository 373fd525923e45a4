"""Islands: what would hang in the air if what is selected were taken away.

A bottle's cap looks like no bottle, and yet nothing but the bottle holds it.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from jaxtyping import Bool, Int
from scipy.sparse.csgraph import connected_components
from torch import Tensor

from dff.selection.surface_grid import SurfaceGrid

# Islands below this share of what holds them are parts of it. What is larger is a thing that rests
# on another.
PART_SHARE = 0.2
# What holds more than this share of the scene is no thing with parts, but what things stand on.
THING_SHARE = 0.15
# A part reaches this far beyond the rest of its thing, in the longest sides of that.
MARGIN = 1.0


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
    return islands(grid, selected, PART_SHARE, most, without, MARGIN)


def islands(
    grid: SurfaceGrid,
    selected: Bool[Tensor, " n"],
    share: float,
    most: float = math.inf,
    without: Bool[Tensor, " n"] | None = None,
    margin: float = math.inf,
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
        margin: islands that reach further than this share of the longest side of what is selected
            from the box around it are left out, which is faster.

    Returns:
        (n,), none of which is selected.
    """
    if not selected.any() or selected.all():
        return torch.zeros_like(selected)
    ids = _around(grid, selected, margin)
    near = grid.graph[ids]
    degree = np.diff(near.indptr)
    near = near[:, ids]
    row = np.repeat(np.arange(len(ids)), np.diff(near.indptr))
    chosen, rays = selected.numpy()[ids], grid.rays.numpy()[ids].astype(np.float64)
    across = chosen[row] & ~chosen[near.indices]
    within = near.copy()
    within.data = (chosen[row] == chosen[near.indices]).astype(np.int8)
    within.eliminate_zeros()
    count, part = connected_components(within, directed=False)
    sizes = np.bincount(part, rays, minlength=count)
    holds = np.where(sizes <= most, sizes, 0.0)
    largest = np.zeros(count)
    np.maximum.at(largest, part[near.indices[across]], holds[part[row[across]]])
    small = sizes < share * largest
    # What goes on beyond what was looked at, and what is unwanted, is none.
    small[part[~chosen & (np.diff(near.indptr) < degree)]] = False
    if without is not None:
        small[part[~chosen & without.numpy()[ids]]] = False
    result = torch.zeros_like(selected)
    result[torch.from_numpy(ids)] = torch.from_numpy(small[part] & ~chosen)
    return result


def _around(
    grid: SurfaceGrid, selected: Bool[Tensor, " n"], margin: float
) -> Int[np.ndarray, " k"]:
    """Voxels in the box around what is selected, widened by a share of its longest side."""
    if margin == math.inf:
        return np.arange(len(grid))
    points, mine = grid.points, grid.points[selected]
    low, high = mine.amin(dim=0), mine.amax(dim=0)
    wider = margin * (high - low).max()
    inside = ((points >= low - wider) & (points <= high + wider)).all(dim=1)
    return torch.nonzero(inside)[:, 0].numpy()
