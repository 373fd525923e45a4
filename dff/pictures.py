"""Tensors as pictures on disk: colour images, masks, heatmaps, overlays, videos."""

from __future__ import annotations

import errno
import io
import os
import secrets
import subprocess
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from imageio_ffmpeg import get_ffmpeg_exe
from jaxtyping import Float, UInt8
from nerfstudio.utils.colormaps import ColormapOptions, apply_colormap, apply_depth_colormap
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from torch import Tensor

from dff.errors import DffError
from dff.files import TEMPORARY_PREFIX, atomic_write, disk_full_error

HIGHLIGHT = (1.0, 0.25, 0.1)
JPEG_QUALITY = 95
NOTE = "dff"
"""Under which a PNG keeps its note."""


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


def beside_photo(
    photo: Float[Tensor, "h w 3"], outputs: Mapping[str, Float[Tensor, "h w c"]]
) -> dict[str, Float[Tensor, "h W 3"]]:
    """What nerfstudio's trainer shows of an image: photo | render, opacity and depth.

    Args:
        photo: in [0, 1].
        outputs: of a render: ``rgb`` and ``accumulation`` in [0, 1], ``depth``.
    """
    opacity = outputs["accumulation"]
    return {
        "img": torch.cat([photo, outputs["rgb"]], dim=1),
        "accumulation": apply_colormap(opacity),
        "depth": apply_depth_colormap(outputs["depth"], accumulation=opacity),
    }


def resize(image: Float[Tensor, "h w c"], height: int, width: int) -> Float[Tensor, "H W c"]:
    """Bilinear, pixel centres kept."""
    if image.shape[:2] == (height, width):
        return image
    batch = image.movedim(-1, 0)[None]
    scaled = F.interpolate(batch, (height, width), mode="bilinear", align_corners=False)
    return scaled[0].movedim(0, -1)


def write_png(path: Path, image: UInt8[np.ndarray, "h w *c"], note: str = "") -> None:
    """Write a PNG (grey, RGB or RGBA), atomically.

    Args:
        path: the file.
        image: the pixels.
        note: text kept in the file, for `read_note`.

    Raises:
        DffError: the disk is full or the folder cannot be written.
    """
    flat = image[..., 0] if image.ndim == 3 and image.shape[-1] == 1 else image
    about = PngInfo()
    if note:
        about.add_text(NOTE, note)
    _save(path, flat, format="PNG", pnginfo=about)


def write_jpeg(path: Path, image: UInt8[np.ndarray, "h w 3"], note: str = "") -> None:
    """Write a JPEG, atomically; as `write_png`."""
    _save(path, image, format="JPEG", quality=JPEG_QUALITY, subsampling=0, comment=note)


def _save(path: Path, image: UInt8[np.ndarray, "h w *c"], **how: Any) -> None:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, **how)
    with atomic_write(path) as stream:
        stream.write(buffer.getvalue())


def read_note(path: Path) -> str | None:
    """The text kept in a PNG or JPEG; None where there is none, or the picture is not whole."""
    try:
        with Image.open(path) as picture:
            picture.load()
            note = picture.info.get("comment" if picture.format == "JPEG" else NOTE)
    except (OSError, ValueError, SyntaxError):
        return None
    return note.decode("utf-8", "replace") if isinstance(note, bytes) else note


def side_by_side(images: Sequence[UInt8[np.ndarray, "h w c"]]) -> UInt8[np.ndarray, "h W c"]:
    """Pictures of one height in a row; where one is transparent (RGBA), the others become RGBA."""
    if any(image.shape[-1] == 4 for image in images):
        images = [
            image
            if image.shape[-1] == 4
            else np.concatenate([image, np.full_like(image[..., :1], 255)], axis=-1)
            for image in images
        ]
    return np.concatenate(images, axis=1)


def write_video(path: Path, frames: Iterable[UInt8[np.ndarray, "h w c"]], fps: float) -> None:
    """Write an .mp4 (H.264), .gif or .webp, atomically, one frame in memory at a time.

    An .mp4 is padded to even sizes for the codec, and transparent frames lie on black in it; .gif
    (wholly or not at all) and .webp keep the transparency.

    Args:
        path: its suffix says which.
        frames: RGB or RGBA, all of one size.
        fps: frames per second.

    Raises:
        DffError: the file cannot be written, the disk is full.
    """
    temporary = path.with_name(
        f"{TEMPORARY_PREFIX}{os.getpid()}-{secrets.token_hex(6)}{path.suffix}"
    )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            _encode(temporary, iter(frames), fps)
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise disk_full_error(path) from error
        raise DffError(f"cannot write {path}: {error.strerror or error}") from error


# What ffmpeg is told, by suffix. A palette for each frame, so that no frame has to be held.
_CODECS = {
    ".mp4": ("-c:v", "libx264", "-pix_fmt", "yuv420p", "-crf", "18", "-movflags", "+faststart"),
    ".gif": (
        "-filter_complex",
        "split[a][b];[a]palettegen=stats_mode=single[p];[b][p]paletteuse=new=1",
        *("-loop", "0"),
    ),
    ".webp": ("-c:v", "libwebp_anim", "-quality", "90", "-loop", "0"),
}
VIDEO_SUFFIXES = tuple(_CODECS)


def _encode(path: Path, frames: Iterator[UInt8[np.ndarray, "h w c"]], fps: float) -> None:
    """Let ffmpeg write the file.

    Raises:
        OSError: ffmpeg failed.
    """
    solid = path.suffix == ".mp4"
    first = _even(_on_black(next(frames))) if solid else next(frames)
    height, width, channels = first.shape
    command = [
        *(get_ffmpeg_exe(), "-y", "-v", "error", "-f", "rawvideo"),
        *("-pix_fmt", "rgba" if channels == 4 else "rgb24", "-s", f"{width}x{height}"),
        *("-r", str(Fraction(fps).limit_denominator(10_000)), "-i", "-"),
        *(*_CODECS[path.suffix], str(path)),
    ]
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stderr=said)
        assert process.stdin is not None
        try:
            with process.stdin:
                process.stdin.write(np.ascontiguousarray(first))
                for frame in frames:
                    frame = _even(_on_black(frame)) if solid else frame
                    process.stdin.write(np.ascontiguousarray(frame))
        except BrokenPipeError:
            # ffmpeg stopped; below it says why.
            process.wait()
        except BaseException:
            process.kill()
            process.wait()
            raise
        if process.wait() != 0:
            said.seek(0)
            reason = " ".join(said.read().decode("utf-8", "replace").split())[-200:]
            full = "No space left" in reason
            raise OSError(errno.ENOSPC if full else errno.EIO, f"ffmpeg failed: {reason}")
    if path.suffix == ".webp" and channels == 4:
        _say_transparent(path)


def _say_transparent(path: Path) -> None:
    """Set the alpha bit of an animated WebP's header.

    ffmpeg leaves it out where each frame's own rectangle is opaque; what lies around the rectangle
    is transparent all the same.
    """
    with path.open("r+b") as stream:
        header = bytearray(stream.read(21))
        if header[12:16] == b"VP8X":
            header[20] |= 0x10
            stream.seek(0)
            stream.write(header)


def _on_black(frame: UInt8[np.ndarray, "h w c"]) -> UInt8[np.ndarray, "h w 3"]:
    if frame.shape[-1] == 3:
        return frame
    return (frame[..., :3] * (frame[..., 3:] / 255.0) + 0.5).astype(np.uint8)


def _even(frame: UInt8[np.ndarray, "h w 3"]) -> UInt8[np.ndarray, "H W 3"]:
    height, width = frame.shape[:2]
    return np.pad(frame, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
