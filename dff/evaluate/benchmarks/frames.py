"""What every benchmark format is read into: frames with masks by class, whatever lies on disk."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, UInt8
from PIL import Image
from torch import Tensor

from dff.data.images import open_image
from dff.errors import DffError

Box = tuple[float, float, float, float]

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg")
# Of the values of a byte.
HALF = 128
_LOSSY = ("JPEG", "MPO")


@dataclass(frozen=True, eq=False)
class Frame:
    """The truth of one image.

    Attributes:
        image: stem of the image.
        masks: (h, w) by class, of the classes that it shows.
        known: (h, w), pixels whose truth is known.
        things: (h, w) by name, of single things, where a class can have several; else the classes.
        boxes: by class, x0, y0, x1, y1 of each of its things in pixels, where the format has them.
    """

    image: str
    masks: Mapping[str, Bool[Tensor, "h w"]]
    known: Bool[Tensor, "h w"]
    things: Mapping[str, Bool[Tensor, "h w"]] = field(default_factory=dict)
    boxes: Mapping[str, tuple[Box, ...]] = field(default_factory=dict)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return int(self.known.shape[0]), int(self.known.shape[1])

    def thing(self, name: str) -> Bool[Tensor, "h w"]:
        """Mask of a thing, or of a class; empty where the image does not show it."""
        found = self.things.get(name, self.masks.get(name))
        return torch.zeros_like(self.known) if found is None else found

    def mask(self, name: str) -> Bool[Tensor, "h w"]:
        """Mask of a class; empty where the image does not show it."""
        found = self.masks.get(name)
        return torch.zeros_like(self.known) if found is None else found


@dataclass(frozen=True)
class Scribbles:
    """What a benchmark says is to be clicked.

    Attributes:
        image: stem of the image.
        size: height and width that the pixels are of.
        positives, negatives: x, y of pixels on the thing, and off it.
    """

    image: str
    size: tuple[int, int]
    positives: tuple[tuple[float, float], ...]
    negatives: tuple[tuple[float, float], ...] = ()


@dataclass(frozen=True, eq=False)
class Benchmark:
    """A scene's truth on disk; frames are read when they are needed.

    Attributes:
        format: the name it is chosen by.
        classes: all of them.
        images: stems of the images that are scored.
        read: gives the truth of one of them, or of a prompt image.
        asked: the classes that are looked for one at a time, and averaged over.
        things: by name, the class of each thing that is clicked; classes themselves where empty.
        label_list: each known pixel is of one class.
        named: the classes are words that a teacher can be asked for.
        prompt_images: where clicks and patches may be taken; the scored images where empty.
        scribbles: the prompt that the benchmark brings, if any.
        same_size: truth must be of the image's size; otherwise the same proportions are enough.
        notes: what is special, in sentences for the report.
    """

    format: str
    classes: tuple[str, ...]
    images: tuple[str, ...]
    read: Callable[[str], Frame]
    asked: tuple[str, ...]
    things: Mapping[str, str] = field(default_factory=dict)
    label_list: bool = False
    named: bool = True
    prompt_images: tuple[str, ...] = ()
    scribbles: Scribbles | None = None
    same_size: bool = False
    notes: tuple[str, ...] = ()

    @property
    def clicked(self) -> dict[str, str]:
        """By name, the class of each thing that is clicked."""
        return dict(self.things) or {name: name for name in self.asked}


def read_json(path: Path) -> Any:
    """A JSON file.

    Raises:
        DffError: missing or damaged.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise DffError(f"no such file: {path}") from error
    except (OSError, ValueError) as error:
        raise DffError(f"cannot read {path}: {' '.join(str(error).split())[:160]}") from error


def read_values(path: Path) -> UInt8[np.ndarray, "h w"]:
    """The numbers in a PNG of one channel; of a palette its indices.

    Raises:
        DffError: missing, damaged, or with colours in place of numbers.
    """
    with open_image(path) as image:
        if image.mode not in ("L", "P", "1", "I;16", "I"):
            raise DffError(
                f"{path} has pixels of type {image.mode!r}: class numbers need one channel"
            )
        try:
            return np.asarray(image)
        except (OSError, ValueError, SyntaxError) as error:
            raise DffError(f"cannot read {path}: the file is damaged") from error


def leaving_out(image: str) -> str:
    """What helps where an image's mask cannot be used, in a sentence's end."""
    return f"leave its image out with --leave-out {image}"


def read_mask(path: Path, least: int = 1, instead: str = "take it away") -> Bool[Tensor, "h w"]:
    """A mask: pixels at ``least`` or above in any colour channel; transparent ones are not in it.

    Args:
        path: of the file.
        least: in a JPEG at least half of 255 all the same, as its edges ring: compressed, black
            beside a thing is no longer 0.
        instead: what to do about an empty mask that is right, as a sentence's end.

    Raises:
        DffError: missing, damaged or empty.
    """
    with open_image(path) as image:
        least = max(least, HALF) if image.format in _LOSSY else least
        try:
            alpha = np.asarray(image.convert("RGBA"))[..., 3] if "A" in image.mode else None
            plain = image if image.mode in ("L", "1", "I", "I;16") else image.convert("RGB")
            pixels = np.asarray(plain)
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
            raise DffError(f"cannot read {path}: the file is damaged") from error
    mask = (pixels if pixels.ndim == 2 else pixels.max(axis=-1)).astype(np.int64) >= least
    if alpha is not None:
        mask &= alpha > 0
    if not mask.any():
        raise DffError(
            f"the mask {path} is empty: no pixel is {least} or more; paint it, or {instead}"
        )
    return torch.from_numpy(mask)


def one_mask(name: str, image: str, mask: Bool[Tensor, "h w"]) -> Frame:
    """A frame that shows one class."""
    return Frame(image, {name: mask}, torch.ones_like(mask))


def files_in(folder: Path, suffixes: Sequence[str], what: str) -> list[Path]:
    """Files of a kind in a folder, by name.

    Raises:
        DffError: there is no such folder, or no such file in it.
    """
    if not folder.is_dir():
        raise DffError(f"no such folder: {folder} ({what} should be there)")
    found = sorted(path for path in folder.iterdir() if path.suffix.lower() in suffixes)
    if not found:
        raise DffError(f"{folder} holds no {what} ({', '.join(suffixes)})")
    return found
