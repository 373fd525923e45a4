"""Two editors that work in one folder would write over each other's work: only one may."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dff.errors import DffError

LOCK = ".editing"


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Be the only editor in a folder, where the system can tell; a crash frees it.

    Raises:
        DffError: another one is at work there.
    """
    try:
        import fcntl

        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / LOCK).open("w")
    except (ImportError, OSError):
        # No such locks on Windows; and where nothing can be written, nothing is written over.
        yield
        return
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            # Of another kind it is on network drives that lock nothing.
            if isinstance(error, BlockingIOError):
                raise DffError(
                    f"another dff edit is at work in {folder}: end that one first, or give this "
                    "one a --folder of its own"
                ) from error
        yield
