"""Where a thing ends: the threshold at which what is selected hardly changes.

A component that holds the clicked voxel grows as the threshold falls: slowly while it fills the
thing, in a leap when it leaks into the neighbours. The threshold is taken where it grows least for
its size, as for maximally stable extremal regions (Matas et al., BMVC 2002).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from dff.errors import DffError
from dff.selection.surface_grid import SurfaceGrid

LOWEST, HIGHEST, STEPS = 0.5, 0.96, 24
# Growth is compared over this many steps to either side.
REACH = 2
# A thing that is more than this share of the scene is no thing.
LARGEST_SHARE = 0.5


def stable_component(
    grid: SurfaceGrid,
    scores: Float[Tensor, " n"],
    seeds: Sequence[int],
    connected: bool = True,
    without: Sequence[int] = (),
    largest: float = LARGEST_SHARE,
) -> tuple[float, Bool[Tensor, " n"]]:
    """The most stable selection around seed voxels.

    Args:
        grid: the voxels.
        scores: likeness in [0, 1].
        seeds: voxels that must be selected; at least one.
        connected: keep only the components that hold a seed.
        without: voxels that it may not reach, as far as a threshold can part them from the seeds.
        largest: share of all rays that it may hold, as far as a threshold can see to it.

    Returns:
        Threshold, and which voxels are selected by it.

    Raises:
        DffError: no seeds.
    """
    if not seeds:
        raise DffError("a click query needs at least one positive click")
    thresholds = torch.linspace(LOWEST, HIGHEST, STEPS).tolist()
    selected = [
        around_seeds(grid, scores >= threshold, seeds, connected) for threshold in thresholds
    ]
    sizes = [float(grid.rays[chosen].sum()) for chosen in selected]
    limit = largest * float(grid.rays.sum())
    middle = range(REACH, STEPS - REACH)
    small = [k for k in middle if sizes[k] <= limit] or [STEPS - REACH - 1]
    usable = [k for k in small if not selected[k][list(without)].any()] or small
    growth = {k: (sizes[k - REACH] - sizes[k + REACH]) / max(sizes[k], 1.0) for k in usable}
    best = min(usable, key=lambda k: (growth[k], k))
    return thresholds[best], selected[best]


def around_seeds(
    grid: SurfaceGrid, chosen: Bool[Tensor, " n"], seeds: Sequence[int], connected: bool = True
) -> Bool[Tensor, " n"]:
    """What is chosen together with the seeds, or of it only the components that hold one."""
    seeded = torch.zeros(len(grid), dtype=torch.bool)
    seeded[list(seeds)] = True
    chosen = chosen | seeded
    if not connected:
        return chosen
    number = grid.components(chosen)
    return torch.isin(number, number[seeded])
