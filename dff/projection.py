"""Where cameras show points, by their intrinsics alone: lens distortion is left out."""

from __future__ import annotations

import torch
from jaxtyping import Float
from nerfstudio.cameras.cameras import Cameras
from torch import Tensor


def project(
    cameras: Cameras, points: Float[Tensor, "n 3"]
) -> tuple[Float[Tensor, "k n 2"], Float[Tensor, "k n"]]:
    """Points in the pictures of cameras.

    Args:
        cameras: one or k of them, perspective.
        points: world positions.

    Returns:
        Column and row in pixels, (0, 0) being the upper left corner of the picture, and depth along
        the camera's axis; of points that are not before the camera (depth of at most 0) the place
        means nothing.
    """
    poses = cameras.camera_to_worlds.reshape(-1, 3, 4).to(points)
    local = (points - poses[:, None, :, 3]) @ poses[:, :, :3]
    depth = -local[..., 2]
    right_down = torch.stack([local[..., 0], -local[..., 1]], dim=-1)
    focal, centre = (
        torch.stack([x.reshape(-1), y.reshape(-1)], dim=-1)[:, None].to(points)
        for x, y in ((cameras.fx, cameras.fy), (cameras.cx, cameras.cy))
    )
    return focal * right_down / depth.clamp_min(1e-6)[..., None] + centre, depth
