"""What the capture's cameras see where they look at given points of a scene."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from nerfstudio.cameras.cameras import Cameras
from nerfstudio.cameras.rays import RayBundle
from torch import Tensor

from dff.edits.hole import Sight
from dff.projection import project
from dff.rendered_rays import render_rays
from dff.selection.at_points import mask_at
from dff.selection.selection import Selection

if TYPE_CHECKING:
    from dff.scene import Scene

CAMERAS = 16


def sight_of(scene: Scene, selection: Selection, points: Float[Tensor, "n 3"]) -> Sight:
    """What training cameras see where they look at points: them, what hides them, what is behind.

    Cameras are taken whose pictures show most of the points, or some where none shows most.

    Args:
        scene: as it was trained.
        selection: in that scene.
        points: near each other, in world units.
    """
    cameras = scene.training_cameras.to("cpu")
    inside = _in_picture(cameras, points)
    share = inside.float().mean(dim=1)
    able = (share > min(0.5, float(share.max()) / 2)).nonzero()[:, 0]
    if len(able) == 0:
        nobody = points.new_zeros(0, len(points), 3)
        return Sight(nobody, nobody, nobody[..., 0], inside[able])
    spread = torch.linspace(0, len(able) - 1, min(CAMERAS, len(able))).round().long()
    chosen = able[spread]
    poses = cameras.camera_to_worlds[chosen]
    origins = poses[:, None, :, 3].expand(-1, len(points), -1)
    directions = F.normalize(points - origins, dim=-1)
    rays = RayBundle(
        origins=origins.contiguous(),
        directions=directions,
        pixel_area=torch.ones(*origins.shape[:2], 1),
        camera_indices=chosen[:, None, None].expand(-1, len(points), 1).contiguous(),
    )
    found = render_rays(scene.model, rays, hidden=True)
    ends = origins + found["depth"] * directions
    field = scene.features
    _, mask = mask_at(selection, field, found["hidden_features"].to(field.aabb), ends)
    return Sight(ends, found["rgb"], mask.cpu(), inside[chosen])


def _in_picture(cameras: Cameras, points: Float[Tensor, "n 3"]) -> Bool[Tensor, "k n"]:
    """Whether each camera's picture shows each point."""
    places, depth = project(cameras, points)
    size = torch.cat([cameras.width, cameras.height], dim=-1)[:, None]
    return ((places >= 0) & (places < size)).all(dim=-1) & (depth > 1e-6)
