"""The cache of a teacher's maps, addressed by content: each picture is encoded once, ever.

The key of a map is a hash of the image file's bytes, the teacher's name and fingerprint (weights
and preprocessing) and any options. So renaming or copying images encodes nothing anew, and a
changed image or teacher never meets an old map. Several processes may fill one cache at once: each
map appears whole or not at all, and whoever comes second writes the same bytes again.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Tensor

from dff.data.feature_maps import FeatureMaps, MapEntry, check_map, map_bytes, write_map
from dff.data.images import image_size, load_image
from dff.errors import DffError
from dff.files import TEMPORARY_PREFIX

if TYPE_CHECKING:
    from dff.teachers import Teacher

SUFFIX = ".fmap"
_LEFT_OVER_AFTER = 24 * 3600  # seconds; no map takes that long to write


def default_cache_root() -> Path:
    """The folder in the environment variable ``DFF_CACHE``, or ``~/.cache/dff/features``."""
    given = os.environ.get("DFF_CACHE")
    return Path(given).expanduser() if given else Path.home() / ".cache" / "dff" / "features"


class FeatureCache:
    """Feature maps of images by one teacher, kept on disk.

    Example:
        >>> cache = FeatureCache(default_cache_root(), get_teacher("mini"))
        >>> maps = cache.ensure(sorted(Path("images").glob("*.png")))
    """

    def __init__(
        self,
        root: Path | str,
        teacher: Teacher,
        options: Mapping[str, Any] | None = None,
        console: Console | None = None,
    ) -> None:
        """Point at a cache; nothing is read or written yet.

        Args:
            root: the folder; many teachers and scenes share one.
            teacher: encodes what is missing.
            options: whatever else changes the maps (e.g. how images are loaded); plain JSON data.
            console: where to print; standard output by default.
        """
        self.root = Path(root)
        self.teacher = teacher
        self._console = console or Console()
        self._who = json.dumps(
            [teacher.name, teacher.fingerprint, dict(options or {})], sort_keys=True
        ).encode()

    def path(self, image_path: Path | str) -> Path:
        """Where the map of an image is or will be.

        Raises:
            DffError: when the image file cannot be read.
        """
        content = hashlib.sha256(_read_bytes(Path(image_path))).digest()
        key = hashlib.sha256(content + self._who).hexdigest()
        return self.root / key[:2] / (key + SUFFIX)

    def ensure(
        self,
        image_paths: Iterable[Path | str],
        load_image: Callable[[Path], Tensor] = load_image,
        progress: bool = True,
    ) -> FeatureMaps:
        """The maps of these images, encoding those that are missing or damaged.

        Each map is on disk as soon as it is computed: interrupted at any point and run again, this
        carries on, having lost one image at most.

        Args:
            image_paths: image files, in the order in which the maps will be indexed.
            load_image: gives (H, W, 3) float32 in [0, 1]; say in ``options`` if it is not the
                default.
            progress: print the size of the work, then show a bar.

        Raises:
            DffError: no images, an image that cannot be read (before any work is done, if it
                cannot even be opened), a full disk.
        """
        images = [Path(path) for path in image_paths]
        if not images:
            raise DffError("no images to encode: the scene is empty")
        places = [self.path(image) for image in images]
        entries, missing = self._look_up(images, places)
        if missing:
            sizes = {place: self._expected_bytes(image) for place, image in missing.items()}
            self._announce(len(images), len(set(places)), sizes, progress)
            self._remove_left_overs(places)
            entries.update(self._encode(missing, load_image, progress))
        return FeatureMaps([entries[place] for place in places])

    def _look_up(
        self, images: list[Path], places: list[Path]
    ) -> tuple[dict[Path, MapEntry], dict[Path, Path]]:
        """What is there and whole, and for each place that is not, an image that belongs there."""
        entries: dict[Path, MapEntry] = {}
        missing: dict[Path, Path] = {}
        for image, place in zip(images, places, strict=True):
            if place in entries or place in missing:
                continue
            entry = check_map(place)
            if entry is not None:
                entries[place] = entry
                continue
            if place.exists():
                self._say(f"warning: the cached features of {image.name} are damaged; rebuilding")
            missing[place] = image
        return entries, missing

    def _expected_bytes(self, image: Path) -> int:
        h, w = self.teacher.grid_shape(*image_size(image))
        return map_bytes((h, w, self.teacher.dim))

    def _announce(self, images: int, maps: int, sizes: dict[Path, int], progress: bool) -> None:
        """Say how much work and space it will be; refuse at once what cannot fit."""
        total = sum(sizes.values())
        if progress:
            ready = maps - len(sizes)
            self._say(
                f"Features of {images} images by teacher {self.teacher.name!r}: {len(sizes)} to "
                f"encode ({total / 1e6:.1f} MB), {ready} ready, in {self.root}"
            )
        existing = next(p for p in [self.root, *self.root.absolute().parents] if p.exists())
        free = shutil.disk_usage(existing).free
        if free < total:
            raise DffError(
                f"disk full: the features need {total / 1e6:.1f} MB and {free / 1e6:.1f} MB are "
                f"free in {self.root}; free some space or set DFF_CACHE to another folder"
            )

    def _encode(
        self, missing: dict[Path, Path], load_image: Callable[[Path], Tensor], progress: bool
    ) -> dict[Path, MapEntry]:
        entries: dict[Path, MapEntry] = {}
        bar = Progress(
            TextColumn("encoding"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=self._console,
            disable=not progress,
        )
        with bar, torch.no_grad():
            for place, image in bar.track(missing.items(), total=len(missing)):
                features = self.teacher.encode_image(load_image(image))
                if not torch.isfinite(features).all():
                    raise DffError(
                        f"teacher {self.teacher.name!r} gives values that are not finite "
                        f"for {image}"
                    )
                entries[place] = write_map(place, features)
        return entries

    def _remove_left_overs(self, places: list[Path]) -> None:
        """Delete temporary files of writers that were killed long ago."""
        for folder in {place.parent for place in places}:
            for stale in folder.glob(TEMPORARY_PREFIX + "*"):
                try:
                    if time.time() - stale.stat().st_mtime > _LEFT_OVER_AFTER:
                        stale.unlink()
                except OSError:
                    # Another process was faster, or may not: it is only rubbish.
                    continue

    def _say(self, line: str) -> None:
        self._console.print(line, soft_wrap=True, markup=False, highlight=False)


def _read_bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise DffError(f"no such image: {path}") from error
    except OSError as error:
        raise DffError(f"cannot read image {path}: {error.strerror or error}") from error
