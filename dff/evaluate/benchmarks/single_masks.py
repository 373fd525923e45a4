"""Benchmarks of one thing in a scene: SPIn-NeRF's masks, NVOS's scribbles, LLFF scenes with masks.

SPIn-NeRF (arXiv 2211.12254), multi-view segmentation and its own captures:

    fortress/image000.png, image000_cutout.png, image000_pseudo.png      the first is the mask
    10/images_4/label/20220823_095135.png                                0 and 1, or 0 and 255

NVOS (Ren et al., "Neural Volumetric Object Selection", CVPR 2022); give ``masks/SCENE``:

    masks/fern/IMG_4027_mask.png                scored image
    reference_image/fern/IMG_4038.JPG           where the scribbles are
    scribbles/fern/pos_0_fern.png, neg_0_fern.png

LLFF scenes (``poses_bounds.npy``) with a folder ``masks``, a mask named like each labelled image.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import cast

import numpy as np
import torch
from jaxtyping import Bool
from scipy.ndimage import label as connected
from torch import Tensor

from dff.data.images import image_size
from dff.errors import DffError
from dff.evaluate.benchmarks.frames import (
    IMAGE_SUFFIXES,
    Benchmark,
    Frame,
    Scribbles,
    files_in,
    leaving_out,
    one_mask,
    read_mask,
)
from dff.evaluate.prompts import deepest

THING = "object"
# What else SPIn-NeRF has beside a mask.
_NOT_MASKS = ("_cutout", "_pseudo")
_MOST_CLICKS = 8


def is_spin_nerf(folder: Path) -> bool:
    """Whether a folder looks like SPIn-NeRF's."""
    labels = bool(list(folder.glob("images_*/label")))
    return labels or any(folder.glob("*_cutout.png")) or any(folder.glob("*_pseudo.png"))


def is_nvos(folder: Path) -> bool:
    """Whether a folder looks like NVOS's."""
    above = folder.absolute().parent
    # One that lacks a part is told all the same, so that the part is asked for.
    whole = any(place.is_dir() for place in nvos_beside(folder))
    return above.name == "masks" and (whole or any(folder.glob("*_mask.png")))


def nvos_beside(folder: Path) -> tuple[Path, Path]:
    """Where NVOS has the reference image and the scribbles of the scene ``masks/SCENE``."""
    place = folder.absolute()
    root = place.parent.parent
    return root / "reference_image" / place.name, root / "scribbles" / place.name


def is_llff_masks(folder: Path) -> bool:
    """Whether a folder looks like an LLFF scene with masks."""
    return (folder / "poses_bounds.npy").is_file() and (folder / "masks").is_dir()


def read_spin_nerf(folder: Path, names: Sequence[str] = ()) -> Benchmark:
    """Read SPIn-NeRF's masks; the published protocol prompts with the first image's.

    Raises:
        DffError: there are no masks.
    """
    labels = sorted(folder.glob("images_*/label"))
    place = labels[0] if labels else folder
    found = [
        path for path in files_in(place, (".png",), "masks") if not path.stem.endswith(_NOT_MASKS)
    ]
    return _masks("spin-nerf", {path.stem: path for path in found}, names)


def read_llff_masks(folder: Path, names: Sequence[str] = ()) -> Benchmark:
    """Read the masks of an LLFF scene.

    Raises:
        DffError: there are no masks.
    """
    found = files_in(folder / "masks", IMAGE_SUFFIXES, "masks")
    return _masks("llff-masks", {path.stem: path for path in found}, names)


def read_nvos(folder: Path, names: Sequence[str] = ()) -> Benchmark:
    """Read one of NVOS's scenes.

    Args:
        folder: ``masks/SCENE``.
        names: what the thing is called, if it is to be asked for by name too.

    Raises:
        DffError: mask, reference image or scribbles are missing.
    """
    reference_folder, scribbles_folder = nvos_beside(folder)
    masks = {
        path.stem.removesuffix("_mask"): path
        for path in files_in(folder, (".png",), "masks")
        if path.stem.endswith("_mask")
    }
    if not masks:
        raise DffError(f"{folder} holds no mask: IMAGE_mask.png")
    reference = files_in(reference_folder, IMAGE_SUFFIXES, "reference image")[0]
    strokes = files_in(scribbles_folder, (".png",), "scribbles")
    positives = _clicks([p for p in strokes if p.stem.startswith("pos")])
    if not positives:
        raise DffError(f"{scribbles_folder} has no pos_*.png: what is on the thing")
    size = image_size(next(p for p in strokes if p.stem.startswith("pos")))
    negatives = _clicks([path for path in strokes if path.stem.startswith("neg")])
    scribbles = Scribbles(reference.stem, size, positives, negatives)
    return _masks("nvos", masks, names, scribbles)


def strokes_middles(mask: Bool[Tensor, "h w"]) -> list[tuple[float, float]]:
    """A pixel in the middle of each stroke, the longest strokes first, at most eight."""
    parts, count = cast("tuple[np.ndarray, int]", connected(mask.numpy()))
    strokes = [torch.from_numpy(parts == number) for number in range(1, count + 1)]
    strokes.sort(key=lambda stroke: -int(stroke.sum()))
    return [deepest(stroke) for stroke in strokes[:_MOST_CLICKS]]


def _clicks(paths: Sequence[Path]) -> tuple[tuple[float, float], ...]:
    return tuple(click for path in paths for click in strokes_middles(read_mask(path)))


def _masks(
    kind: str, paths: dict[str, Path], names: Sequence[str], scribbles: Scribbles | None = None
) -> Benchmark:
    if len(names) > 1:
        raise DffError(f"a scene of {kind} has one thing: give one of --names, not {len(names)}")
    name = names[0] if names else THING

    def read(image: str) -> Frame:
        return one_mask(name, image, read_mask(paths[image], instead=leaving_out(image)))

    notes = () if names else (f"{kind} has no class names: give --names WORD to ask by text too",)
    return Benchmark(
        format=kind,
        classes=(name,),
        images=tuple(paths),
        read=read,
        asked=(name,),
        named=bool(names),
        scribbles=scribbles,
        # The protocol's reference is the first image, not the one that shows most.
        prompt_images=tuple(paths)[:1] if kind == "spin-nerf" else (),
        notes=notes,
    )


def image_number(name: str) -> int | None:
    """N of SPIn-NeRF's ``imageN``, which counts a capture's images by name; None of others."""
    found = re.fullmatch(r"image(\d+)", name)
    return int(found[1]) if found else None
