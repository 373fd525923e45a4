"""Measuring in a process of its own, so that what it holds in memory is its own."""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any


def resident_bytes() -> int:
    """What the process holds in memory now (RSS), in bytes; Linux only."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def in_process(function: Callable[..., Any], *arguments: Any) -> Any:
    """Call a function of a module in a fresh process.

    Raises:
        BrokenProcessPool: the process was killed, as one that wants too much memory is.
        Exception: what the function raised.
    """
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()


@contextmanager
def most_held() -> Iterator[list[int]]:
    """Bytes that the process held at most: the one entry of the list, once it is left."""
    most, done = [resident_bytes()], threading.Event()

    def watch() -> None:
        while not done.wait(1e-3):
            most[0] = max(most[0], resident_bytes())

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield most
    finally:
        done.set()
        watcher.join()
        most[0] = max(most[0], resident_bytes())
