"""Between the cameras of a browser and those of a scene."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from nerfstudio.cameras.cameras import Cameras, CameraType
from scipy.spatial.transform import Rotation

# A browser's camera looks along +z with y down (OpenCV), ours along -z with y up (OpenGL).
FLIP = np.diag([1.0, -1.0, -1.0])
LONGEST = 4096


@dataclass(frozen=True)
class Eye:
    """A camera as viser gives it.

    Attributes:
        wxyz: rotation from camera (OpenCV) to world, a unit quaternion.
        position: in world units.
        fov: vertical, in radians.
        aspect: width over height.
    """

    wxyz: tuple[float, float, float, float]
    position: tuple[float, float, float]
    fov: float
    aspect: float

    def camera(self, size: int) -> Cameras:
        """As a camera of the scene with ``size`` pixels along its longer side."""
        longer = min(max(size, 16), LONGEST)
        aspect = min(max(self.aspect, 0.1), 10.0)
        width, height = (longer, longer / aspect) if aspect >= 1 else (longer * aspect, longer)
        width, height = max(1, round(width)), max(1, round(height))
        focal = height / 2 / math.tan(min(max(self.fov, 0.01), 3.1) / 2)
        return Cameras(
            camera_to_worlds=self.pose[None],
            fx=focal,
            fy=focal,
            cx=width / 2,
            cy=height / 2,
            width=width,
            height=height,
            camera_type=CameraType.PERSPECTIVE,
        )

    @property
    def pose(self) -> Float[torch.Tensor, "3 4"]:
        """Camera to world, OpenGL."""
        w, x, y, z = self.wxyz
        rotation = Rotation.from_quat([x, y, z, w]).as_matrix() @ FLIP
        pose = np.concatenate([rotation, np.asarray(self.position)[:, None]], axis=1)
        return torch.from_numpy(pose).float()


def eye_of(camera: Cameras) -> Eye:
    """One camera of the scene as a browser's."""
    pose = camera.camera_to_worlds.reshape(3, 4).double().numpy()
    x, y, z, w = Rotation.from_matrix(pose[:, :3] @ FLIP).as_quat()
    height, width = float(camera.height.item()), float(camera.width.item())
    fov = 2 * math.atan(height / 2 / float(camera.fy.item()))
    position = pose[:, 3]
    return Eye(
        (float(w), float(x), float(y), float(z)),
        (float(position[0]), float(position[1]), float(position[2])),
        fov,
        width / height,
    )
