"""Which square of a picture to train on: anywhere, or close around one of its things."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from dff.data.generated.objects import PART_NAMES
from dff.data.generated.pictures import FIRST_SLOT, MAX_THINGS

LEAST_CROP, LEAST_SIDE = 0.7, 40
# Side of a close crop, in sides of the thing's box.
_ROOM = (1.1, 2.6)
_STEP = 4


def thing_boxes(slots: np.ndarray) -> np.ndarray:
    """(N, MAX_THINGS, 4) boxes of what is seen of each thing in (N, S, S) planes of slots.

    A box is (top, left, bottom, right) in pixels, as every fourth of them tells; all -1 where a
    thing is not seen.
    """
    thing = (slots[:, ::_STEP, ::_STEP].astype(np.int16) - FIRST_SLOT) // len(PART_NAMES)
    boxes = np.full((len(slots), MAX_THINGS, 4), -1)
    for k in range(MAX_THINGS):
        mine = thing == k
        rows, columns = mine.any(2), mine.any(1)
        seen = rows.any(1)
        last = rows.shape[1]
        edges = (
            rows.argmax(1),
            columns.argmax(1),
            last - rows[:, ::-1].argmax(1),
            last - columns[:, ::-1].argmax(1),
        )
        boxes[seen, k] = np.stack(edges, 1)[seen] * _STEP
    return boxes


def wide_crop(full: int, rng: np.random.Generator) -> tuple[int, int, int]:
    """(top, left, side) of a large square anywhere in a picture of side ``full``."""
    side = int(rng.integers(int(LEAST_CROP * full), full + 1))
    top, left = rng.integers(0, full - side + 1, 2)
    return int(top), int(left), side


def close_crop(boxes: np.ndarray, full: int, rng: np.random.Generator) -> tuple[int, int, int]:
    """(top, left, side) of a square around one of the things, which fills a good part of it.

    Args:
        boxes: (MAX_THINGS, 4) of the picture, as of `thing_boxes`.
        full: side of the picture.
        rng: chooses the thing, the room around it and where in the square it lies.
    """
    seen = boxes[boxes[:, 0] >= 0]
    if not len(seen):
        return wide_crop(full, rng)
    box = seen[int(rng.integers(len(seen)))]
    low, high = box[:2], box[2:]
    extent = int((high - low).max())
    side = int(np.clip(extent * rng.uniform(*_ROOM), min(LEAST_SIDE, full), full))
    slack = max(side - extent, 0) / 2 + 0.1 * extent
    corner = (low + high) / 2 - side / 2 + rng.uniform(-slack, slack, 2)
    top, left = np.clip(corner, 0, full - side).astype(int)
    return int(top), int(left), side


def bends(count: int, bent: float, rng: np.random.Generator) -> Tensor:
    """(count, 2, 3) maps from a picture's coordinates in [-1, 1] to those it is looked up at.

    Args:
        count: number of pictures.
        bent: share of them that are turned, stretched and sheared; the others stay as they are.
        rng: source of the variation.
    """
    maps = np.tile(np.eye(2, 3, dtype=np.float32), (count, 1, 1))
    for k in np.flatnonzero(rng.random(count) < bent) if bent > 0 else ():
        turn, stretch = rng.normal() * 0.25, np.exp(rng.normal() * 0.12)
        c, s = np.cos(turn), np.sin(turn)
        shear = np.array([[1.0, rng.normal() * 0.12], [rng.normal() * 0.12, 1.0]])
        maps[k, :, :2] = np.array([[c, -s], [s, c]]) @ shear @ np.diag([stretch, 1 / stretch])
        maps[k, :, :2] *= rng.uniform(0.8, 1.05)
    return torch.from_numpy(maps)
