"""What the training cameras show of the (edited) scene: pictures with depth, from pinholes.

Captures come with all kinds of lenses. The scene can be rendered from any camera, so each training
camera is replaced by a pinhole in its place: then rays and projections are each other's inverse, in
closed form.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from nerfstudio.cameras.cameras import Cameras, CameraType
from rich.progress import track
from torch import Tensor

from dff.camera_paths import rescaled
from dff.edits.compiled import CompiledEdits
from dff.errors import DffError
from dff.scene import Scene

# Below so many pixels a picture no longer shows where things end: fewer cameras then, not smaller.
FEWEST_PIXELS = 12_000
# More than half of the light must have been stopped, or there is no surface.
THERE = 0.5
# Neighbouring pixels whose depth differs by less than this share of it show one surface.
SAME_SURFACE = 0.05


@dataclass(frozen=True, eq=False)
class PinholeView:
    """A pinhole camera and what it shows.

    Attributes:
        pose: (3, 4), camera to world, OpenGL: looks along -z, y up.
        focal: (2,), in pixels.
        centre: (2,), principal point in pixels, (0, 0) being the upper left corner.
        rgb: (h, w, 3) in [0, 1].
        depth: (h, w), distance along the ray through the pixel's centre, world units.
        there: (h, w), whether the ray meets a surface.
        step: (h, w), number of the last step of the document that changed it, 0 for none.
    """

    pose: Float[Tensor, "3 4"]
    focal: Float[Tensor, " 2"]
    centre: Float[Tensor, " 2"]
    rgb: Float[Tensor, "h w 3"]
    depth: Float[Tensor, "h w"]
    there: Bool[Tensor, "h w"]
    step: Int[Tensor, "h w"]

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        return self.depth.shape[0], self.depth.shape[1]

    @cached_property
    def directions(self) -> Float[Tensor, "h w 3"]:
        """Unit vectors through the pixels' centres, in the world."""
        height, width = self.size
        y, x = torch.meshgrid(torch.arange(height) + 0.5, torch.arange(width) + 0.5, indexing="ij")
        flat = (torch.stack([x, y], dim=-1) - self.centre) / self.focal
        local = torch.stack([flat[..., 0], -flat[..., 1], -torch.ones_like(x)], dim=-1)
        return F.normalize(local @ self.pose[:, :3].T, dim=-1)

    @cached_property
    def points(self) -> Float[Tensor, "h w 3"]:
        """Where the rays end."""
        return self.pose[:, 3] + self.depth[..., None] * self.directions

    def project(
        self, points: Float[Tensor, "n 3"]
    ) -> tuple[Float[Tensor, "n 2"], Float[Tensor, " n"], Bool[Tensor, " n"]]:
        """Column and row in pixels, distance from the camera, and whether it is in the picture."""
        local = (points - self.pose[:, 3]) @ self.pose[:, :3]
        ahead = -local[:, 2]
        flat = torch.stack([local[:, 0], -local[:, 1]], dim=1) / ahead.clamp_min(1e-9)[:, None]
        pixels = flat * self.focal + self.centre
        height, width = self.size
        inside = (pixels >= 0).all(1) & (pixels[:, 0] < width) & (pixels[:, 1] < height)
        return pixels, local.norm(dim=1), inside & (ahead > 1e-6)

    def depths_around(
        self, pixels: Float[Tensor, "n 2"]
    ) -> tuple[Float[Tensor, "n 4"], Float[Tensor, "n 4"]]:
        """Depth at the four pixels around places in the picture, and their bilinear weights.

        Infinite where the ray meets nothing.
        """
        height, width = self.size
        depth = torch.where(self.there, self.depth, torch.inf)
        high = torch.tensor([width - 1, height - 1])
        low = (pixels - 0.5).floor().long().clamp(torch.zeros(2, dtype=torch.long), high)
        following = torch.minimum(low + 1, high)
        part = (pixels - 0.5 - low).clamp(0, 1)
        depths, weights = [], []
        for y, down in ((low, 1 - part[:, 1]), (following, part[:, 1])):
            for x, right in ((low, 1 - part[:, 0]), (following, part[:, 0])):
                depths.append(depth[y[:, 1], x[:, 0]])
                weights.append(right * down)
        return torch.stack(depths, dim=1), torch.stack(weights, dim=1)

    def sampled_depth(self, pixels: Float[Tensor, "n 2"]) -> Float[Tensor, " n"]:
        """Depth at places in the picture; infinite where the ray meets nothing.

        Bilinear where the four pixels around show one surface, else that of the nearest.
        """
        depths, weights = self.depths_around(pixels)
        nearest = depths.gather(1, weights.argmax(dim=1, keepdim=True))[:, 0]
        between = (weights * depths).sum(dim=1)
        return torch.where(one_surface(depths), between, nearest)


def one_surface(depths: Float[Tensor, "n 4"]) -> Bool[Tensor, " n"]:
    """Whether neighbouring pixels' depths hardly differ."""
    low = depths.amin(dim=1)
    return depths.amax(dim=1) - low < SAME_SURFACE * low


def render_views(
    scene: Scene,
    edits: CompiledEdits | None = None,
    steps: Sequence[int] = (),
    rays: int = 1_000_000,
    on_share: Callable[[float], object] = lambda share: None,
) -> list[PinholeView]:
    """Render the training cameras, with a progress bar.

    Args:
        scene: trained.
        edits: what is changed.
        steps: numbers to give the edits' operations; 1, 2, ... where there are none.
        rays: about how many in all, at least one picture's; the pictures are made smaller and, once
            they are very small, fewer.
        on_share: told the share of the pictures that is done; what it raises ends the work.

    Raises:
        DffError: no picture shows a surface: the edits leave nothing.
    """
    cameras = scene.training_cameras
    chosen, scale = spread_rays(cameras, rays)
    views = []
    for number, index in enumerate(track(chosen, description="Rendering")):
        on_share(number / len(chosen))
        camera = rescaled(pinhole(cameras[index : index + 1]), scale)
        views.append(_view(scene, camera, edits, steps))
    if not any(bool(view.there.any()) for view in views):
        left = "the edits leave nothing" if edits is not None else "the scene is empty"
        raise DffError(f"there is nothing to export: {left} that a training camera could see")
    return views


def spread_rays(cameras: Cameras, rays: int) -> tuple[list[int], float]:
    """Which cameras to render, evenly spread over the capture, and at what share of their size."""
    pixels = float((cameras.height * cameras.width).double().mean())
    most = max(1, int(rays / min(FEWEST_PIXELS, pixels)))
    count = min(len(cameras), most)
    chosen = sorted({round(k * (len(cameras) - 1) / max(count - 1, 1)) for k in range(count)})
    return chosen, min(1.0, math.sqrt(rays / (len(chosen) * pixels)))


def pinhole(camera: Cameras) -> Cameras:
    """A camera without lens in the same place; of one that sees all round, 90 degrees ahead."""
    fx, fy = camera.fx, camera.fy
    if int(camera.camera_type[0]) not in (CameraType.PERSPECTIVE.value, CameraType.FISHEYE.value):
        fx = fy = camera.width / 2.0
    return Cameras(
        camera_to_worlds=camera.camera_to_worlds,
        fx=fx,
        fy=fy,
        cx=camera.cx,
        cy=camera.cy,
        width=camera.width,
        height=camera.height,
        camera_type=CameraType.PERSPECTIVE,
    )


def _view(
    scene: Scene, camera: Cameras, edits: CompiledEdits | None, steps: Sequence[int]
) -> PinholeView:
    outputs = scene.render(camera, edits, touched=edits is not None)
    depth, there = outputs["depth"][..., 0], outputs["accumulation"][..., 0] > THERE
    step = torch.zeros(depth.shape, dtype=torch.long)
    changed = outputs.get("touched", torch.zeros(*depth.shape, 0)) > THERE
    if changed.shape[-1]:
        numbers = torch.tensor(list(steps) or list(range(1, changed.shape[-1] + 1)))
        step = (changed * numbers).amax(dim=-1) * there
    return PinholeView(
        camera.camera_to_worlds[0].cpu(),
        torch.cat([camera.fx[0], camera.fy[0]]).cpu(),
        torch.cat([camera.cx[0], camera.cy[0]]).cpu(),
        outputs["rgb"].clamp(0, 1),
        depth,
        there,
        step,
    )
