"""Making maps: by the teacher, or from maps that are in the cache already."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Tensor

from dff.data.feature_file import SUFFIX, DamagedMapError, MapFacts, read_map, to_half
from dff.data.images import image_size
from dff.errors import DffError
from dff.teachers import Teacher

T = TypeVar("T")


@dataclass(frozen=True)
class Job:
    """An image's content and what it is called.

    Attributes:
        key: hash of everything its features depend on.
        image: the file.
        state: when it was changed last and its size, as it was hashed.
    """

    key: str
    image: Path
    state: tuple[int, int]


def file_state(path: Path) -> tuple[int, int]:
    """What tells that a file was changed: time in nanoseconds, and size."""
    stat = path.stat()
    return stat.st_mtime_ns, stat.st_size


def map_place(root: Path, key: str) -> Path:
    """The file of a map."""
    return root / key[:2] / (key + SUFFIX)


def scratch_place(root: Path, key: str) -> Path:
    """The file of a map that is kept only until a basis is fitted to it and it is projected."""
    return root / "scratch" / (key + SUFFIX)


class Encoder:
    """Gives features of images by one teacher, as they are stored."""

    def __init__(
        self,
        root: Path,
        teacher: Teacher,
        load_image: Callable[[Path], Tensor],
        console: Console,
        shown: bool,
    ) -> None:
        """Remember everything; nothing is read yet.

        Args:
            root: of the cache.
            teacher: encodes.
            load_image: gives (H, W, 3) float32 in [0, 1].
            console: where bars are shown.
            shown: whether they are.
        """
        self._root, self.teacher, self._load_image = root, teacher, load_image
        self._console, self._shown = console, shown

    def grid(self, job: Job) -> tuple[int, int]:
        """Rows and columns the map will have, or nearly."""
        return self.teacher.grid_shape(*image_size(job.image))

    def facts(self, job: Job, basis: str | None = None) -> MapFacts:
        """What its file will say."""
        teacher = self.teacher
        return MapFacts(teacher.name, teacher.fingerprint, job.image.name, teacher.dim, basis)

    def at_hand(self, job: Job) -> bool:
        """Whether there is a file with the features themselves, whole or not."""
        return any(place.exists() for place in self._sources(job))

    def features(self, job: Job) -> NDArray[np.float16]:
        """The features, (h, w, D): read where they are at hand and whole, else encoded.

        Raises:
            DffError: as `encode`.
        """
        for place in self._sources(job):
            try:
                return read_map(place)[1]
            except DamagedMapError:
                continue
        return self.encode(job)

    def encode(self, job: Job) -> NDArray[np.float16]:
        """The features, (h, w, D), by the teacher.

        Raises:
            DffError: the image cannot be read, was changed meanwhile, or the features are not
                finite.
        """
        with torch.no_grad():
            features = self.teacher.encode_file(job.image, self._load_image)
        if not torch.isfinite(features).all():
            raise DffError(
                f"teacher {self.teacher.name!r} gives values that are not finite for {job.image}"
            )
        # Its key is of the old content: kept, these features would be found for the old image.
        if file_state(job.image) != job.state:
            raise DffError(f"{job.image} was changed while it was encoded: run the command again")
        return to_half(features)

    def each(self, doing: str, jobs: Sequence[T]) -> Iterator[T]:
        """Go through jobs behind a bar with the time left."""
        if not jobs:
            return
        bar = Progress(
            TextColumn(doing),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("time left"),
            TimeRemainingColumn(),
            console=self._console,
            disable=not self._shown,
            # An image may take minutes: the speed is that of the last hour.
            speed_estimate_period=3600,
        )
        with bar:
            yield from bar.track(jobs, total=len(jobs))

    def _sources(self, job: Job) -> tuple[Path, Path]:
        return map_place(self._root, job.key), scratch_place(self._root, job.key)
