"""Look at places in the world from a rendered view: met there, looked through, or hidden."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from dff.export.views import PinholeView


@dataclass(frozen=True, eq=False)
class LookedAt:
    """What a view says of places.

    Attributes:
        gap: (n,), from the place on to the surface that the view shows there, along the ray, in
            world units: above 0 the view looks through it, below it is hidden; NaN where the view
            does not show it.
        met, through: (n,), the gap's size is within the tolerance; the gap is above it.
        pixel: (n,), number of the pixel that shows it, row by row; 0 where none does.
        facing: (n, 3), unit, from the place to the camera.
    """

    gap: Float[Tensor, " n"]
    met: Bool[Tensor, " n"]
    through: Bool[Tensor, " n"]
    pixel: Int[Tensor, " n"]
    facing: Float[Tensor, "n 3"]


def look_back(
    view: PinholeView, points: Float[Tensor, "n 3"], tolerance: Float[Tensor, " n"]
) -> LookedAt:
    """Compare places with the depth of a view at the nearest pixel.

    A ray that meets nothing looks through everything.

    Args:
        view: rendered.
        points: in the world.
        tolerance: in world units.
    """
    pixels, distance, inside = view.project(points)
    height, width = view.size
    column = pixels[:, 0].floor().long().clamp(0, width - 1)
    row = pixels[:, 1].floor().long().clamp(0, height - 1)
    pixel = (row * width + column) * inside
    depth = torch.where(view.there, view.depth, torch.inf).flatten()[pixel]
    gap = torch.where(inside, depth - distance, torch.nan)
    facing = F.normalize(view.pose[:, 3] - points, dim=1)
    return LookedAt(gap, gap.abs() <= tolerance, gap > tolerance, pixel, facing)
