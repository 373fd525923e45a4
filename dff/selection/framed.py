"""From a frame drawn in a view of the scene to the things in it.

Where the picture that was shown is one of the scene's own, its pixels lie on known voxels: the
thing is the region that fills the frame best.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from dff.query.routing import product_of_scores
from dff.query.scores import normalise
from dff.selection.regions import Regions
from dff.selection.surface_grid import SurfaceGrid

# Share of the frame and a region's pixels that both have, below which the frame shows no thing.
LEAST_FIT = 0.2


def framed(
    grid: SurfaceGrid,
    spaces: Sequence[Float[Tensor, "n K"]],
    voxels: Int[Tensor, " p"],
    inside: Bool[Tensor, " p"],
) -> int | None:
    """The voxel that stands for what is in a frame, as if it was clicked.

    Args:
        grid: the voxels.
        spaces: their unit features by each teacher.
        voxels: the voxel that each pixel of the view shows, pixels without any left out.
        inside: which of the pixels lie in the frame.

    Returns:
        The most typical voxel of the region that fits the frame best; None where none does.
    """
    regions = Regions.of(grid, spaces)
    best, fit = None, LEAST_FIT
    for level in range(len(regions.numbers)):
        shown = regions.numbers[level][voxels]
        total = torch.bincount(shown)
        held = torch.bincount(shown[inside], minlength=len(total))
        fits = held / (total + inside.sum() - held).clamp_min(1)
        if len(fits) and float(fits.max()) >= fit:
            fit, best = float(fits.max()), regions.numbers[level] == fits.argmax()
    if best is None:
        return None
    here = torch.zeros(len(grid), dtype=torch.bool)
    here[voxels[inside]] = True
    return _typical(spaces, best, best & here, grid.rays)


def _typical(
    spaces: Sequence[Float[Tensor, "n K"]],
    part: Bool[Tensor, " n"],
    among: Bool[Tensor, " n"],
    rays: Int[Tensor, " n"],
) -> int:
    """The voxel among some that looks most like a part as a whole."""
    weight = rays[part].float()
    means = [normalise((space[part] * weight[:, None]).sum(dim=0)) for space in spaces]
    cosines = [(space @ mean).clamp_min(0) for space, mean in zip(spaces, means, strict=True)]
    alike = product_of_scores(cosines)
    return int(torch.where(among, alike, torch.full_like(alike, -1.0)).argmax())
