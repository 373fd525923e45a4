"""Look at places in the world from a rendered view: met there, looked through, or hidden."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from dff.export.views import PinholeView, one_surface


@dataclass(frozen=True, eq=False)
class LookedAt:
    """What a view says of places.

    Attributes:
        met: (n,), the view shows a surface there.
        through: (n,), it shows one behind, or none at all.
        gap: (n,), to the surface at the nearest pixel, in world units; infinite where the view does
            not show the place.
        pixel: (n,), number of that pixel, row by row; 0 where the view does not show the place.
    """

    met: Bool[Tensor, " n"]
    through: Bool[Tensor, " n"]
    gap: Float[Tensor, " n"]
    pixel: Int[Tensor, " n"]


def look_back(
    view: PinholeView, points: Float[Tensor, "n 3"], tolerance: Float[Tensor, " n"]
) -> LookedAt:
    """Compare places with the depth of the four pixels around where a view shows them.

    A place is met where the distance to one of the four surfaces is within the tolerance, or, if
    the four are one surface seen at a slant, where it lies between them.

    Args:
        view: rendered.
        points: in the world.
        tolerance: in world units.
    """
    pixels, distance, inside = view.project(points)
    height, width = view.size
    column = pixels[:, 0].floor().long().clamp(0, width - 1)
    row = pixels[:, 1].floor().long().clamp(0, height - 1)
    depths, weights = view.depths_around(pixels)
    gaps = depths - distance[:, None]
    away = gaps.abs()
    between = one_surface(depths) & (gaps.amin(dim=1) <= 0) & (gaps.amax(dim=1) >= 0)
    met = inside & ((away.amin(dim=1) <= tolerance) | between)
    through = inside & (gaps.amin(dim=1) > tolerance)
    nearest = away.gather(1, weights.argmax(dim=1, keepdim=True))[:, 0]
    gap = torch.where(inside, nearest, torch.inf)
    return LookedAt(met, through, gap, (row * width + column) * inside)


def mean_colours(
    points: Float[Tensor, "n 3"], views: Sequence[PinholeView], tolerance: Float[Tensor, " n"]
) -> Float[Tensor, "n 3"]:
    """Mean colour of each point in the views that show it.

    A view counts whose nearest pixel shows the point, not what is beside it; where none does, the
    one that comes closest.
    """
    total, count = torch.zeros(len(points), 3), torch.zeros(len(points), 1)
    best, nearest = torch.full((len(points),), torch.inf), torch.zeros(len(points), 3)
    for view in views:
        seen = look_back(view, points, tolerance)
        rgb = view.rgb.view(-1, 3)[seen.pixel]
        shown = (seen.gap <= tolerance)[:, None]
        total += rgb * shown
        count += shown
        closer = seen.gap < best
        best, nearest = (
            torch.where(closer, seen.gap, best),
            torch.where(closer[:, None], rgb, nearest),
        )
    return torch.where(count > 0, total / count.clamp_min(1), nearest)
