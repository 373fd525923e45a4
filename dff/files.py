"""Files: written so that a reader never sees half of one, hashed, and named."""

from __future__ import annotations

import errno
import hashlib
import os
import pickle
import secrets
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from dff.errors import DffError

TEMPORARY_PREFIX = ".tmp-"
# Bytes that are read at a time.
CHUNK = 1 << 24
# What torch.load, and reading its result, raise on files that are not whole.
DAMAGED = (
    RuntimeError,
    EOFError,
    LookupError,
    TypeError,
    ValueError,
    AttributeError,
    OSError,
    struct.error,
    pickle.UnpicklingError,
)


def disk_full_error(path: Path) -> DffError:
    """The one sentence for a full disk, naming where it happened."""
    return DffError(
        f"disk full while writing {path}: free some space and run again "
        "(what was already finished is kept)"
    )


@contextmanager
def atomic_write(path: Path, scratch: Path | None = None) -> Iterator[BinaryIO]:
    """Open a temporary file beside ``path``; on success it takes that name, else it is removed.

    The content is flushed to the disk before the rename, so after a crash ``path`` holds either
    its old content or the whole new one. Parent folders are made as needed.

    Args:
        path: the file to write.
        scratch: folder for the temporary file, on the same file system; by default that of
            ``path``.

    Raises:
        DffError: when the disk is full or the place cannot be written to.
    """
    path = Path(path)
    temporary: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = (
            scratch or path.parent
        ) / f"{TEMPORARY_PREFIX}{os.getpid()}-{secrets.token_hex(6)}"
        with temporary.open("xb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, path)
        temporary = None
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise disk_full_error(path) from error
        raise DffError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def sha256_of(path: Path) -> bytes:
    """SHA-256 of what a file holds, of any size.

    Raises:
        OSError: it cannot be read.
    """
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(CHUNK):
            digest.update(chunk)
    return digest.digest()


def plain_name(text: str) -> str:
    """A file name that any system takes, of what may be any text."""
    return "".join(char if char.isalnum() else "_" for char in text)
