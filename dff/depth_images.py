"""Depth as OpenEXR files: one channel of 32-bit floats, nothing rounded."""

from __future__ import annotations

import errno
from pathlib import Path

import numpy as np
import OpenEXR
from jaxtyping import Float

from dff.files import atomic_write

CHANNEL = "Z"
NOTE = "dff"
UNIT = "distance from the camera along the ray, in units of the trained scene"


def write_depth(path: Path, depth: Float[np.ndarray, "h w"], note: str = "") -> None:
    """Write a depth map as channel ``Z`` of an EXR file, atomically.

    Args:
        path: the file.
        depth: in units of the scene.
        note: text kept in the file, for `read_depth_note`.

    Raises:
        DffError: the disk is full or the folder cannot be written.
    """
    header = {
        "compression": OpenEXR.ZIP_COMPRESSION,
        "type": OpenEXR.scanlineimage,
        "comments": UNIT,
        **({NOTE: note} if note else {}),
    }
    image = OpenEXR.File(header, {CHANNEL: np.ascontiguousarray(depth, dtype=np.float32)})
    with atomic_write(path) as stream:
        try:
            image.write(str(stream.name))
        except RuntimeError as error:
            # The library tells only in words why the system refused.
            full = "No space left" in str(error)
            raise OSError(errno.ENOSPC if full else errno.EIO, str(error)) from error


def read_depth(path: Path) -> Float[np.ndarray, "h w"]:
    """Read what `write_depth` wrote.

    Raises:
        RuntimeError: no EXR file.
        KeyError: it has no depth.
    """
    with OpenEXR.File(str(path), separate_channels=True) as image:
        return np.array(image.channels()[CHANNEL].pixels)


def read_depth_note(path: Path) -> str | None:
    """The text kept in a depth map; None where there is none, or the file is not whole."""
    try:
        with OpenEXR.File(str(path), separate_channels=True) as image:
            note = image.header().get(NOTE)
    except (RuntimeError, OSError, ValueError):
        return None
    return note if isinstance(note, str) else None
