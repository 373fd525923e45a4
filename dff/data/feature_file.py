"""The file of one feature map: a header that says what it is, and the values.

The header has 1,024 bytes: a magic line, then JSON padded with spaces. The map follows, (h, w, D)
little-endian float16 in C order. It is one file so that one rename makes it appear whole, and it
says whose it is, so that a folder of such files can be listed and cleaned without an index.
"""

from __future__ import annotations

import json
import os
import time
import zlib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from dff.files import atomic_write

SUFFIX = ".fmap"
MAGIC = b"dff feature map 2\n"
HEADER_BYTES = 1024
_ANY_MAGIC = b"dff feature map "
_CHECK_BYTES = 1 << 24
_LONGEST_NAME = 60
_USE_SECONDS = 3600


class DamagedMapError(Exception):
    """A file is no whole feature map; the message says in a few words what it is instead."""


@dataclass(frozen=True)
class MapFacts:
    """Whose map it is.

    Attributes:
        teacher, fingerprint: who encoded it.
        image: name of the image when it was encoded; shortened if it is long.
        dim: length of the teacher's features.
        basis: hash of the basis whose coefficients are stored; None for features themselves.
    """

    teacher: str = ""
    fingerprint: str = ""
    image: str = ""
    dim: int = 0
    basis: str | None = None


class MapEntry(NamedTuple):
    """Where a map lies, its shape (h, w, D or K) and whose it is."""

    path: Path
    shape: tuple[int, int, int]
    facts: MapFacts


def map_bytes(shape: tuple[int, int, int]) -> int:
    """Size of the file of a map of shape (h, w, D)."""
    return HEADER_BYTES + 2 * shape[0] * shape[1] * shape[2]


def readable_size(count: float) -> str:
    """Bytes for people: 12.3 MB, 45 kB."""
    return f"{count / 1e6:.1f} MB" if count >= 1e6 else f"{count / 1e3:.1f} kB"


def touch(path: Path) -> None:
    """Note that a file is in use, to the hour, so that what nobody uses can be told."""
    try:
        if time.time() - path.stat().st_mtime > _USE_SECONDS:
            os.utime(path)
    except OSError:
        # It is gone, or a cache that may only be read.
        return


def to_half(features: Float[Tensor, "h w D"]) -> NDArray[np.float16]:
    """Features as they are stored."""
    return np.ascontiguousarray(features.detach().to("cpu", torch.float32).numpy(), dtype="<f2")


def write_map(path: Path, values: NDArray[np.float16], facts: MapFacts) -> MapEntry:
    """Write a map, atomically.

    Args:
        path: the file.
        values: (h, w, D), from `to_half`.
        facts: whose they are.

    Raises:
        DffError: when the disk is full; nothing of this file is left then.
    """
    values = np.ascontiguousarray(values, dtype="<f2")
    shape = (values.shape[0], values.shape[1], values.shape[2])
    facts = MapFacts(**{**asdict(facts), "image": facts.image[:_LONGEST_NAME]})
    said = {"shape": shape, **asdict(facts)}
    header = json.dumps({**said, "crc32": zlib.crc32(values.data, _checksum(said))}).encode()
    with atomic_write(path) as stream:
        stream.write((MAGIC + header).ljust(HEADER_BYTES - 1) + b"\n")
        stream.write(values.data)
    return MapEntry(path, shape, facts)


def read_entry(path: Path, whole: bool = True) -> MapEntry:
    """Read a map's header and verify its length and, if asked to, the checksum.

    Raises:
        DamagedMapError: the file is missing, truncated, damaged or of an older version.
    """
    try:
        with path.open("rb") as stream:
            entry, checksum, expected = _read_header(path, stream)
            if whole:
                while chunk := stream.read(_CHECK_BYTES):
                    checksum = zlib.crc32(chunk, checksum)
                _compare(checksum, expected)
            return entry
    except OSError as error:
        raise DamagedMapError(_reason(error)) from error


def read_map(path: Path) -> tuple[MapEntry, NDArray[np.float16]]:
    """Read a whole map, (h, w, D), verified.

    Raises:
        DamagedMapError: as `read_entry`.
    """
    try:
        with path.open("rb") as stream:
            entry, checksum, expected = _read_header(path, stream)
            content = stream.read()
    except OSError as error:
        raise DamagedMapError(_reason(error)) from error
    _compare(zlib.crc32(content, checksum), expected)
    return entry, np.frombuffer(content, dtype="<f2").reshape(entry.shape)


def _read_header(path: Path, stream: BinaryIO) -> tuple[MapEntry, int, int]:
    """The entry, the checksum of the header's facts, and the one the whole file should have."""
    header = stream.read(HEADER_BYTES)
    if not header:
        raise DamagedMapError("empty")
    if not header.startswith(MAGIC):
        of_ours = header.startswith(_ANY_MAGIC)
        raise DamagedMapError("of another version of dff" if of_ours else "no feature map")
    try:
        said = json.loads(header[len(MAGIC) :])
        expected = int(said.pop("crc32"))
        checksum = _checksum(said)
        h, w, d = (int(side) for side in said.pop("shape"))
        facts = MapFacts(**said)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DamagedMapError("damaged in its header") from error
    if min(h, w, d) < 1:
        raise DamagedMapError("damaged in its header")
    if os.fstat(stream.fileno()).st_size != map_bytes((h, w, d)):
        raise DamagedMapError("truncated or too long")
    return MapEntry(path, (h, w, d), facts), checksum, expected


def _checksum(said: dict) -> int:
    return zlib.crc32(json.dumps(said, sort_keys=True).encode())


def _compare(checksum: int, expected: int) -> None:
    if checksum != expected:
        raise DamagedMapError("damaged: the checksum does not match")


def _reason(error: OSError) -> str:
    if isinstance(error, FileNotFoundError):
        return "missing"
    return f"not readable ({error.strerror or type(error).__name__})"
