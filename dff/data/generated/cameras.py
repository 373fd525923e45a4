"""Pinhole cameras of a generated scene, and the orbit that a person would walk around it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Camera:
    """A pinhole camera without distortion.

    Attributes:
        pose: 4 x 4 camera-to-world, OpenGL axes: x right, y up, the camera looks along -z.
        focal: in pixels, the same along x and y; the principal point is the picture's middle.
        width, height: of the picture in pixels.
    """

    pose: tuple[tuple[float, ...], ...]
    focal: float
    width: int
    height: int

    def rays(self, offsets: tuple[float, float] = (0.5, 0.5)) -> tuple[Array, Array]:
        """Rays through the same place of every pixel.

        Args:
            offsets: (x, y) of the place within a pixel, in [0, 1]; the default is its centre.

        Returns:
            Origin (3,) and unit directions (height * width, 3), row by row.
        """
        matrix = np.array(self.pose)
        x, y = np.meshgrid(np.arange(self.width) + offsets[0], np.arange(self.height) + offsets[1])
        local = np.stack(
            [
                (x - self.width / 2) / self.focal,
                -(y - self.height / 2) / self.focal,
                -np.ones_like(x),
            ],
            -1,
        ).reshape(-1, 3)
        directions = local @ matrix[:3, :3].T
        directions /= np.linalg.norm(directions, axis=1, keepdims=True)
        return matrix[:3, 3], directions

    def project(self, points: Array) -> Array:
        """(N, 2) pixel coordinates (x, y) of (N, 3) points in front of the camera."""
        matrix = np.array(self.pose)
        local = (points - matrix[:3, 3]) @ matrix[:3, :3]
        x = self.width / 2 + self.focal * local[:, 0] / -local[:, 2]
        y = self.height / 2 - self.focal * local[:, 1] / -local[:, 2]
        return np.stack([x, y], 1)


def look_at(eye: Array, target: Array) -> tuple[tuple[float, ...], ...]:
    """The OpenGL pose of an upright camera at ``eye`` that looks at ``target`` (z points up)."""
    back = (eye - target) / np.linalg.norm(eye - target)
    right = np.cross([0.0, 0.0, 1.0], back)
    right /= np.linalg.norm(right)
    matrix = np.eye(4)
    matrix[:3, :4] = np.stack([right, np.cross(back, right), back, eye], 1)
    return tuple(tuple(float(v) for v in row) for row in matrix)


def orbit(
    count: int, rng: np.random.Generator, *, width: int, height: int, distance: float = 6.3
) -> list[Camera]:
    """Cameras on three rings around the table, in walking order.

    Neighbours in the list are neighbours in space, but for the changes of ring; distance, height
    and aim vary a little, as they do in a hand.
    """
    rings = np.radians([24.0, 38.0, 54.0])
    focal = 0.5 * width / np.tan(np.radians(46.0) / 2)
    cameras = []
    for k in range(count):
        ring = min(2, 3 * k // count)
        turn = 2 * np.pi * 3 * k / count + ring * 0.35 + rng.normal() * 0.03
        lift = rings[ring] + rng.normal() * 0.03
        away = distance * (1 + rng.normal() * 0.03)
        eye = away * np.array(
            [np.cos(lift) * np.cos(turn), np.cos(lift) * np.sin(turn), np.sin(lift)]
        )
        target = np.array([0.0, 0.0, 0.25]) + rng.normal(size=3) * 0.06
        cameras.append(Camera(look_at(eye, target), float(focal), width, height))
    return cameras
