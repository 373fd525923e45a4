"""Memory that was freed, kept together and given back to the system.

glibc keeps what each thread freed for the same thread. In the editor many threads work by turns,
and each would in time hold on to as much as its largest piece of work needed.
"""

from __future__ import annotations

import ctypes
import math
import time
from typing import Any

# Of glibc's mallopt: among how many pools threads are shared out.
ARENA_MAX = -8


class FreedMemory:
    """What threads have freed and the system does not have yet.

    Args:
        pause: seconds between two times that it is given back; the looking through takes
            milliseconds, which a picture that comes twenty times a second should not pay.
    """

    def __init__(self, pause: float = 1.0) -> None:
        self._pause = pause
        self._last = -math.inf

    def give_back(self, at_once: bool = False) -> None:
        """Give it back, if that was not done just now.

        Args:
            at_once: in any case.
        """
        if at_once or time.monotonic() - self._last >= self._pause:
            give_back_memory()
            self._last = time.monotonic()


def share_freed_memory() -> None:
    """Let threads that are not there yet use what others freed, in this process.

    Where glibc is not, nothing is done.
    """
    library = _glibc()
    if library is not None:
        library.mallopt(ARENA_MAX, 1)


def give_back_memory() -> None:
    """Return what is free to the system; where glibc is not, do nothing."""
    library = _glibc()
    if library is not None:
        library.malloc_trim(0)


def _glibc() -> Any:
    """The library; None with musl, on macOS and Windows."""
    try:
        library = ctypes.CDLL(None)
        return library if hasattr(library, "malloc_trim") else None
    except (OSError, TypeError):
        return None
