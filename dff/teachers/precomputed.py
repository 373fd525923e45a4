"""Maps that were computed elsewhere: a folder with a file for each image.

The official repository of the paper writes ``<image>_fmap_CxHxW.pt``: a (C, H, W) tensor in half
precision, of the image's own size. Such maps are reduced to a grid that a laptop can keep.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from dff.errors import DffError
from dff.files import DAMAGED, sha256_of
from dff.teachers.base import CANONICAL_PHRASES, Teacher
from dff.teachers.options import PrecomputedOptions

OFFICIAL_ENDING = "_fmap_CxHxW.pt"
ENDINGS = (OFFICIAL_ENDING, ".safetensors", ".npy", ".pt")


class PrecomputedTeacher(Teacher):
    """Gives the maps of a folder, and the text embeddings of the teacher that made them.

    Args:
        folder: where the maps lie.
        dim: their feature length D.
        channels_first: whether files without the official ending are (D, h, w).
        grid: cells along the longer side of a map, at most; None keeps maps as they are.
        tower: the teacher whose text tower belongs to the maps.
    """

    name = "precomputed"

    def __init__(
        self, folder: Path, dim: int, channels_first: bool, grid: int | None, tower: Teacher | None
    ) -> None:
        self.dim = dim
        self._folder, self._channels_first, self._grid, self._tower = (
            folder,
            channels_first,
            grid,
            tower,
        )
        self.logit_scale = 1.0 if tower is None else tower.logit_scale
        self.canonical_phrases = CANONICAL_PHRASES if tower is None else tower.canonical_phrases
        self.known_names = () if tower is None else tower.known_names
        text = "" if tower is None else tower.fingerprint
        described = f"precomputed 1 {dim} {channels_first} {grid} {text}"
        self.fingerprint = hashlib.sha256(described.encode()).hexdigest()

    @staticmethod
    def open(options: PrecomputedOptions, tower: Teacher | None = None) -> PrecomputedTeacher:
        """Looks at the folder: it must hold maps of one feature length.

        Raises:
            DffError: there is no folder, no map in it, or the feature length cannot be told.
        """
        folder = options.folder
        if folder is None:
            raise DffError(
                "teacher 'precomputed' needs a folder of maps: give --teacher.precomputed.folder "
                "(in ns-train --pipeline.teacher.precomputed.folder)"
            )
        if not folder.is_dir():
            raise DffError(f"no such folder of precomputed maps: {folder}")
        if options.grid is not None and options.grid < 1:
            raise DffError(f"the grid of precomputed maps must be at least 1, not {options.grid}")
        files = sorted(path for path in folder.iterdir() if path.name.endswith(ENDINGS))
        if not files:
            raise DffError(f"{folder} holds no maps: no file ends in {', '.join(ENDINGS)}")
        first = _read(files[0])
        if files[0].name.endswith(OFFICIAL_ENDING):
            channels_first = True
        elif options.layout != "auto":
            channels_first = options.layout == "chw"
        else:
            channels_first = _features_come_first(first, files[0], tower)
        dim = first.shape[0 if channels_first else 2]
        if tower is not None and tower.dim != dim:
            raise DffError(
                f"the maps of {folder} have {dim} features, teacher '{tower.name}' has {tower.dim}:"
                " they are not its maps"
            )
        return PrecomputedTeacher(folder, dim, channels_first, options.grid, tower)

    @property
    def has_text(self) -> bool:
        """Whether the teacher that made the maps was named and has a text tower."""
        return self._tower is not None and self._tower.has_text

    def grid_shape(self, height: int, width: int) -> tuple[int, int]:
        """The (h, w) of the map of an image of this size; an estimate, maps have their own."""
        longest = min(self._grid or max(height, width), max(height, width))
        factor = longest / max(height, width)
        return max(1, round(height * factor)), max(1, round(width * factor))

    def encode_image(
        self, image: Float[Tensor, "height width 3"]
    ) -> Float[Tensor, "grid_height grid_width dim"]:
        """Not possible: maps belong to image files.

        Raises:
            DffError: always.
        """
        raise DffError("teacher 'precomputed' knows the images of its folder only, no other")

    def encode_file(
        self, path: Path, load_image: Callable[[Path], Float[Tensor, "height width 3"]]
    ) -> Float[Tensor, "grid_height grid_width dim"]:
        """The map of an image file, unit length, float32.

        Raises:
            DffError: there is none, it cannot be read, or has another feature length.
        """
        file = self._map_of(path)
        features = _read(file).float()
        if self._channels_first or file.name.endswith(OFFICIAL_ENDING):
            features = features.movedim(0, -1)
        if features.shape[-1] != self.dim:
            raise DffError(
                f"{file} has features of length {features.shape[-1]}, the others {self.dim}"
            )
        if not torch.isfinite(features).all():
            raise DffError(f"{file} holds values that are not finite")
        size = self.grid_shape(features.shape[0], features.shape[1])
        if size != tuple(features.shape[:2]):
            channels = features.movedim(-1, 0)[None]
            features = F.interpolate(channels, size, mode="area")[0].movedim(0, -1)
        return F.normalize(features, dim=-1).contiguous()

    def file_key(self, path: Path) -> bytes:
        """Hash of the map's file: another map of the same image is imported anew."""
        return sha256_of(self._map_of(path))

    def encode_text(self, phrases: Sequence[str]) -> Float[Tensor, "phrases dim"]:
        """Unit embeddings by the text tower of the teacher that made the maps.

        Raises:
            DffError: that teacher was not named, or as its own.
        """
        if self._tower is None:
            raise DffError(
                "precomputed maps understand no text: name the teacher that made them "
                "(--teacher.precomputed.text)"
            )
        return self._tower.encode_text(phrases)

    def _map_of(self, image: Path) -> Path:
        for name in (image.stem, image.name):
            for ending in ENDINGS:
                if (found := self._folder / (name + ending)).is_file():
                    return found
        raise DffError(
            f"{self._folder} has no map of {image.name}: it would be called {image.stem} and end "
            f"in one of {', '.join(ENDINGS)}"
        )


def _features_come_first(features: Tensor, path: Path, tower: Teacher | None) -> bool:
    """Told by the text tower's length, else by one axis being twice as long as the others."""
    first, middle, last = features.shape
    if tower is not None and (first == tower.dim) != (last == tower.dim):
        return first == tower.dim
    if first >= 2 * max(middle, last):
        return True
    if last >= 2 * max(first, middle):
        return False
    # A map as large as its image: its sides may be longer than its features.
    raise DffError(
        f"{path} has shape {tuple(features.shape)}: say which axis holds the features "
        "(--teacher.precomputed.layout chw or hwc)"
    )


def _read(path: Path) -> Float[Tensor, "a b c"]:
    try:
        content: Any
        if path.suffix == ".npy":
            # Mapped first: an array of objects is refused without being read.
            content = torch.from_numpy(np.array(np.load(path, mmap_mode="r", allow_pickle=False)))
        elif path.suffix == ".safetensors":
            content = _only_one(path, list(load_file(str(path)).values()))
        else:
            content = torch.load(path, map_location="cpu", weights_only=True)
            if isinstance(content, dict):
                content = _only_one(path, list(content.values()))
    except DffError:
        raise
    except (SafetensorError, *DAMAGED) as error:
        raise DffError(f"{path} is damaged, or holds no plain tensor") from error
    if not isinstance(content, Tensor) or not content.is_floating_point():
        raise DffError(f"{path} holds no map: a tensor of floating-point numbers is wanted")
    if content.ndim == 4 and content.shape[0] == 1:
        content = content[0]
    if content.ndim != 3 or 0 in content.shape:
        raise DffError(f"{path} has shape {tuple(content.shape)}: a map has three axes")
    return content


def _only_one(path: Path, values: list) -> Any:
    if len(values) != 1:
        raise DffError(f"{path} holds {len(values)} tensors: a map's file holds one")
    return values[0]
