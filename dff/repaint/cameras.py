"""Where to look at a selection from: near the training cameras, with the selection in the frame."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from nerfstudio.cameras.cameras import Cameras, CameraType
from torch import Tensor

from dff.camera_paths import look_at
from dff.selection.refine import SELECTED
from dff.selection.selection import Selection

# The selection's ball fills from this to this share of the frame's side.
FILLED = (0.6, 1.1)
# A place is moved this far, at most, from a training camera to one of its nearest.
MOVED, NEAREST = 0.5, 4
# The target is moved by at most this share of the ball's radius.
ASIDE = 0.2
WIDEST = math.radians(50)
# Stray voxels beyond this share of all do not make the ball larger.
STRAY = 0.02


@dataclass(frozen=True, eq=False)
class Region:
    """Where the selection lies, in world units.

    Attributes:
        center, radius: of a ball around all of it but strays.
        low, high: corners of a box around all of it.
    """

    center: Float[Tensor, " 3"]
    radius: float
    low: Float[Tensor, " 3"]
    high: Float[Tensor, " 3"]

    @classmethod
    def of(cls, selection: Selection) -> Region:
        """Of a selection that is not empty."""
        points = selection.grid.points[selection.values >= SELECTED]
        ends = torch.quantile(points, torch.tensor([STRAY, 1 - STRAY]), dim=0)
        center = ends.mean(dim=0)
        away = (points - center).norm(dim=1)
        # What lies in a voxel may lie anywhere in it.
        room = max(selection.grid.spacing, 1e-6)
        radius = float(torch.quantile(away, 1 - STRAY)) + room
        return cls(center, radius, points.amin(dim=0) - 2 * room, points.amax(dim=0) + 2 * room)


def sees(cameras: Cameras, point: Float[Tensor, " 3"]) -> Bool[Tensor, " n"]:
    """Which cameras have a point in the frame, lens distortion aside."""
    poses = cameras.camera_to_worlds.cpu()
    local = torch.einsum("ni,nij->nj", point - poses[:, :, 3], poses[:, :, :3])
    depth = -local[:, 2]
    x = cameras.fx.cpu()[:, 0] * local[:, 0] / depth.clamp_min(1e-6) + cameras.cx.cpu()[:, 0]
    y = cameras.cy.cpu()[:, 0] - cameras.fy.cpu()[:, 0] * local[:, 1] / depth.clamp_min(1e-6)
    inside = (x >= 0) & (x < cameras.width.cpu()[:, 0])
    return inside & (y >= 0) & (y < cameras.height.cpu()[:, 0]) & (depth > 1e-6)


def random_camera(
    cameras: Cameras, region: Region, size: int, generator: torch.Generator
) -> Cameras:
    """A square camera that looks at the region from where training cameras were, more or less.

    Args:
        cameras: training cameras; those with the region's centre in the frame are taken, if any.
        region: what to look at.
        size: pixels along each side.
        generator: of the random choices.
    """
    seen = sees(cameras, region.center)
    places = cameras.camera_to_worlds[:, :, 3].cpu()
    places = places[seen] if bool(seen.any()) else places
    chance = torch.rand(3, generator=generator).tolist()
    start = places[int(chance[0] * len(places))]
    near = (places - start).norm(dim=1).argsort()[: NEAREST + 1]
    other = places[near[int(chance[1] * len(near))]]
    origin = start + MOVED * chance[2] * (other - start)
    aside = torch.rand(3, generator=generator) * 2 - 1
    target = region.center + ASIDE * region.radius * aside
    low, high = FILLED
    filled = low + (high - low) * float(torch.rand(1, generator=generator))
    return framing(origin, target, region.radius, size, filled)


def framing(
    origin: Float[Tensor, " 3"],
    target: Float[Tensor, " 3"],
    radius: float,
    size: int,
    filled: float,
) -> Cameras:
    """A square camera in which a ball fills a share of the side.

    Args:
        origin: where the camera is.
        target: centre of the ball.
        radius: of the ball, in world units.
        size: pixels along each side.
        filled: diameter of the ball as a share of the side.
    """
    distance = max(float((target - origin).norm()), 1e-6)
    half = min(math.asin(min(radius / distance, 1.0)), WIDEST)
    focal = filled * size / 2 / math.tan(half)
    return Cameras(
        camera_to_worlds=look_at(origin, target, torch.tensor([0.0, 0.0, 1.0]))[None],
        fx=focal,
        fy=focal,
        cx=size / 2,
        cy=size / 2,
        width=size,
        height=size,
        camera_type=CameraType.PERSPECTIVE,
    )
