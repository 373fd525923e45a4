"""Feature maps on disk: the file of one map, and sampling many of them at pixels.

A file is a header of 256 bytes (a magic line, then JSON padded with spaces) and the map, (h, w, D)
little-endian float16 in C order. It is one file so that one rename makes it appear whole.
"""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from dff.files import atomic_write

MAGIC = b"dff feature map 1\n"
HEADER_BYTES = 256
_CHECK_BYTES = 1 << 24
# Pixels sampled at a time, so that a whole image at 512 dimensions needs no gigabytes.
_BLOCK = 1 << 14


class MapEntry(NamedTuple):
    """Where a map lies and its shape (h, w, D)."""

    path: Path
    shape: tuple[int, int, int]


def map_bytes(shape: tuple[int, int, int]) -> int:
    """Size of the file of a map of shape (h, w, D)."""
    return HEADER_BYTES + 2 * shape[0] * shape[1] * shape[2]


def write_map(path: Path, features: Float[Tensor, "h w D"]) -> MapEntry:
    """Write a map as float16, atomically.

    Raises:
        DffError: when the disk is full; nothing of this file is left then.
    """
    values = np.ascontiguousarray(features.detach().cpu().numpy(), dtype="<f2")
    shape = (values.shape[0], values.shape[1], values.shape[2])
    facts = json.dumps({"shape": shape, "crc32": zlib.crc32(values.data)}).encode()
    with atomic_write(path) as stream:
        stream.write((MAGIC + facts).ljust(HEADER_BYTES - 1) + b"\n")
        stream.write(values.data)
    return MapEntry(path, shape)


def check_map(path: Path) -> MapEntry | None:
    """Read a map's header and verify its length and checksum.

    Returns:
        The entry, or None when the file is missing, truncated or damaged.
    """
    try:
        with path.open("rb") as stream:
            header = stream.read(HEADER_BYTES)
            if not header.startswith(MAGIC):
                return None
            facts = json.loads(header[len(MAGIC) :])
            h, w, d = (int(side) for side in facts["shape"])
            if min(h, w, d) < 1 or os.fstat(stream.fileno()).st_size != map_bytes((h, w, d)):
                return None
            checksum = 0
            while chunk := stream.read(_CHECK_BYTES):
                checksum = zlib.crc32(chunk, checksum)
            if checksum != facts["crc32"]:
                return None
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return MapEntry(path, (h, w, d))


class FeatureMaps:
    """Feature maps of a list of images, memory-mapped: memory does not grow with their number.

    Example:
        >>> maps = FeatureCache(root, teacher).ensure(paths)
        >>> maps.map(0).shape            # (h, w, D), float16
        >>> maps.sample(image, y, x, 480, 640)  # (n, D), float32
    """

    def __init__(self, entries: Sequence[MapEntry]) -> None:
        """Open maps of one width D.

        Raises:
            ValueError: for no maps, or maps of different D.
        """
        if len({entry.shape[2] for entry in entries}) != 1:
            raise ValueError("feature maps need at least one image and one feature width")
        self._entries = tuple(entries)
        self._rows = [_map_rows(entry) for entry in entries]
        self._grid = np.array([entry.shape[:2] for entry in entries], dtype=np.float64)

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def dim(self) -> int:
        """Feature width D."""
        return self._entries[0].shape[2]

    def shape(self, index: int) -> tuple[int, int, int]:
        """(h, w, D) of one map."""
        return self._entries[index].shape

    def map(self, index: int) -> np.memmap:
        """One map, (h, w, D) float16, read-only, unit length over D up to float16's rounding."""
        path, shape = self._entries[index]
        return np.memmap(path, dtype="<f2", mode="r", offset=HEADER_BYTES, shape=shape)

    def sample(
        self,
        image_indices: Tensor | np.ndarray,
        ys: Tensor | np.ndarray,
        xs: Tensor | np.ndarray,
        image_heights: Tensor | np.ndarray | int,
        image_widths: Tensor | np.ndarray | int,
    ) -> Float[Tensor, "n D"]:
        """Features at pixels, bilinear between the centres of the cells of the grid.

        Pixel (y, x) has its centre at (y + 0.5, x + 0.5); cell (i, j) of an (h, w) grid has its
        centre at ((i + 0.5) H / h, (j + 0.5) W / w). Beyond the outermost centres the border
        continues. The same as ``grid_sample(align_corners=False, padding_mode="border")``.

        Args:
            image_indices: (n,) which map.
            ys, xs: (n,) pixel row and column, counted from 0; need not be whole.
            image_heights, image_widths: size of the image the pixels are counted in: one for all
                or (n,).

        Returns:
            (n, D) float32 on the CPU, not normalised again.

        Raises:
            IndexError: for an image that is not there.
        """
        image = _array(image_indices).astype(np.int64)
        if image.size and (image.min() < 0 or image.max() >= len(self)):
            raise IndexError(f"image index out of range: there are {len(self)} feature maps")
        order = np.argsort(image, kind="stable")
        image = image[order]
        grid = self._grid[image]
        y0, y1, fy = _cells(_take(ys, order), _take(image_heights, order), grid[:, 0])
        x0, x1, fx = _cells(_take(xs, order), _take(image_widths, order), grid[:, 1])
        width = grid[:, 1].astype(np.int64)
        corners = np.stack([y0 * width + x0, y0 * width + x1, y1 * width + x0, y1 * width + x1], 1)
        weights = np.stack([(1 - fy) * (1 - fx), (1 - fy) * fx, fy * (1 - fx), fy * fx], 1)
        result = torch.empty((len(image), self.dim), dtype=torch.float32)
        for start in range(0, len(image), _BLOCK):
            block = slice(start, start + _BLOCK)
            mixed = torch.bmm(
                torch.from_numpy(weights[block].astype(np.float32))[:, None, :],
                torch.from_numpy(self._gather(image[block], corners[block])).float(),
            )
            result[torch.from_numpy(order[block])] = mixed[:, 0]
        return result

    def _gather(self, image: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """The given rows of maps, (n, 4, D); ``image`` must be sorted."""
        gathered = np.empty((*rows.shape, self.dim), dtype=np.float16)
        # One gather per image: a page of a map is touched only when a ray of its image asks.
        present, starts = np.unique(image, return_index=True)
        ends = np.append(starts, len(image))[1:]
        for index, start, end in zip(present, starts, ends, strict=True):
            np.take(
                self._rows[index], rows[start:end], axis=0, out=gathered[start:end], mode="clip"
            )
        return gathered


def _map_rows(entry: MapEntry) -> np.ndarray:
    """The map as (h w, D), mapped into memory.

    Not `numpy.memmap`: that keeps a file descriptor open per map, and a capture may have more
    photographs than a process may have open files.
    """
    path, (h, w, d) = entry
    halves = torch.from_file(
        str(path), shared=False, size=map_bytes(entry.shape) // 2, dtype=torch.float16
    )
    return halves[HEADER_BYTES // 2 :].reshape(h * w, d).numpy()


def _take(values: Tensor | np.ndarray | int, order: np.ndarray) -> np.ndarray:
    array = _array(values).astype(np.float64)
    return array if array.ndim == 0 else array[order]


def _array(values: Tensor | np.ndarray | int) -> np.ndarray:
    return values.detach().cpu().numpy() if isinstance(values, Tensor) else np.asarray(values)


def _cells(
    pixel: np.ndarray, image_size: np.ndarray, cells: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Lower cell, upper cell, and how far towards the upper, along one axis."""
    position = np.clip((pixel + 0.5) * cells / image_size - 0.5, 0.0, cells - 1)
    lower = np.floor(position)
    fraction = position - lower
    low = lower.astype(np.int64)
    return low, np.minimum(low + 1, cells.astype(np.int64) - 1), fraction
