"""What a camera shows of the work: colour, depth, features, scores, what is selected.

A view is rendered once into buffers; looking at it another way, moving a threshold or selecting
something else paints the buffers anew, which takes milliseconds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from nerfstudio.cameras.cameras import Cameras
from torch import Tensor

from dff.camera_paths import rescaled
from dff.edited_surface import trained_places
from dff.editor.latest import Outdated
from dff.edits.compiled import CompiledEdits
from dff.pictures import heatmap, overlay, to_bytes
from dff.scene import Scene
from dff.seen_view import SeenView
from dff.selection.feature_colours import FeatureColours
from dff.selection.selection import Selection

Output = Literal["colour", "depth", "features", "heatmap", "selection"]
OUTPUTS: tuple[Output, ...] = ("colour", "depth", "features", "heatmap", "selection")
# Rays of the first picture, which has to be there at once: and of the one after it.
FIRST_RAYS, SECOND_RAYS = 3_000, 24_000
# Of a view that somebody points at before its finest picture is there.
POINTED_RAYS = 16_000
# A ray's neighbourhood that counts as its surface, as a share of its depth.
SURFACE_SHARE = 0.01
CHUNK = 1 << 15


@dataclass(frozen=True)
class Look:
    """How the work is looked at.

    Attributes:
        output: what is shown.
        compare: the scene as it was trained on the left, the edited one on the right.
        split: where they meet, share of the width.
        size: pixels along the longer side.
    """

    output: Output = "colour"
    compare: bool = False
    split: float = 0.5
    size: int = 480


@dataclass(frozen=True, eq=False)
class Tinted:
    """A selection that is shown in a colour (3,) in [0, 1]."""

    selection: Selection
    colour: tuple[float, float, float]


@dataclass(frozen=True, eq=False)
class Work:
    """What pictures depend on, besides camera and look.

    Attributes:
        edits: what is changed.
        selection: the current one.
        tinted: others that are shown.
    """

    edits: CompiledEdits | None = None
    selection: Selection | None = None
    tinted: tuple[Tinted, ...] = ()


@dataclass(frozen=True, eq=False)
class Buffers:
    """A rendered view.

    Attributes:
        scene: what of.
        edits: with what changed.
        outputs: of `Scene.render`.
        points: (h, w, 3), world positions of the first surface.
        outdated: asked now and then while more is found out.
    """

    scene: Scene
    edits: CompiledEdits | None
    outputs: dict[str, Tensor]
    points: Float[Tensor, "h w 3"]
    outdated: Callable[[], bool] = field(default=lambda: False)

    @property
    def rgb(self) -> Float[Tensor, "h w 3"]:
        """Colours; what is transparent lies on a chequered ground."""
        if "rgba" not in self.outputs:
            return self.outputs["rgb"].clamp(0, 1)
        rgba = self.outputs["rgba"]
        rows, columns = (torch.arange(side) // 8 for side in rgba.shape[:2])
        ground = 0.55 + 0.2 * ((rows[:, None] + columns[None, :]) % 2)[..., None]
        return rgba[..., :3] * rgba[..., 3:] + ground * (1 - rgba[..., 3:])

    @property
    def there(self) -> Bool[Tensor, "h w"]:
        """Where a surface is seen."""
        return self.outputs["accumulation"][..., 0] >= 0.5

    @cached_property
    def seen(self) -> SeenView:
        """To look at selections in: surfaces are taken for what they were trained as.

        Raises:
            DffError: the scene has no features.
            Outdated: a later order has come.
        """
        features = self.scene.features
        depth = self.outputs["depth"]
        flat = self.points.reshape(-1, 3).to(features.aabb)
        length = (SURFACE_SHARE * depth).reshape(-1, 1).to(flat)
        places, ours = trained_places(self.edits, flat, length)
        shape = depth.shape[:2]
        there = self.there & ours.view(shape).cpu()
        # Asked where there is something alone: most of what a view holds are these.
        hidden = torch.zeros(len(flat), features.hidden_dim)
        with torch.no_grad():
            for part in there.flatten().nonzero()[:, 0].split(CHUNK):
                if self.outdated():
                    raise Outdated
                hidden[part] = features.hidden_at(places[part.to(places.device)]).float().cpu()
        return SeenView(
            features,
            self.rgb,
            hidden.view(*shape, -1),
            places.view(*shape, 3).cpu(),
            depth[..., 0],
            there,
        )


def render_buffers(
    scene: Scene,
    camera: Cameras,
    edits: CompiledEdits | None = None,
    outdated: Callable[[], bool] = lambda: False,
) -> Buffers:
    """Render one camera.

    Raises:
        Outdated: a later order has come.
    """

    def look(_share: float) -> None:
        if outdated():
            raise Outdated

    look(0.0)
    outputs = scene.render(camera, edits, on_rows=look)
    rays = camera.to("cpu").generate_rays(camera_indices=0, keep_shape=True)
    points = rays.origins + outputs["depth"] * rays.directions
    return Buffers(scene, edits, outputs, points, outdated)


def painted(
    buffers: Buffers, look: Look, work: Work, colours: FeatureColours | None
) -> Float[Tensor, "h w 3"]:
    """Buffers as a picture, in [0, 1].

    Args:
        buffers: the view.
        look: which output.
        work: what is selected.
        colours: for features; None where the scene has none.
    """
    if look.output == "depth":
        return depth_colours(buffers.outputs["depth"], buffers.there)
    if look.output == "features" and colours is not None:
        return colours(buffers.seen.hidden)
    if look.output == "heatmap" and work.selection is not None:
        scores, _ = buffers.seen.asked(work.selection)
        return 0.25 * buffers.rgb + 0.75 * heatmap(scores.clamp(0, 1))
    if look.output != "selection":
        return buffers.rgb
    picture = buffers.rgb
    if work.selection is not None:
        picture = overlay(picture, buffers.seen.asked(work.selection)[1].clamp(0, 1))
    for each in work.tinted:
        mask = 0.6 * buffers.seen.asked(each.selection)[1].clamp(0, 1)
        picture = (1 - mask) * picture + mask * torch.tensor(each.colour)
    return picture


class Painter:
    """Pictures of the work for one pair of eyes, from coarse to fine.

    What was rendered last is kept, so that only what changed is done anew.
    """

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self._kept: dict[tuple, Buffers] = {}
        self._finished: list[tuple] = []

    @cached_property
    def _colours(self) -> FeatureColours | None:
        if self._scene.model.feature_field is None:
            return None
        return FeatureColours.of(self._scene.voxel_hidden, self._scene.surface.rays)

    def pictures(
        self,
        camera: Cameras,
        look: Look,
        work: Work,
        outdated: Callable[[], bool] = lambda: False,
    ) -> Iterator[UInt8[np.ndarray, "h w 3"]]:
        """From coarse to fine; where the view itself has not changed, the fine one at once.

        Args:
            camera: one camera; its size is that of the last picture.
            look, work: what is shown.
            outdated: whether a later order has come.

        Raises:
            Outdated: it has.
        """
        whole = [self._key(camera, edits) for edits in self._needed(look, work)]
        # Of views that were given up nothing stays, however many follow each other.
        useful = {*whole, *self._finished}
        self._kept = {key: found for key, found in self._kept.items() if key in useful}
        sizes = [1.0] if all(key in self._kept for key in whole) else scales(camera)
        for scale in sizes:
            smaller = rescaled(camera, scale)
            sides = []
            for edits in self._needed(look, work):
                buffers = self._buffers(smaller, edits, outdated, keep=scale == 1.0)
                colours = self._colours if look.output == "features" else None
                sides.append(painted(buffers, look, work, colours))
            picture = split_at(sides[0], sides[1], look.split) if look.compare else sides[0]
            yield to_bytes(picture)
        self._kept = {key: self._kept[key] for key in whole if key in self._kept}
        self._finished = whole

    def pointed(self, camera: Cameras, work: Work) -> SeenView:
        """The edited view, to point at things in.

        What was painted last if it is of this camera; otherwise a small one, rendered now.

        Args:
            camera: of the finest picture.
            work: what is edited.
        """
        kept = self._kept.get(self._key(camera, work.edits))
        if kept is None:
            rays = int(camera.width.item()) * int(camera.height.item())
            smaller = rescaled(camera, min(1.0, (POINTED_RAYS / rays) ** 0.5))
            kept = render_buffers(self._scene, smaller, work.edits)
        return kept.seen

    def _needed(self, look: Look, work: Work) -> list[CompiledEdits | None]:
        return [None, work.edits] if look.compare else [work.edits]

    def _key(self, camera: Cameras, edits: CompiledEdits | None) -> tuple:
        pose = camera.camera_to_worlds.numpy().tobytes()
        lens = tuple(
            float(value)
            for value in (camera.fx, camera.fy, camera.cx, camera.cy, camera.width, camera.height)
        )
        # The edits themselves are held by the buffers, so that their id stays theirs.
        return pose, lens, id(edits)

    def _buffers(
        self,
        camera: Cameras,
        edits: CompiledEdits | None,
        outdated: Callable[[], bool],
        keep: bool,
    ) -> Buffers:
        key = self._key(camera, edits)
        if key in self._kept:
            return self._kept[key]
        buffers = render_buffers(self._scene, camera, edits, outdated)
        if keep:
            self._kept[key] = Buffers(self._scene, edits, buffers.outputs, buffers.points)
            return self._kept[key]
        return buffers


def depth_colours(
    depth: Float[Tensor, "h w 1"], there: Bool[Tensor, "h w"]
) -> Float[Tensor, "h w 3"]:
    """Near is red, far is blue, by disparity (so that a far background leaves the rest apart)."""
    disparity = 1 / depth.clamp_min(1e-6)
    if not there.any():
        return torch.zeros(*there.shape, 3)
    low, high = torch.quantile(disparity[there][::7].flatten(), torch.tensor([0.02, 0.98]))
    share = ((disparity - low) / (high - low).clamp_min(1e-9)).clamp(0, 1)
    return heatmap(share) * there[..., None]


def scales(camera: Cameras) -> list[float]:
    """Shares of the size at which pictures are rendered, from coarse to fine."""
    rays = int(camera.width.item()) * int(camera.height.item())
    coarse = [(wanted / rays) ** 0.5 for wanted in (FIRST_RAYS, SECOND_RAYS)]
    return [*(scale for scale in coarse if scale < 0.7), 1.0]


def split_at(
    before: Float[Tensor, "h w 3"], after: Float[Tensor, "h w 3"], share: float
) -> Float[Tensor, "h w 3"]:
    """One picture on the left and another on the right of a line."""
    width = before.shape[1]
    column = round(min(max(share, 0.0), 1.0) * width)
    picture = torch.cat([before[:, :column], after[:, column:]], dim=1)
    line = min(max(column, 0), width - 1)
    white = torch.ones_like(picture[:, :1])
    return torch.cat([picture[:, :line], white, picture[:, line + 1 :]], dim=1)
