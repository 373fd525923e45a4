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
# Cameras whose one picture is made of two, one for each eye.
STEREO = (CameraType.OMNIDIRECTIONALSTEREO_L.value, CameraType.VR180_L.value)
# How far a spiral goes out, in units of the distance to what it looks at, and its turns.
SPIRAL_REACH = 0.25
SPIRAL_TURNS = 2
UP = (0.0, 0.0, 1.0)


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
        DffError: missing, not JSON, or without the fields or the cameras of a camera path.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        width, height = int(data["render_width"]), int(data["render_height"])
        if data["camera_path"] == []:
            raise DffError(f"{path} has no cameras: add some in the viewer, and save it again")
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
    if int(cameras.camera_type.reshape(-1)[0]) in STEREO:
        raise DffError(
            f"{path} is for two eyes: write an edited.yml with --write-config and render it with "
            "ns-render camera-path"
        )
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
    step = _steps(frames, "an orbit")
    origins, target = _seen(cameras)
    offset = origins - target
    radius = offset[:, :2].norm(dim=-1).median()
    height = offset[:, 2].median()
    start, span = covered_arc(torch.atan2(offset[:, 1], offset[:, 0]))
    if span > 1.5 * torch.pi:
        angles = start + 2 * torch.pi * step
    else:
        angles = start + span * (0.5 - 0.5 * torch.cos(2 * torch.pi * step))
    around = torch.stack(
        [radius * torch.cos(angles), radius * torch.sin(angles), height.expand(frames)], dim=-1
    )
    return _looking(target + around, target, cameras, len(cameras) // 2)


def spiral(cameras: Cameras, frames: int) -> list[Shot]:
    """A spiral before one of the cameras, out and back in, looking at what all of them look at.

    It starts at the camera ``o`` with the least sum of distances to the others. With ``x`` the
    point looked at, ``u`` and ``v`` right and up across the line from ``o`` to ``x`` and s from 0
    to 1, the place is ``o + a sin(pi s) |x - o| (cos(2 pi n s) u + sin(2 pi n s) v)``, for
    ``a = SPIRAL_REACH`` and ``n = SPIRAL_TURNS``: a loop without a jump.

    Raises:
        DffError: fewer than one frame.
    """
    step = _steps(frames, "a spiral")
    origins, target = _seen(cameras)
    first = int(torch.cdist(origins, origins).sum(dim=-1).argmin())
    frame = look_at(origins[first], target, torch.tensor(UP))
    reach = SPIRAL_REACH * (target - origins[first]).norm() * torch.sin(torch.pi * step)
    angle = 2 * torch.pi * SPIRAL_TURNS * step
    across = torch.stack([torch.cos(angle), torch.sin(angle)], dim=-1) @ frame[:, :2].T
    return _looking(origins[first] + reach[:, None] * across, target, cameras, first)


def _steps(frames: int, name: str) -> Float[Tensor, " frames"]:
    """Evenly from 0 to just before 1."""
    if not 1 <= frames <= MAX_FRAMES:
        raise DffError(f"{name} needs 1 to {MAX_FRAMES} frames, not {frames}")
    return torch.arange(frames) / frames


def _seen(cameras: Cameras) -> tuple[Float[Tensor, "cameras 3"], Float[Tensor, " 3"]]:
    """Where the cameras are, and the point that they look at."""
    poses = cameras.camera_to_worlds.cpu()
    return poses[:, :, 3], focus_point(poses[:, :, 3], -poses[:, :, 2])


def _looking(
    places: Float[Tensor, "frames 3"], target: Float[Tensor, " 3"], cameras: Cameras, like: int
) -> list[Shot]:
    """Upright cameras at places that look at a target, with the lens and size of another one."""
    model = cameras[like : like + 1]
    width, height = int(model.width.item()), int(model.height.item())
    made = Cameras(
        camera_to_worlds=torch.stack(
            [look_at(place, target, torch.tensor(UP)) for place in places]
        ),
        fx=float(model.fx.item()),
        fy=float(model.fy.item()),
        cx=width / 2,
        cy=height / 2,
        width=width,
        height=height,
        camera_type=CameraType.PERSPECTIVE,
    )
    return [Shot(f"{i:05d}", made[i : i + 1]) for i in range(len(places))]


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
