"""LERF-OVS: open-vocabulary labels of LERF scenes, one JSON file of polygons an image.

    label/figurines/frame_00041.json    {"info": {"name": "frame_00041.jpg", "width", "height"},
    label/figurines/frame_00041.jpg      "objects": [{"category", "bbox": [x0, y0, x1, y1],
                                                      "segmentation": [[x, y], ...]}]}

Released with LangSplat (arXiv 2312.16084). Masks of one category in one image are united. Give the
folder of one scene.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool
from PIL import Image, ImageDraw
from torch import Tensor

from dff.errors import DffError
from dff.evaluate.benchmarks.frames import Benchmark, Box, Frame, files_in, read_json


def is_lerf_ovs(folder: Path) -> bool:
    """Whether a folder looks like this format."""
    return any(folder.glob("frame_*.json"))


def read_lerf_ovs(folder: Path) -> Benchmark:
    """Read the labels of one scene.

    Raises:
        DffError: there are none, or one is damaged.
    """
    paths = files_in(folder, (".json",), "label files")
    frames = {}
    for path in paths:
        frame = _frame(path)
        frames[frame.image] = frame
    classes = tuple(sorted({name for frame in frames.values() for name in frame.masks}))
    return Benchmark(
        format="lerf-ovs",
        classes=classes,
        images=tuple(frames),
        read=frames.__getitem__,
        asked=classes,
    )


def _frame(path: Path) -> Frame:
    content = read_json(path)
    try:
        info = content["info"]
        height, width = int(info["height"]), int(info["width"])
        image = Path(info.get("name", path.stem)).stem
        masks: dict[str, Tensor] = {}
        boxes: dict[str, list[Box]] = {}
        for number, thing in enumerate(content["objects"]):
            name, mask, box = _thing(f"{path}: objects[{number}]", thing, (height, width))
            masks[name] = masks[name] | mask if name in masks else mask
            boxes.setdefault(name, []).append(box)
    except (AttributeError, KeyError, TypeError, ValueError, OverflowError) as error:
        raise DffError(
            f"{path} is no LERF-OVS label file: {type(error).__name__} {error}"
        ) from error
    if not masks:
        raise DffError(f"{path} has no objects: take the file away, or label something in it")
    empty = [name for name, mask in masks.items() if not mask.any()]
    if empty:
        raise DffError(f"{path}: the mask of '{empty[0]}' is empty; correct its polygon")
    known = torch.ones(height, width, dtype=torch.bool)
    return Frame(image, masks, known, boxes={name: tuple(each) for name, each in boxes.items()})


def _thing(where: str, thing: Any, size: tuple[int, int]) -> tuple[str, Bool[Tensor, "h w"], Box]:
    """Category, mask and box of one of the objects."""
    try:
        name = thing["category"]
        if not isinstance(name, str) or not name.strip():
            raise ValueError(f"its category is no word but {name!r}")
        mask = polygon_mask(thing["segmentation"], size)
        return name, mask, _box(thing.get("bbox"), mask)
    except KeyError as error:
        raise DffError(f"{where} has no {error}: label it again") from error
    except (AttributeError, TypeError, ValueError) as error:
        raise DffError(f"{where} must be corrected or taken away: {error}") from error


def polygon_mask(points: Any, size: tuple[int, int]) -> Bool[Tensor, "h w"]:
    """Pixels of a polygon, those on its edge included.

    Args:
        points: (n, 2) x, y in pixels, or a list of such polygons.
        size: height and width.

    Raises:
        ValueError: it is no polygon.
    """
    lists = (list, tuple)
    if any(isinstance(part, lists) and part and isinstance(part[0], lists) for part in points):
        parts = [polygon_mask(part, size) for part in points]
        return torch.stack(parts).any(dim=0)
    if len(points) < 3 or any(len(corner) != 2 for corner in points):
        raise ValueError("a polygon needs three corners or more, x and y of each")
    corners = [(float(x), float(y)) for x, y in points]
    if not np.isfinite(corners).all():
        raise ValueError("a corner of its polygon is not finite")
    canvas = Image.new("1", (size[1], size[0]))
    ImageDraw.Draw(canvas).polygon(corners, fill=1, outline=1)
    return torch.from_numpy(np.array(canvas, dtype=bool))


def _box(given: Any, mask: Bool[Tensor, "h w"]) -> Box:
    """Corners in order; of the mask where none are given."""
    if given is None:
        ys, xs = torch.nonzero(mask, as_tuple=True)
        if not len(ys):
            raise ValueError("an object has neither box nor pixels")
        return float(xs.min()), float(ys.min()), float(xs.max()), float(ys.max())
    numbers = np.asarray(given, dtype=float).reshape(-1)
    if len(numbers) != 4 or not np.isfinite(numbers).all():
        raise ValueError("its bbox is not four finite numbers, x0, y0, x1, y1")
    x0, y0, x1, y1 = numbers.tolist()
    return min(x0, x1), min(y0, y1), max(x0, x1), max(y0, y1)
