"""Photographs as the training sees them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from dff.errors import DffError

_EIGHT_BIT_MODES = {"1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr", "LAB", "HSV"}
_TRAINABLE_MODES = ("L", "RGB", "RGBA")


def load_image(path: Path | str) -> Float[Tensor, "height width 3"]:
    """Read a photograph with the pixels where nerfstudio has them.

    The orientation tag of EXIF is not applied, as nerfstudio does not apply it: the poses belong to
    the pixels as stored. Grey images get three equal channels, transparency is blended on white,
    and of colours with 16 bits a channel the upper eight are kept.

    Returns:
        (H, W, 3) float32 RGB in [0, 1].

    Raises:
        DffError: naming the file, when it is missing, broken, or grey with more than 8 bits.
    """
    with open_image(path) as image:
        if image.mode not in _EIGHT_BIT_MODES:
            raise DffError(
                f"{path} has pixels of type {image.mode!r}: convert it to 8 bits per channel"
            )
        try:
            transparent = "A" in image.mode or "transparency" in image.info
            pixels = np.asarray(image.convert("RGBA" if transparent else "RGB"), dtype=np.float32)
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
            raise DffError(f"cannot read image {path}: {_one_line(error)}") from error
    pixels = pixels / 255.0
    if transparent:
        alpha = pixels[..., 3:]
        pixels = pixels[..., :3] * alpha + (1.0 - alpha)
    return torch.from_numpy(np.ascontiguousarray(pixels, dtype=np.float32))


def image_size(path: Path | str) -> tuple[int, int]:
    """Height and width from the file's header, without decoding the pixels.

    Raises:
        DffError: as `load_image`.
    """
    with open_image(path) as image:
        return image.height, image.width


def trainable_image_size(path: Path | str) -> tuple[int, int]:
    """Height and width of an image that nerfstudio reads with the colours it has.

    nerfstudio takes the numbers of a palette, of CMYK or of 16 bits for colours as they are, and
    cannot read grey with transparency at all.

    Raises:
        DffError: as `load_image`, or the image is of such a kind.
    """
    with open_image(path) as image:
        if image.mode not in _TRAINABLE_MODES:
            raise DffError(
                f"{path} has pixels of type {image.mode!r}, which nerfstudio would misread: "
                "convert it to 8-bit RGB"
            )
        return image.height, image.width


def open_image(path: Path | str) -> Image.Image:
    """Open an image file; what goes wrong names the file in one line."""
    try:
        return Image.open(path)
    except FileNotFoundError as error:
        raise DffError(f"no such image: {path}") from error
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise DffError(f"cannot read image {path}: {_one_line(error)}") from error


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:200]
