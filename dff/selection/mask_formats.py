"""A selection as masks: a volume of voxels, and pictures of it in cameras."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool
from PIL import Image
from pycocotools import mask as coco_mask

from dff.errors import DffError
from dff.files import atomic_write
from dff.selection.frame import Frame, voxel_corners
from dff.selection.point_cloud import checked_suffix, colour_bytes, selected_voxels
from dff.selection.selection import Selection

VERSION = 1
_ABOUT = """\
Cell (i, j, k) of mask and values has its centre at u = origin + (index + 0.5) * voxel_size in the
unit cube. Not contracted: world = aabb[0] + u * (aabb[1] - aabb[0]). Contracted: c = 4 (u - 0.5),
n = max |c|, and world = c where n <= 1, else c / (n (2 - n))."""


def write_mask_volume(path: Path, selection: Selection, frame: Frame) -> int:
    """Write the box of voxels around what is selected as ``.npz``, atomically.

    The arrays, all readable without pickle:

    * ``mask`` (a, b, c) bool and ``values`` (a, b, c) float32, the soft mask: a crop of the grid,
      0 where there is no voxel;
    * ``origin`` (3,) and ``voxel_size`` (float): lower corner of cell (0, 0, 0) and side of a cell,
      in the unit cube; ``resolution``: cells along the whole cube;
    * ``contracted``, ``aabb`` (2, 3): how the unit cube maps to the world, in words in ``about``;
    * sparse, a row for each selected voxel: ``index`` (m, 3) in the crop, ``value`` (m,),
      ``point`` (m, 3) mean world position of what was seen there, ``colour`` (m, 3) uint8;
    * ``bounds`` (2, 3): world bounding box of these points; ``version``.

    Args:
        path: ends in .npz.
        selection: what is selected.
        frame: where its voxels are.

    Returns:
        How many voxels are selected.

    Raises:
        DffError: nothing is selected, another suffix, or the file cannot be written.
    """
    checked_suffix(path, (".npz",), "a mask volume")
    grid = selection.grid
    chosen = selected_voxels(selection)
    corners = voxel_corners(grid.snap.seen, grid.resolution)
    low, high = corners[chosen].amin(dim=0), corners[chosen].amax(dim=0)
    within = ((corners >= low) & (corners <= high)).all(dim=1)
    index = tuple((corners[within] - low).T)
    values = torch.zeros(tuple((high - low + 1).tolist()))
    values[index] = selection.values[within].float()
    mask = torch.zeros(values.shape, dtype=torch.bool)
    mask[tuple((corners[chosen] - low).T)] = True
    points = grid.points[chosen]
    arrays = {
        "version": np.array(VERSION),
        "about": np.array(_ABOUT),
        "mask": mask.numpy(),
        "values": values.numpy(),
        "origin": low.numpy() / grid.resolution,
        "voxel_size": np.array(1 / grid.resolution),
        "resolution": np.array(grid.resolution),
        "contracted": np.array(frame.contracted),
        "aabb": frame.aabb.numpy(),
        "index": (corners[chosen] - low).numpy(),
        "value": selection.values[chosen].float().numpy(),
        "point": points.numpy(),
        "colour": colour_bytes(grid.rgb[chosen]),
        "bounds": torch.stack([points.amin(dim=0), points.amax(dim=0)]).numpy(),
    }
    with atomic_write(path) as stream:
        np.savez_compressed(stream, **arrays)
    return len(chosen)


def write_masks(
    masks: Iterable[tuple[str, Bool[torch.Tensor, "h w"]]],
    category: str,
    folder: Path | None = None,
    coco: Path | None = None,
) -> int:
    """Write masks of one thing in several pictures, in one pass over them.

    Args:
        masks: file name of each picture and its mask, at the picture's size.
        category: what the thing is called.
        folder: gets ``<stem>.png`` for each, 0 or 255; None: none are written.
        coco: gets one JSON of COCO's object detection format, with compressed run lengths; a
            picture that shows nothing of the thing has no annotation. None: not written.

    Returns:
        How many of the pictures show the thing.

    Raises:
        DffError: two pictures would have one name, another suffix, or a file cannot be written.
    """
    if coco is not None:
        checked_suffix(coco, (".json",), "COCO masks")
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    stems: set[str] = set()
    shown = 0
    for number, (name, mask) in enumerate(masks, 1):
        array = mask.detach().cpu().numpy()
        if Path(name).stem in stems:
            raise DffError(f"two pictures are called '{Path(name).stem}': rename one of them")
        stems.add(Path(name).stem)
        shown += bool(array.any())
        if folder is not None:
            _write_png(folder / f"{Path(name).stem}.png", array)
        height, width = array.shape
        images.append({"id": number, "file_name": name, "height": height, "width": width})
        if array.any():
            annotations.append(_annotation(len(annotations) + 1, number, array))
    if coco is not None:
        document = {
            "info": {"description": f"masks of '{category}' in the capture's views"},
            "images": images,
            "annotations": annotations,
            "categories": [{"id": 1, "name": category, "supercategory": "thing"}],
        }
        with atomic_write(coco) as stream:
            stream.write(json.dumps(document).encode("utf-8"))
    return shown


def _annotation(number: int, image: int, mask: Bool[np.ndarray, "h w"]) -> dict[str, Any]:
    encoded = coco_mask.encode(np.asfortranarray(mask, dtype=np.uint8))
    counts: bytes | str = encoded["counts"]
    return {
        "id": number,
        "image_id": image,
        "category_id": 1,
        "segmentation": {
            "size": [int(side) for side in encoded["size"]],
            "counts": counts.decode("ascii") if isinstance(counts, bytes) else counts,
        },
        "area": int(mask.sum()),
        "bbox": [float(side) for side in coco_mask.toBbox(encoded)],
        "iscrowd": 0,
    }


def _write_png(path: Path, mask: Bool[np.ndarray, "h w"]) -> None:
    buffer = io.BytesIO()
    Image.fromarray(mask.astype(np.uint8) * 255).save(buffer, format="PNG")
    with atomic_write(path) as stream:
        stream.write(buffer.getvalue())
