"""Compile the hash encoding's C source at first use, and keep the library.

No torch headers and no build step at installation: any C compiler on the path will do, and where
there is none (or anything at all goes wrong) the pure-torch encoding does the same, slower.
"""

from __future__ import annotations

import ctypes
import functools
import hashlib
import os
import platform
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

from dff.errors import DffError, notice_in_one_line
from dff.files import atomic_write

SOURCE = Path(__file__).with_name("hash_encoding.c")
COMPILERS = ("cc", "gcc", "clang")
# The first that the compiler takes: not every one knows how to tune for the machine it runs on.
TUNING = (("-march=native",), ("-mcpu=native",), ())
SECONDS = 120
Kernel = Callable[..., None]


def cache_folder() -> Path:
    """Where libraries are kept: the environment variable ``DFF_KERNELS``, or ``~/.cache/dff``."""
    given = os.environ.get("DFF_KERNELS")
    return Path(given).expanduser() if given else Path.home() / ".cache" / "dff" / "kernels"


def find_compiler() -> str | None:
    """The C compiler: the environment variable ``CC``, else the first there is."""
    wanted = os.environ.get("CC")
    for name in (wanted,) if wanted else COMPILERS:
        found = shutil.which(name)
        if found is not None:
            return found
    return None


def machine() -> str:
    """What a library depends on that is built for this machine; home folders move between them."""
    facts = [platform.system(), platform.machine(), platform.processor(), *platform.libc_ver()]
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:  # not Linux
        lines = []
    keys = ("model name", "flags", "Features", "CPU part")
    facts += sorted({line for line in lines if line.startswith(keys)})
    return "\n".join(facts)


def library_path(source: Path = SOURCE) -> Path:
    """The file that the library of this source has, or will have, on this machine."""
    key = hashlib.sha256(source.read_bytes() + machine().encode()).hexdigest()[:20]
    return cache_folder() / f"hash_encoding-{key}.so"


def build(source: Path, target: Path) -> None:
    """Compile a source file to a library that is there whole or not at all.

    Raises:
        DffError: there is no compiler, it refuses, or the library cannot be written.
    """
    compiler = find_compiler()
    if compiler is None:
        raise DffError("no C compiler found (cc, gcc, clang; or name one in CC)")
    reason = ""
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / "library.so"
        for tuning in TUNING:
            command = [compiler, "-O3", *tuning, "-std=gnu11", "-shared", "-fPIC", "-pthread"]
            try:
                done = subprocess.run(
                    [*command, "-o", str(made), str(source)],
                    capture_output=True,
                    text=True,
                    timeout=SECONDS,
                    stdin=subprocess.DEVNULL,
                )
            except (OSError, subprocess.SubprocessError) as error:
                raise DffError(f"{compiler} does not run: {error}") from error
            if done.returncode == 0:
                with atomic_write(target) as stream:
                    stream.write(made.read_bytes())
                return
            reason = next((x for x in done.stderr.splitlines() if "error" in x), reason)
    raise DffError(f"{compiler} cannot compile it: {reason.strip() or 'no reason given'}")


def open_library(path: Path) -> Kernel:
    """The kernel in a library.

    Raises:
        OSError, AttributeError: it is damaged, or may not be run from there.
    """
    kernel = ctypes.CDLL(str(path)).dff_hash_encoding
    address, whole = ctypes.c_void_p, ctypes.c_int
    kernel.argtypes = [whole, *[address] * 7, ctypes.c_int64, ctypes.c_uint32, whole, whole, whole]
    kernel.restype = None
    return kernel


@functools.cache
def load_kernel() -> Kernel | None:
    """The compiled kernel, built when it is not there yet; None, and one line why, without it.

    Every process asks once.
    """
    try:
        path = library_path()
        if not path.exists():
            build(SOURCE, path)
        try:
            return open_library(path)
        except (OSError, AttributeError):
            build(SOURCE, path)  # damaged
            return open_library(path)
    except (DffError, OSError, AttributeError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        notice_in_one_line(f"the hash encoding runs in pure torch, three times slower: {reason}")
        return None
