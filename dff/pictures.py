"""Tensors as pictures on disk: colour images, masks, heatmaps, overlays, videos."""

from __future__ import annotations

import io
from collections.abc import Iterable
from pathlib import Path

import imageio.v3 as imageio
import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from nerfstudio.utils.colormaps import ColormapOptions, apply_colormap
from torch import Tensor

from dff.errors import DffError
from dff.files import atomic_write

HIGHLIGHT = (1.0, 0.25, 0.1)


def to_bytes(image: Float[Tensor, "h w c"]) -> UInt8[np.ndarray, "h w c"]:
    """Values in [0, 1] as 8 bits, rounded to the nearest."""
    return (image.detach().cpu().clamp(0, 1) * 255 + 0.5).to(torch.uint8).numpy()


def heatmap(scores: Float[Tensor, "h w 1"]) -> Float[Tensor, "h w 3"]:
    """Scores in [0, 1] in the colours of turbo: blue is 0, red is 1."""
    return apply_colormap(scores.cpu(), ColormapOptions(colormap="turbo", normalize=False))


def overlay(rgb: Float[Tensor, "h w 3"], mask: Float[Tensor, "h w 1"]) -> Float[Tensor, "h w 3"]:
    """The picture with what is selected tinted and the rest darkened and paled."""
    grey = rgb.mean(dim=-1, keepdim=True)
    rest = 0.35 * rgb + 0.25 * grey
    chosen = 0.65 * rgb + 0.35 * torch.tensor(HIGHLIGHT)
    return mask * chosen + (1 - mask) * rest


def resize(image: Float[Tensor, "h w c"], height: int, width: int) -> Float[Tensor, "H W c"]:
    """Bilinear, pixel centres kept."""
    if image.shape[:2] == (height, width):
        return image
    batch = image.movedim(-1, 0)[None]
    scaled = F.interpolate(batch, (height, width), mode="bilinear", align_corners=False)
    return scaled[0].movedim(0, -1)


def write_png(path: Path, image: UInt8[np.ndarray, "h w *c"]) -> None:
    """Write a PNG, atomically.

    Raises:
        DffError: the disk is full or the folder cannot be written.
    """
    flat = image[..., 0] if image.ndim == 3 and image.shape[-1] == 1 else image
    buffer = io.BytesIO()
    imageio.imwrite(buffer, flat, extension=".png")
    with atomic_write(path) as stream:
        stream.write(buffer.getvalue())


def write_video(path: Path, frames: Iterable[UInt8[np.ndarray, "h w 3"]], fps: float) -> None:
    """Write an .mp4 (H.264) or .gif; frames are padded to even sizes for the codec.

    Raises:
        DffError: the file cannot be written.
    """
    images = [_even(frame) for frame in frames]
    temporary = path.with_name(f".tmp-{path.name}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".gif":
            imageio.imwrite(temporary, np.stack(images), duration=1000 / fps, loop=0)
        else:
            imageio.imwrite(
                temporary, np.stack(images), fps=fps, codec="libx264", macro_block_size=1
            )
        temporary.replace(path)
    except OSError as error:
        raise DffError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        if temporary.is_file():
            temporary.unlink()


def _even(frame: UInt8[np.ndarray, "h w 3"]) -> UInt8[np.ndarray, "H W 3"]:
    height, width = frame.shape[:2]
    return np.pad(frame, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
