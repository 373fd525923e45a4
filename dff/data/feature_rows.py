"""Fetching single rows of many feature maps, without holding the maps in memory.

A page of a file that is mapped into memory counts as held from the first touch on, and random
pixels touch every page sooner or later. So maps are mapped only while all of them together are
small; more are read row by row, from what the system keeps of the files anyway.
"""

from __future__ import annotations

import os
import sys
import threading
from collections import OrderedDict
from collections.abc import Sequence
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from dff.data.feature_file import HEADER_BYTES, MapEntry, map_bytes
from dff.errors import DffError

MAPPED_BYTES = 256 * 10**6
"""Maps that together have no more bytes than this are mapped into memory."""


class Rows(Protocol):
    """Rows of maps, each map seen as (h w, D)."""

    def gather(self, image: NDArray[np.int64], first: NDArray[np.int64]) -> NDArray[np.float16]:
        """Pairs of rows, (runs, 2, D).

        Args:
            image: (runs,) which map, ascending.
            first: (runs,) the upper row of each pair; the lower is the next, or the same one
                where the grid of the map is one cell wide.
        """
        ...


def open_rows(entries: Sequence[MapEntry], mapped_bytes: int = MAPPED_BYTES) -> Rows:
    """The way to fetch rows that suits so many maps."""
    total = sum(map_bytes(entry.shape) for entry in entries)
    if total <= mapped_bytes or not hasattr(os, "pread"):
        return MappedRows(entries)
    return ReadRows(entries)


class MappedRows:
    """Rows of maps that are mapped into memory: fast, and every page touched stays."""

    def __init__(self, entries: Sequence[MapEntry]) -> None:
        self._entries = tuple(entries)
        self._narrow = np.array([entry.shape[1] == 1 for entry in entries])
        self._rows = [_mapped(entry) for entry in entries]

    def gather(self, image: NDArray[np.int64], first: NDArray[np.int64]) -> NDArray[np.float16]:
        """See `Rows`."""
        gathered = np.empty((len(image), 2, self._entries[0].shape[2]), dtype=np.float16)
        narrow = self._narrow[image]
        which = np.stack([first, np.where(narrow, first, first + 1)], axis=1)
        # One gather per image: a page of a map is touched only when a ray of its image asks.
        present, starts = np.unique(image, return_index=True)
        ends = np.append(starts, len(image))[1:]
        for index, start, end in zip(present.tolist(), starts, ends, strict=True):
            np.take(
                self._rows[index], which[start:end], axis=0, out=gathered[start:end], mode="clip"
            )
        return gathered


class ReadRows:
    """Rows of maps that are read from their files: nothing stays, however many maps there are."""

    def __init__(self, entries: Sequence[MapEntry], most_open: int | None = None) -> None:
        """Remember where the maps are.

        Args:
            entries: the maps.
            most_open: files kept open; by default half as many as the process may have.
        """
        self._entries = tuple(entries)
        self._narrow = np.array([entry.shape[1] == 1 for entry in entries])
        self._open: OrderedDict[int, int] = OrderedDict()
        self._most_open = max(1, most_open or _open_files_allowed() // 2)
        # A thread must not close the file that another is reading.
        self._lock = threading.Lock()

    def gather(self, image: NDArray[np.int64], first: NDArray[np.int64]) -> NDArray[np.float16]:
        """See `Rows`."""
        dim = self._entries[0].shape[2]
        narrow = self._narrow[image]
        sizes = np.where(narrow, 2 * dim, 4 * dim).tolist()
        offsets = (first * (2 * dim) + HEADER_BYTES).tolist()
        present, counts = np.unique(image, return_counts=True)
        ends = np.cumsum(counts)
        parts: list[bytes] = []
        with self._lock:
            # As many maps at a time as may be open, then a loop without Python in it: there are
            # thousands of small reads a batch.
            for start in range(0, len(present), self._most_open):
                chunk = slice(start, start + self._most_open)
                opened = [self._descriptor(index) for index in present[chunk].tolist()]
                runs = slice(len(parts), int(ends[chunk][-1]))
                files = np.repeat(opened, counts[chunk]).tolist()
                parts += map(os.pread, files, sizes[runs], offsets[runs])
        if narrow.any():
            parts = [
                part * 2 if single else part for part, single in zip(parts, narrow, strict=True)
            ]
        content = bytearray().join(parts)
        if len(content) != len(image) * 4 * dim:
            raise DffError("a feature map was cut short while in use: run `dff features` again")
        return np.frombuffer(content, dtype="<f2").reshape(-1, 2, dim)

    def _descriptor(self, image: int) -> int:
        descriptor = self._open.get(image)
        if descriptor is not None:
            self._open.move_to_end(image)
            return descriptor
        path = self._entries[image].path
        if len(self._open) >= self._most_open:
            os.close(self._open.popitem(last=False)[1])
        try:
            descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0))
        except OSError as error:
            raise DffError(
                f"the feature map {path} is gone or not readable ({error.strerror}): "
                "run `dff features` again"
            ) from error
        self._open[image] = descriptor
        return descriptor

    def __del__(self) -> None:
        for descriptor in getattr(self, "_open", {}).values():
            os.close(descriptor)


def _open_files_allowed() -> int:
    if sys.platform == "win32":
        return 512
    import resource

    allowed = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return 4096 if allowed == resource.RLIM_INFINITY else min(allowed, 8192)


def _mapped(entry: MapEntry) -> NDArray[np.float16]:
    """The map as (h w, D), mapped into memory.

    Not `numpy.memmap`: that keeps a file descriptor open per map, and a capture may have more
    photographs than a process may have open files.
    """
    path, (h, w, d), _ = entry
    try:
        halves = torch.from_file(
            str(path), shared=False, size=map_bytes(entry.shape) // 2, dtype=torch.float16
        )
    except RuntimeError as error:
        raise DffError(f"the feature map {path} is gone: run `dff features` again") from error
    return halves[HEADER_BYTES // 2 :].reshape(h * w, d).numpy()
