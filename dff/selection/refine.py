"""Refining a soft mask on the voxels of a surface grid: pure functions, values in [0, 1].

A voxel counts as selected from 0.5 on. Distances are in world units.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy.spatial import KDTree
from torch import Tensor

from dff.errors import DffError
from dff.selection.islands import islands
from dff.selection.surface_grid import SurfaceGrid

SELECTED = 0.5

Values = Float[Tensor, " n"]


def union(first: Values, second: Values) -> Values:
    """``max(a, b)``."""
    return torch.maximum(first, second)


def intersect(first: Values, second: Values) -> Values:
    """``min(a, b)``."""
    return torch.minimum(first, second)


def subtract(first: Values, second: Values) -> Values:
    """``min(a, 1 - b)``."""
    return torch.minimum(first, 1 - second)


def invert(values: Values) -> Values:
    """``1 - a``."""
    return 1 - values


def largest_components(grid: SurfaceGrid, values: Values, keep: int = 1) -> Values:
    """Only the components of what is selected that most rays met.

    Args:
        grid: the voxels.
        values: soft mask.
        keep: how many, at least 1.

    Raises:
        DffError: ``keep`` is below 1.
    """
    if keep < 1:
        raise DffError(f"the number of components to keep must be at least 1, not {keep}")
    number = grid.components(values >= SELECTED)
    return torch.where((number >= 0) & (number < keep), values, torch.zeros_like(values))


def components_of(grid: SurfaceGrid, values: Values, voxels: Sequence[int]) -> Values:
    """Only the components of what is selected that hold one of the given voxels.

    A voxel that is not selected keeps nothing.
    """
    number = grid.components(values >= SELECTED)
    wanted = number[list(voxels)]
    kept = torch.isin(number, wanted[wanted >= 0])
    return torch.where(kept, values, torch.zeros_like(values))


def grow(grid: SurfaceGrid, values: Values, distance: float) -> Values:
    """Select also what lies within a distance of what is selected."""
    _check_distance(distance)
    near = _distance_to(grid, values >= SELECTED) <= distance
    return torch.where(near, values.clamp(min=1.0), values)


def shrink(grid: SurfaceGrid, values: Values, distance: float) -> Values:
    """Drop what lies within a distance of what is not selected."""
    _check_distance(distance)
    near = _distance_to(grid, values < SELECTED) <= distance
    return torch.where(near, torch.zeros_like(values), values)


def fill_holes(grid: SurfaceGrid, values: Values, share: float = 0.1) -> Values:
    """Select gaps that what is selected encloses.

    A gap is one of the `islands` of what is selected.

    Args:
        grid: the voxels.
        values: soft mask.
        share: in [0, 1].

    Raises:
        DffError: ``share`` is out of range.
    """
    if not 0.0 <= share <= 1.0:
        raise DffError(f"the largest share of a hole must be from 0 to 1, not {share}")
    return torch.where(islands(grid, values >= SELECTED, share), torch.ones_like(values), values)


def smooth(grid: SurfaceGrid, values: Values, steps: int = 2) -> Values:
    """Average each voxel with its neighbours, some times over."""
    return _averaged(grid, values, steps, None)


def follow_colours(
    grid: SurfaceGrid, values: Values, steps: int = 4, tolerance: float = 0.1
) -> Values:
    """Bilateral clean-up: average with neighbours of like colour, so that rims follow colours.

    Neighbour j counts ``exp(-|c_i - c_j|^2 / (2 tolerance^2))``.

    Args:
        grid: the voxels and their colours.
        values: soft mask.
        steps: how often.
        tolerance: distance of colours, in [0, 1] RGB, that still counts as alike; above 0.
    """
    if not (math.isfinite(tolerance) and tolerance > 0):
        raise DffError(f"the colour tolerance must be above 0, not {tolerance}")
    return _averaged(grid, values, steps, tolerance)


def restrict_to_box(
    grid: SurfaceGrid, values: Values, low: Sequence[float], high: Sequence[float]
) -> Values:
    """Only what lies in a box given by its corners in world units.

    Raises:
        DffError: a corner is not three finite numbers, or the box has no volume.
    """
    corners = [_point(low, "corner"), _point(high, "corner")]
    if not (corners[0] < corners[1]).all():
        raise DffError("the box has no volume: its second corner must be beyond its first")
    inside = ((grid.points >= corners[0]) & (grid.points <= corners[1])).all(dim=1)
    return torch.where(inside, values, torch.zeros_like(values))


def restrict_to_sphere(
    grid: SurfaceGrid, values: Values, centre: Sequence[float], radius: float
) -> Values:
    """Only what lies in a sphere in world units.

    Raises:
        DffError: the centre is not three finite numbers, or the radius is not above 0.
    """
    if not (math.isfinite(radius) and radius > 0):
        raise DffError(f"the sphere's radius must be above 0, not {radius}")
    inside = (grid.points - _point(centre, "centre")).norm(dim=1) <= radius
    return torch.where(inside, values, torch.zeros_like(values))


def _distance_to(grid: SurfaceGrid, chosen: Tensor) -> Float[Tensor, " n"]:
    """World distance of each voxel to the nearest chosen one."""
    if not chosen.any():
        return torch.full((len(grid),), math.inf)
    distance, _ = KDTree(grid.points[chosen].numpy()).query(grid.points.numpy())
    return torch.from_numpy(distance).float()


def _averaged(grid: SurfaceGrid, values: Values, steps: int, tolerance: float | None) -> Values:
    if not 0 <= steps <= 100:
        raise DffError(f"smoothing takes from 0 to 100 steps, not {steps}")
    a, b = grid.ends
    weight = torch.ones(len(a))
    if tolerance is not None:
        difference = (grid.rgb[a] - grid.rgb[b]).square().sum(dim=1)
        weight = torch.exp(-difference / (2 * tolerance**2))
    total = 1 + _to_both(weight, weight, a, b, len(grid))
    result = values.clone()
    for _ in range(steps):
        result = (
            result + _to_both(weight * result[b], weight * result[a], a, b, len(grid))
        ) / total
    return result.clamp(0.0, 1.0)


def _to_both(
    for_first: Tensor, for_second: Tensor, first: Int[Tensor, " m"], second: Tensor, size: int
) -> Tensor:
    """Sums over pairs, at either end."""
    return torch.zeros(size).index_add_(0, first, for_first).index_add_(0, second, for_second)


def _check_distance(distance: float) -> None:
    if not (math.isfinite(distance) and distance >= 0):
        raise DffError(f"a distance must be 0 or more, not {distance}")


def _point(values: Sequence[float], what: str) -> Float[Tensor, " 3"]:
    numbers = np.asarray(values, dtype=np.float64)
    if numbers.shape != (3,) or not np.isfinite(numbers).all():
        raise DffError(f"a {what} is three finite numbers, not {list(values)}")
    return torch.from_numpy(numbers).float()
