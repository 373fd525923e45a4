"""What was freed goes back to the system, where glibc would keep it."""

from __future__ import annotations

import ctypes
import platform
import threading
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import dff.editor.memory
from dff.editor.memory import FreedMemory, give_back_memory, share_freed_memory

PIECES, PIECE_BYTES = 2000, 60_000


def resident_bytes() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("VmRSS"))


def left_behind() -> list[np.ndarray]:
    """Much is written, and all of it freed but what lies last, so nothing shrinks by itself."""
    pieces = [np.ones(PIECE_BYTES, dtype=np.uint8) for _ in range(PIECES)]
    return pieces[-1:]


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="not with glibc")
def test_what_a_thread_freed_is_given_back():
    kept = []
    thread = threading.Thread(target=lambda: kept.extend(left_behind()))
    thread.start()
    thread.join()
    before = resident_bytes()
    give_back_memory()
    assert before - resident_bytes() > 0.9 * PIECES * PIECE_BYTES
    assert kept[0].all()


@pytest.mark.parametrize("error", [None, OSError, TypeError])
def test_without_glibc_nothing_is_done(error, monkeypatch):
    def library(name):
        if error is not None:
            raise error("no such library")
        return SimpleNamespace()

    monkeypatch.setattr(ctypes, "CDLL", library)
    give_back_memory()
    share_freed_memory()


def test_it_is_not_given_back_all_the_time(monkeypatch):
    given, clock = [], [0.0]
    monkeypatch.setattr(dff.editor.memory, "give_back_memory", lambda: given.append(clock[0]))
    monkeypatch.setattr(dff.editor.memory.time, "monotonic", lambda: clock[0])
    freed = FreedMemory(pause=1.0)
    for now, at_once in ((10.0, False), (10.5, False), (10.6, True), (11.5, False), (11.6, False)):
        clock[0] = now
        freed.give_back(at_once)
    assert given == [10.0, 10.6, 11.6]
