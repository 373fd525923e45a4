"""What is shown in pictures: looks, or where a picture is of the capture, places."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from dff.camera_paths import rescaled
from dff.data.images import load_image
from dff.errors import DffError
from dff.query.prototypes import foreground_prototypes, prototypes_of
from dff.query.shown import Patch, PatchQuery
from dff.seen_view import SeenView
from dff.selection.framed import framed
from dff.selection.surface_grid import SurfaceGrid
from dff.teachers import Teacher

if TYPE_CHECKING:
    from dff.scene import Scene

# Around a rectangle its surroundings are looked at as far as this share of its sides.
MARGIN = 0.5
# A view in which a frame was drawn is looked at with so many pixels along its longer side.
FRAMED_WIDTH = 128


def framed_voxels(scene: Scene, names: Sequence[str], query: PatchQuery) -> list[int]:
    """Voxels of the things in frames that were drawn in the capture's own images.

    Returns:
        One for each frame, as if it was clicked; none at all where a frame shows no thing, or
        a picture is not of the capture, or is a whole one, or there are unwanted ones: then looks
        have to say what is meant.

    Raises:
        DffError: a rectangle or a mask does not fit its image.
    """
    views = {view.name: view for view in scene.views()}
    drawn = [patch for patch in query.positives if patch.image in views]
    if len(drawn) < len(query.positives) or query.negatives:
        return []
    spaces = [scene.baked(name).reduced for name in names]
    found = []
    for patch in drawn:
        if patch.box is None and patch.mask is None:
            return []
        view = views[patch.image]
        inside = inside_of(patch, view.size)
        scale = min(1.0, FRAMED_WIDTH / max(view.size))
        seen = scene.see(rescaled(view.camera, scale))
        rows, columns = seen.there.shape
        share = F.adaptive_avg_pool2d(inside.float()[None, None], (rows, columns))[0, 0]
        seed = seed_in_view(scene.surface, spaces, seen, share >= 0.5)
        if seed is None:
            return []
        found.append(seed)
    return found


def seed_in_view(
    grid: SurfaceGrid,
    spaces: Sequence[Float[Tensor, "n K"]],
    seen: SeenView,
    inside: Bool[Tensor, "h w"],
) -> int | None:
    """The voxel of the thing that some pixels of a view show, as if it was clicked.

    Args:
        grid: the scene's n voxels.
        spaces: their unit features by each teacher.
        seen: the view.
        inside: its pixels that were framed; those without a surface count for nothing.

    Returns:
        As `dff.selection.framed.framed`.
    """
    unit = seen.field.unit_positions(seen.points.to(seen.field.aabb))
    return framed(grid, spaces, grid.voxel_at(unit)[seen.there], inside[seen.there])


def inside_of(patch: Patch, size: tuple[int, int]) -> Bool[Tensor, "h w"]:
    """Pixels of an image, of which the height and width are given, that a patch of it marks.

    Raises:
        DffError: the rectangle reaches beyond the image, or the mask does not fit it.
    """
    if patch.mask is not None:
        return read_mask(patch.mask, size)
    height, width = size
    inside = torch.ones(height, width, dtype=torch.bool)
    if patch.box is not None:
        x0, y0, x1, y1 = _box_within(patch, patch.box, size)
        y, x = torch.arange(height) + 0.5, torch.arange(width) + 0.5
        inside = ((y >= y0) & (y < y1))[:, None] & ((x >= x0) & (x < x1))
    return inside


def shown_prototypes(
    scene: Scene, teacher: Teacher, query: PatchQuery
) -> tuple[Float[Tensor, "p D"], Float[Tensor, "q D"]]:
    """Looks that are wanted, and those that are not, of all pictures of a query.

    Raises:
        DffError: as `patch_prototypes`.
    """
    pairs = [patch_prototypes(scene, teacher, patch) for patch in query.positives]
    unwanted = [patch_prototypes(scene, teacher, patch)[0] for patch in query.negatives]
    positives = torch.cat([positive for positive, _ in pairs])
    return positives, torch.cat([*(negative for _, negative in pairs), *unwanted])


def patch_prototypes(
    scene: Scene, teacher: Teacher, patch: Patch
) -> tuple[Float[Tensor, "p D"], Float[Tensor, "q D"]]:
    """Prototypes of a patch and of what surrounds it in its picture.

    Raises:
        DffError: no such image or file, or the rectangle lies outside of it.
    """
    views = [view for view in scene.views() if view.name == patch.image]
    path = views[0].path if views else Path(patch.image)
    if not views and not path.is_file():
        raise DffError(
            f"'{patch.image}' is neither an image of the capture nor a file: give the stem of an "
            "image, or a path"
        )
    image = load_image(path)
    features = teacher.encode_file(path, load_image)
    size = (image.shape[0], image.shape[1])
    if patch.mask is not None:
        inside, outside = _cells_of_mask(features.shape[:2], read_mask(patch.mask, size))
        return foreground_prototypes(features[inside], features[outside])
    if patch.box is None:
        return prototypes_of(features.flatten(0, 1)), features.new_zeros(0, features.shape[-1])
    box = _box_within(patch, patch.box, size)
    inside, outside = _cells_of(features.shape[:2], size, box)
    return foreground_prototypes(features[inside], features[outside])


def _box_within(
    patch: Patch, box: tuple[float, float, float, float], size: tuple[int, int]
) -> tuple[float, float, float, float]:
    if box[0] < 0 or box[1] < 0 or box[2] > size[1] or box[3] > size[0]:
        raise DffError(
            f"the patch {patch} reaches beyond the image: it is {size[1]}x{size[0]} pixels"
        )
    return box


def read_mask(path: str, size: tuple[int, int]) -> Bool[Tensor, "h w"]:
    """A mask of an image, of which the height and width are given, from a file.

    Raises:
        DffError: there is no such file, it is of another size, or it selects nothing.
    """
    if not Path(path).is_file():
        raise DffError(f"no such mask: {path}")
    mask = load_image(Path(path)).amax(dim=-1) > 0
    height, width = size
    if mask.shape != size:
        raise DffError(
            f"the mask {path} is {mask.shape[1]}x{mask.shape[0]} pixels and its image "
            f"{width}x{height}: they have to be the same"
        )
    if not mask.any():
        raise DffError(f"the mask {path} is all black: paint the thing white")
    return mask


def _cells_of_mask(
    grid: Sequence[int], mask: Bool[Tensor, "h w"]
) -> tuple[Bool[Tensor, "h w"], Bool[Tensor, "h w"]]:
    """Cells of a feature map that lie mostly in a mask, and those around that it does not touch."""
    share = F.adaptive_avg_pool2d(mask.float()[None, None], (grid[0], grid[1]))[0, 0]
    # A mask smaller than a cell is the cell it fills most.
    inside = share >= min(0.5, float(share.max()))
    wide = max(1, round(MARGIN * float(inside.sum()) ** 0.5))
    near = F.max_pool2d(inside.float()[None, None], 2 * wide + 1, 1, wide)[0, 0] > 0
    return inside, near & (share == 0)


def _cells_of(
    grid: Sequence[int], size: tuple[int, int], box: tuple[float, float, float, float]
) -> tuple[Bool[Tensor, "h w"], Bool[Tensor, "h w"]]:
    """Cells of a feature map whose centres lie in a rectangle, and those in a band around it."""
    x0, y0, x1, y1 = box
    y = (torch.arange(grid[0]) + 0.5) * size[0] / grid[0]
    x = (torch.arange(grid[1]) + 0.5) * size[1] / grid[1]
    # A patch smaller than a cell is the cell it lies in.
    rows = (y >= y0) & (y < y1)
    columns = (x >= x0) & (x < x1)
    if not rows.any():
        rows[int((y0 + y1) / 2 * grid[0] / size[0])] = True
    if not columns.any():
        columns[int((x0 + x1) / 2 * grid[1] / size[1])] = True
    inside = rows[:, None] & columns[None, :]
    high, wide = MARGIN * (y1 - y0), MARGIN * (x1 - x0)
    near = ((y >= y0 - high) & (y < y1 + high))[:, None] & ((x >= x0 - wide) & (x < x1 + wide))[
        None, :
    ]
    # Cells that straddle the outline belong to neither.
    rim = F.max_pool2d(inside.float()[None, None], 3, 1, 1)[0, 0] > 0
    return inside, near & ~rim
