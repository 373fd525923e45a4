"""Rays of training pixels, their directions looked up instead of undistorted anew in each step."""

from __future__ import annotations

import dataclasses

import torch
from jaxtyping import Float, Int
from nerfstudio.cameras.cameras import Cameras, CameraType
from nerfstudio.cameras.rays import RayBundle
from nerfstudio.model_components.ray_generators import RayGenerator
from torch import Tensor

# 20 bytes each. Captures with intrinsics of their own for every photo soon have more.
MOST_PIXELS = 2**22


class TabledRayGenerator(RayGenerator):
    """nerfstudio's rays, several times faster.

    What a pixel's ray is in its camera's frame depends on intrinsics and distortion alone, which
    photos of one capture mostly share: it is kept for every pixel of every distinct camera.

    Args:
        cameras: those of `has_room`.
    """

    table: Tensor
    first: Tensor

    def __init__(self, cameras: Cameras) -> None:
        super().__init__(cameras)
        kinds, kind_of = torch.unique(_intrinsics(cameras), dim=0, return_inverse=True)
        parts, starts, start = [], [], 0
        for kind in range(len(kinds)):
            member = int((kind_of == kind).nonzero()[0])
            parts.append(_rays_in_camera(cameras[member : member + 1]))
            starts.append(start)
            start += len(parts[-1])
        self.register_buffer("table", torch.cat(parts), persistent=False)
        # Of each camera, the row of its pixel (0, 0).
        first = torch.tensor(starts, device=cameras.device)[kind_of]
        self.register_buffer("first", first, persistent=False)

    @staticmethod
    def has_room(cameras: Cameras) -> bool:
        """Whether these are perspective cameras, and few enough of them differ."""
        if bool((cameras.camera_type != CameraType.PERSPECTIVE.value).any()):
            return False
        kinds = torch.unique(_intrinsics(cameras), dim=0)
        return int((kinds[:, 0] * kinds[:, 1]).sum()) <= MOST_PIXELS

    def forward(self, ray_indices: Int[Tensor, "rays 3"]) -> RayBundle:
        """Rays of (camera, row, column)."""
        camera, row, column = ray_indices.to(self.table.device).unbind(-1)
        found = self.table[self.first[camera] + row * self.cameras.width[camera, 0] + column]
        pose = self.cameras.camera_to_worlds[camera]
        return RayBundle(
            origins=pose[:, :, 3],
            directions=(pose[:, :, :3] @ found[:, :3, None])[..., 0],
            pixel_area=found[:, 4:],
            camera_indices=camera[:, None],
            metadata={"directions_norm": found[:, 3:4]},
        )


def _intrinsics(cameras: Cameras) -> Float[Tensor, "cameras facts"]:
    """All that rays depend on besides the pose; width and height come first."""
    parts = [cameras.width, cameras.height, cameras.fx, cameras.fy, cameras.cx, cameras.cy]
    if cameras.distortion_params is not None:
        parts.append(cameras.distortion_params)
    return torch.cat([part.double() for part in parts], dim=-1)


def _rays_in_camera(camera: Cameras) -> Float[Tensor, "pixels 5"]:
    """Unit direction, its length before that, and pixel area, row by row of one camera's image."""
    pose = torch.eye(4, device=camera.device)[None, :3]
    rays = dataclasses.replace(camera, camera_to_worlds=pose).generate_rays(0).flatten()
    return torch.cat([rays.directions, rays.metadata["directions_norm"], rays.pixel_area], dim=-1)
