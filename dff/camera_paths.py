"""Where to look from: orbits, camera paths saved by nerfstudio, and the capture's own cameras."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from nerfstudio.cameras.camera_paths import get_path_from_json
from nerfstudio.cameras.cameras import Cameras, CameraType
from torch import Tensor

from dff.errors import DffError

if TYPE_CHECKING:
    from dff.scene import View

# A document from outside: an hour at 60 frames a second is plenty.
MAX_FRAMES = 216_000
MAX_SIDE = 16_384


@dataclass(frozen=True)
class Shot:
    """One camera and the stem of the file its picture goes to."""

    name: str
    camera: Cameras


def read_camera_path(path: Path) -> tuple[list[Shot], float]:
    """Read a camera path saved by nerfstudio's viewer.

    Returns:
        Its cameras, and its frames per second.

    Raises:
        DffError: missing, not JSON, or without the fields of a camera path.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        width, height = int(data["render_width"]), int(data["render_height"])
        cameras = get_path_from_json(data)
        fps = float(data.get("fps", 24.0))
        if any("fov" in frame and frame["fov"] is None for frame in data["camera_path"]):
            raise ValueError("a frame has no field of view")
    except FileNotFoundError as error:
        raise DffError(f"no such camera path: {path}") from error
    except (OSError, ValueError, LookupError, TypeError, RuntimeError, AttributeError) as error:
        raise DffError(f"{path} is not a nerfstudio camera path: {_reason(error)}") from error
    if not 0 < len(cameras) <= MAX_FRAMES or not 0 < fps <= 1000:
        raise DffError(f"{path}: a camera path needs 1 to {MAX_FRAMES} frames and a frame rate")
    if not (0 < width <= MAX_SIDE and 0 < height <= MAX_SIDE):
        raise DffError(f"{path}: {width}x{height} is no size for a picture (1 to {MAX_SIDE})")
    if not torch.isfinite(cameras.camera_to_worlds).all():
        raise DffError(f"{path}: a camera pose holds NaN or infinity")
    if not (torch.isfinite(cameras.fx) & (cameras.fx > 0)).all():
        raise DffError(f"{path}: a field of view must be above 0 and below 180 degrees")
    cameras.width = torch.full_like(cameras.width, width)
    cameras.height = torch.full_like(cameras.height, height)
    return [Shot(f"{i:05d}", cameras[i : i + 1]) for i in range(len(cameras))], fps


def dataset_shots(views: list[View]) -> list[Shot]:
    """The capture's own cameras, named after their images."""
    return [Shot(view.name, view.camera) for view in views]


def rescaled(camera: Cameras, scale: float) -> Cameras:
    """The same camera with ``scale`` times the pixels along each side.

    Raises:
        DffError: no pixel would be left.
    """
    height, width = int(camera.height.min()), int(camera.width.min())
    if min(height, width) * scale < 1.0:
        raise DffError(f"resolution scale {scale} leaves no pixels of {width}x{height}")
    copy = camera[:]
    if scale != 1.0:
        copy.rescale_output_resolution(scale)
    return copy


def focus_point(
    origins: Float[Tensor, "cameras 3"], directions: Float[Tensor, "cameras 3"]
) -> Float[Tensor, " 3"]:
    """The point nearest to all optical axes, in the sense of least squares.

    Solves ``sum_i (I - d_i d_i^T) (x - o_i) = 0``; a little weight on the cameras' mean keeps it
    defined where all axes are parallel.
    """
    unit = torch.nn.functional.normalize(directions.double(), dim=-1)
    projector = torch.eye(3, dtype=torch.float64) - unit[:, :, None] * unit[:, None, :]
    mean = origins.double().mean(dim=0)
    weight = 1e-6 * torch.eye(3, dtype=torch.float64)
    left = projector.mean(dim=0) + weight
    right = (projector @ origins.double()[:, :, None]).mean(dim=0)[:, 0] + weight @ mean
    return torch.linalg.solve(left, right).to(origins.dtype)


def look_at(
    origin: Float[Tensor, " 3"], target: Float[Tensor, " 3"], up: Float[Tensor, " 3"]
) -> Float[Tensor, "3 4"]:
    """Camera-to-world matrix (OpenGL: looks along -z, y up) at ``origin`` towards ``target``.

    Where the view is along ``up``, the picture's up is any direction across it.
    """
    back = torch.nn.functional.normalize(origin - target, dim=0)
    if float(torch.linalg.cross(up, back).norm()) < 1e-4 * float(up.norm()):
        up = torch.eye(3).to(back)[int(back.abs().argmin())]
    right = torch.nn.functional.normalize(torch.linalg.cross(up, back), dim=0)
    return torch.stack([right, torch.linalg.cross(back, right), back, origin], dim=1)


def orbit(cameras: Cameras, frames: int) -> list[Shot]:
    """A path around what the cameras look at, on the arc that they themselves cover.

    The world's up is +z, as nerfstudio orients captures. Where the cameras go all the way round,
    the path is a full circle at their median distance and height; where they cover an arc, it goes
    along that arc and back, so that it never looks from where nothing was seen.

    Raises:
        DffError: fewer than one frame.
    """
    if not 1 <= frames <= MAX_FRAMES:
        raise DffError(f"an orbit needs 1 to {MAX_FRAMES} frames, not {frames}")
    poses = cameras.camera_to_worlds.cpu()
    origins = poses[:, :, 3]
    target = focus_point(origins, -poses[:, :, 2])
    offset = origins - target
    radius = offset[:, :2].norm(dim=-1).median()
    height = offset[:, 2].median()
    start, span = covered_arc(torch.atan2(offset[:, 1], offset[:, 0]))
    step = torch.arange(frames) / frames
    if span > 1.5 * torch.pi:
        angles = start + 2 * torch.pi * step
    else:
        angles = start + span * (0.5 - 0.5 * torch.cos(2 * torch.pi * step))
    up = torch.tensor([0.0, 0.0, 1.0])
    around = torch.stack(
        [radius * torch.cos(angles), radius * torch.sin(angles), height.expand(frames)], dim=-1
    )
    path = torch.stack([look_at(target + spot, target, up) for spot in around])
    middle = cameras[len(cameras) // 2 : len(cameras) // 2 + 1]
    width, height_px = int(middle.width.item()), int(middle.height.item())
    made = Cameras(
        camera_to_worlds=path,
        fx=float(middle.fx.item()),
        fy=float(middle.fy.item()),
        cx=width / 2,
        cy=height_px / 2,
        width=width,
        height=height_px,
        camera_type=CameraType.PERSPECTIVE,
    )
    return [Shot(f"{i:05d}", made[i : i + 1]) for i in range(frames)]


def covered_arc(angles: Float[Tensor, " n"]) -> tuple[float, float]:
    """Start and length in radians of the shortest arc that holds all angles."""
    ordered = torch.sort(torch.remainder(angles, 2 * torch.pi)).values
    following = torch.cat([ordered[1:], ordered[:1] + 2 * torch.pi])
    gaps = following - ordered
    widest = int(gaps.argmax())
    return float(following[widest]), float(2 * torch.pi - gaps[widest])


def _reason(error: BaseException) -> str:
    if isinstance(error, KeyError):
        return f"it has no '{error.args[0]}'"
    return " ".join(str(error).split())[:120]
