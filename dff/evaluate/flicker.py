"""Flicker: whether masks of neighbouring frames say the same of the same places in the world.

A place that a pixel of one frame shows is found by its depth, and looked up in the other frame,
where that one sees it too. Both masks then answer for the same places, however the camera moved.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from dff.evaluate.masks import intersection_over_union

# Two depths of one place, in share of the distance: what a pixel's width on a slope makes of it.
TOLERANCE = 0.02


@dataclass(frozen=True, eq=False)
class DepthFrame:
    """A pinhole camera without distortion, and how far away it sees things.

    Attributes:
        pose: camera to world, OpenGL axes: x right, y up, the camera looks along -z.
        focal: in pixels, (x, y).
        principal: in pixels, (x, y), from the upper left corner of the picture.
        depth: distance along the ray through each pixel's centre, in world units; not finite or not
            positive where there is nothing.
    """

    pose: Float[Tensor, "3 4"]
    focal: Float[Tensor, " 2"]
    principal: Float[Tensor, " 2"]
    depth: Float[Tensor, "h w"]

    @property
    def there(self) -> Bool[Tensor, "h w"]:
        """Pixels that show something."""
        return self.depth.isfinite() & (self.depth > 0)


@dataclass(frozen=True, eq=False)
class SharedPlaces:
    """Places that two frames see.

    Attributes:
        first: pixels of the first frame that show them, row by row.
        second: pixels of the second frame, each once.
    """

    first: Int[Tensor, " n"]
    second: Int[Tensor, " n"]


def world_points(frame: DepthFrame) -> Float[Tensor, "h w 3"]:
    """What each pixel shows: ``o + t d``, with d of unit length through the pixel's centre.

    Positions of pixels that show nothing are not finite, or behind the camera.
    """
    height, width = frame.depth.shape
    y = torch.arange(height).to(frame.depth) + 0.5
    x = torch.arange(width).to(frame.depth) + 0.5
    pose, focal, principal = (
        part.to(frame.depth) for part in (frame.pose, frame.focal, frame.principal)
    )
    right = ((x - principal[0]) / focal[0]).expand(height, width)
    up = (-(y - principal[1]) / focal[1])[:, None].expand(height, width)
    local = torch.stack([right, up, -torch.ones_like(right)], dim=-1)
    directions = (local / local.norm(dim=-1, keepdim=True)) @ pose[:, :3].T
    return pose[:, 3] + frame.depth[..., None] * directions


def shared_places(
    first: DepthFrame, second: DepthFrame, tolerance: float = TOLERANCE
) -> SharedPlaces:
    """The second frame's pixels whose places the first frame sees, and where it does.

    A place is seen where it falls into the picture and the depth of the pixel it falls on agrees
    with its distance; otherwise something hides it.

    Args:
        first, second: of one world.
        tolerance: difference of the two depths that still is agreement, in share of the distance.
    """
    pixels = second.there.flatten().nonzero()[:, 0]
    points = world_points(second).view(-1, 3)[pixels]
    pose, focal, principal = (
        part.to(points) for part in (first.pose, first.focal, first.principal)
    )
    from_camera = points - pose[:, 3]
    local = from_camera @ pose[:, :3]
    ahead = -local[:, 2]
    safe = ahead.clamp(min=1e-6)
    column = (focal[0] * local[:, 0] / safe + principal[0]).floor()
    row = (-focal[1] * local[:, 1] / safe + principal[1]).floor()
    height, width = first.depth.shape
    inside = (ahead > 0) & (column >= 0) & (column < width) & (row >= 0) & (row < height)
    found = (row[inside] * width + column[inside]).long()
    distance = from_camera[inside].norm(dim=-1)
    depth = first.depth.to(points).flatten()[found]
    # A depth that is not finite agrees with nothing.
    seen = (depth - distance).abs() <= tolerance * distance
    return SharedPlaces(found[seen], pixels[inside][seen])


def warped_iou(
    places: SharedPlaces, first: Bool[Tensor, "h w"], second: Bool[Tensor, "h2 w2"]
) -> float:
    """Intersection over union of the first mask, warped into the second frame, and the second.

    Args:
        places: of the two frames.
        first, second: the frames' masks.

    Returns:
        In [0, 1], 1 for masks that do not flicker; NaN where neither has any of the shared places.
    """
    return intersection_over_union(
        first.flatten()[places.first.to(first.device)].cpu(),
        second.flatten()[places.second.to(second.device)].cpu(),
    )
