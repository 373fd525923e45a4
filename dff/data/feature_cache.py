"""The cache of a teacher's maps, addressed by content: each picture is encoded once, ever.

The key of a map is a hash of the image file's bytes, the teacher's name and fingerprint (weights
and preprocessing) and any options; that of coefficients, of the map's key and the basis. So
renaming or copying images encodes nothing anew, and a changed image or teacher never meets an old
map. Several processes may fill one cache at once: each map appears whole or not at all, and whoever
comes second finds it or writes the same bytes again. The processes of a `torch.distributed` group
share the work.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from torch import Tensor

from dff.data.feature_encoding import Encoder, Job, file_state
from dff.data.feature_maps import FeatureMaps
from dff.data.feature_run import Run
from dff.data.images import load_image
from dff.data.sharding import current_ranks
from dff.errors import DffError
from dff.teachers import Teacher


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
        pca: int | None = None,
    ) -> None:
        """Point at a cache; nothing is read or written yet.

        Args:
            root: the folder; many teachers and scenes share one.
            teacher: encodes what is missing.
            options: whatever else changes the maps (e.g. how images are loaded); plain JSON data.
            console: where to print; standard output by default.
            pca: keep K coefficients of a feature, on a basis fitted to the capture; features as
                they are, if K is not less than D.

        Raises:
            DffError: K is below 1.
        """
        if pca is not None and pca < 1:
            raise DffError(f"the number of coefficients (pca) must be at least 1, not {pca}")
        self.root = Path(root)
        self.teacher = teacher
        self._console = console or Console()
        self._pca = pca
        self._who = json.dumps(
            [teacher.name, teacher.fingerprint, dict(options or {})], sort_keys=True
        ).encode()

    def ensure(
        self,
        image_paths: Iterable[Path | str],
        load_image: Callable[[Path], Tensor] = load_image,
        progress: bool = True,
    ) -> FeatureMaps:
        """The maps of these images, encoding those that are missing or damaged.

        Each map is on disk as soon as it is computed: interrupted at any point and run again, this
        carries on, having lost one image at most. In a `torch.distributed` group all processes must
        call it, with the same images: each encodes its share and gets all maps.

        Args:
            image_paths: image files, in the order in which the maps will be indexed.
            load_image: gives (H, W, 3) float32 in [0, 1]; say in ``options`` if it is not the
                default.
            progress: print the size of the work, then show a bar.

        Raises:
            DffError: no images, an image that cannot be read (before any work is done, if it
                cannot even be opened), a full disk, another process of the group that failed.
        """
        images = [Path(path) for path in image_paths]
        if not images:
            raise DffError("no images to encode: the scene is empty")
        with current_ranks() as ranks:
            listed = ranks.share(lambda: [self._job(image) for image in images])
            jobs = listed[ranks.rank]
            if any([job.key for job in other] != [job.key for job in jobs] for other in listed):
                raise DffError(
                    "the processes of this run see different images, or load another teacher: "
                    "give each machine the same capture and options"
                )
            shown = progress and ranks.first
            encoder = Encoder(self.root, self.teacher, load_image, self._console, shown)
            run = Run(self.root, self._who, encoder, ranks, self._console, shown)
            entries, basis = run.complete(jobs, self._pca)
        return FeatureMaps([entries[job.key] for job in jobs], basis)

    def _job(self, image: Path) -> Job:
        try:
            state, content = file_state(image), image.read_bytes()
        except FileNotFoundError as error:
            raise DffError(f"no such image: {image}") from error
        except OSError as error:
            raise DffError(f"cannot read image {image}: {error.strerror or error}") from error
        known = hashlib.sha256(content).digest() + self._who + self.teacher.file_key(image)
        return Job(hashlib.sha256(known).hexdigest(), image, state)
