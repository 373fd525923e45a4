"""Flights through views: smooth in between, and as nerfstudio's camera paths."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float
from scipy.interpolate import CubicSpline
from scipy.spatial.transform import Rotation, RotationSpline

from dff.editor.lenses import FLIP, Eye
from dff.errors import DffError

MOST_VIEWS = 500
MOST_FRAMES = 36_000


@dataclass(frozen=True)
class Flight:
    """A flight through views, equal times apart.

    Attributes:
        eyes: the views, at least two to fly.
        seconds: it takes, in (0, 600].
        fps: frames a second, in [1, 60].
        height: of its pictures, in pixels.
        loop: whether it ends where it began.
    """

    eyes: tuple[Eye, ...] = ()
    seconds: float = 4.0
    fps: float = 24.0
    height: int = 480
    loop: bool = False

    def with_eye(self, eye: Eye) -> Flight:
        """With one view more.

        Raises:
            DffError: there are too many.
        """
        if len(self.eyes) >= MOST_VIEWS:
            raise DffError(f"a path has at most {MOST_VIEWS} views")
        return dataclasses.replace(self, eyes=(*self.eyes, eye))

    @property
    def aspect(self) -> float:
        """Width over height: of the first view."""
        return self.eyes[0].aspect if self.eyes else 4 / 3

    @property
    def frames(self) -> int:
        """How many pictures."""
        return max(2, round(self.seconds * self.fps))


def flown(flight: Flight) -> list[Eye]:
    """Cameras along a flight: natural cubic splines through positions and fields of view.

    Rotations are interpolated by a spline of continuous angular acceleration. A loop goes through
    its first view again, and its last picture is the one before that.

    Raises:
        DffError: fewer than two views, or too many pictures.
    """
    eyes = flight.eyes
    if len(eyes) < 2:
        raise DffError("a path needs at least two views: move the camera and add another")
    if not 0 < flight.seconds <= 600 or not 1 <= flight.fps <= 60:
        raise DffError("a path takes up to 600 seconds, at 1 to 60 frames a second")
    if flight.frames > MOST_FRAMES:
        raise DffError(f"{flight.frames} frames are too many: at most {MOST_FRAMES}")
    if flight.loop:
        eyes = (*eyes, eyes[0])
    knots = np.linspace(0.0, 1.0, len(eyes))
    times = np.linspace(0.0, 1.0, flight.frames + flight.loop)[: flight.frames]
    ends: Any = "periodic" if flight.loop else "natural"
    positions = CubicSpline(knots, np.array([eye.position for eye in eyes]), bc_type=ends)(times)
    fovs = CubicSpline(knots, np.array([eye.fov for eye in eyes]), bc_type=ends)(times)
    turns = Rotation.from_quat([(e.wxyz[1], e.wxyz[2], e.wxyz[3], e.wxyz[0]) for e in eyes])
    quaternions = RotationSpline(knots, turns)(times).as_quat()
    return [
        Eye(
            (float(w), float(x), float(y), float(z)),
            (float(p[0]), float(p[1]), float(p[2])),
            float(np.clip(fov, 0.05, 3.0)),
            flight.aspect,
        )
        for (x, y, z, w), p, fov in zip(quaternions, positions, fovs, strict=True)
    ]


def path_file(flight: Flight) -> dict[str, Any]:
    """As nerfstudio's viewer saves a camera path, with its keyframes.

    Raises:
        DffError: as `flown`.
    """
    width = 2 * round(flight.height * flight.aspect / 2)
    return {
        "camera_type": "perspective",
        "render_height": flight.height,
        "render_width": width,
        "fps": flight.fps,
        "seconds": flight.seconds,
        "is_cycle": flight.loop,
        "smoothness_value": 0.0,
        "default_fov": math.degrees(flight.eyes[0].fov) if flight.eyes else 75.0,
        "default_transition_sec": flight.seconds / max(1, len(flight.eyes) - 1),
        "keyframes": [
            {
                "matrix": matrix_of(eye).flatten().tolist(),
                "fov": math.degrees(eye.fov),
                "aspect": eye.aspect,
                "override_transition_enabled": False,
                "override_transition_sec": None,
            }
            for eye in flight.eyes
        ],
        "camera_path": [
            {
                "camera_to_world": matrix_of(eye).flatten().tolist(),
                "fov": math.degrees(eye.fov),
                "aspect": eye.aspect,
            }
            for eye in flown(flight)
        ],
    }


def matrix_of(eye: Eye) -> Float[np.ndarray, "4 4"]:
    """Camera to world, OpenGL."""
    w, x, y, z = eye.wxyz
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.from_quat([x, y, z, w]).as_matrix() @ FLIP
    matrix[:3, 3] = eye.position
    return matrix
