"""Which of the capture's cameras shows most of a thing, without rendering any."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from nerfstudio.cameras.cameras import Cameras
from torch import Tensor

from dff.projection import project
from dff.selection.inventory import Thing

# Longer side of the raster that is counted in.
COUNTED_SIDE = 48


def best_views(
    things: Sequence[Thing], points: Float[Tensor, "n 3"], cameras: Sequence[Cameras]
) -> list[int | None]:
    """For each thing the number of the camera that shows most of it.

    Voxels' positions are projected on a coarse raster, where the nearest hides the rest. Lens
    distortion hardly changes who sees most, and is left out.

    Args:
        things: none overlap.
        points: world position of each voxel.
        cameras: one camera each.

    Returns:
        None for what no camera shows.
    """
    owner = torch.full((len(points),), -1)
    for number, thing in enumerate(things):
        owner[thing.mask] = number
    counts = torch.stack([_shown(owner, points, camera, len(things)) for camera in cameras])
    most, view = counts.max(dim=0)
    return [int(v) if m > 0 else None for v, m in zip(view, most, strict=True)]


def _shown(owner: Tensor, points: Float[Tensor, "n 3"], camera: Cameras, count: int) -> Tensor:
    """Cells of a coarse raster that each thing is nearest in."""
    height, width = int(camera.height.item()), int(camera.width.item())
    scale = COUNTED_SIDE / max(height, width)
    (places,), (depth,) = project(camera, points)
    x, y = (places * scale).unbind(dim=-1)
    rows, columns = max(1, round(height * scale)), max(1, round(width * scale))
    inside = (depth > 1e-6) & (x >= 0) & (x < columns) & (y >= 0) & (y < rows)
    cell = y[inside].long() * columns + x[inside].long()
    depth, who = depth[inside], owner[inside]
    nearest = torch.full((rows * columns,), torch.inf)
    nearest = nearest.scatter_reduce(0, cell, depth, "amin")
    front = (depth <= nearest[cell]) & (who >= 0)
    return torch.bincount(who[front], minlength=count)
