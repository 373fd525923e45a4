"""Compile the C sources of hash encoding and MLP at first use, and keep the library.

No torch headers and no build step at installation: any C compiler on the path will do, and where
there is none (or anything at all goes wrong) pure torch does the same, slower.
"""

from __future__ import annotations

import ctypes
import functools
import hashlib
import os
import platform
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from dff.errors import DffError, notice_in_one_line
from dff.files import atomic_write

# Headers too: they are not compiled, but the library is made of them.
SOURCES = tuple(Path(__file__).with_name(x) for x in ("hash_encoding.c", "mlp.c", "tasks.h"))
COMPILERS = ("cc", "gcc", "clang")
# The first that the compiler takes: not every one knows how to tune for the machine it runs on.
TUNING = (("-march=native",), ("-mcpu=native",), ())
SECONDS = 120


@dataclass(frozen=True)
class Kernels:
    """The functions of the library.

    Attributes:
        hash_encoding: see ``hash_encoding.c``.
        mlp: see ``mlp.c``; returns 0, or 1 when there is no memory.
    """

    hash_encoding: Callable[..., None]
    mlp: Callable[..., int]


def cache_folder() -> Path:
    """Where libraries are kept: the environment variable ``DFF_KERNELS``, or ``~/.cache/dff``."""
    given = os.environ.get("DFF_KERNELS")
    return Path(given).expanduser() if given else Path.home() / ".cache" / "dff" / "kernels"


def wanted_compiler() -> str:
    """What the environment variable ``CC`` says, as ``ccache gcc -m64``; empty without."""
    return os.environ.get("CC", "").strip()


def find_compiler() -> list[str] | None:
    """The C compiler, a program and its first arguments: that of ``CC``, else the first there is.

    None without one, or where its program is not there.
    """
    wanted = wanted_compiler()
    try:
        commands = [shlex.split(wanted)] if wanted else [[name] for name in COMPILERS]
    except ValueError:  # a quotation that does not end
        return None
    for program, *arguments in commands:
        found = shutil.which(program)
        if found is not None:
            return [found, *arguments]
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


def library_path(sources: Sequence[Path] = SOURCES) -> Path:
    """The file that the library of these sources has, or will have, on this machine."""
    key = hashlib.sha256(machine().encode())
    for source in sources:
        key.update(source.read_bytes())
    return cache_folder() / f"fields-{key.hexdigest()[:20]}.so"


def build(sources: Sequence[Path], target: Path) -> None:
    """Compile source files to a library that ends with the hash of what precedes.

    It is there whole or not at all, and by one renaming, so that hash and library fit whoever else
    builds it at the same time; what loads libraries reads none of what follows them.

    Raises:
        DffError: there is no compiler, it refuses, or the library cannot be written.
    """
    compiler = find_compiler()
    if compiler is None:
        wanted = wanted_compiler()
        if wanted:
            raise DffError(f"no C compiler found: CC is {wanted!r}, and there is no such program")
        raise DffError("no C compiler found (cc, gcc, clang; or name one in CC)")
    name = shlex.join(compiler)
    reason = ""
    compiled = [str(source) for source in sources if source.suffix == ".c"]
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / "library.so"
        for tuning in TUNING:
            command = [
                *compiler,
                "-O3",
                *tuning,
                "-std=gnu11",
                "-shared",
                "-fPIC",
                "-pthread",
                "-ldl",
            ]
            try:
                done = subprocess.run(
                    [*command, "-o", str(made), *compiled],
                    capture_output=True,
                    text=True,
                    timeout=SECONDS,
                    stdin=subprocess.DEVNULL,
                )
            except (OSError, subprocess.SubprocessError) as error:
                raise DffError(f"{name} does not run: {error}") from error
            if done.returncode == 0 and made.is_file():
                library = made.read_bytes()
                with atomic_write(target) as stream:
                    stream.write(library + hashlib.sha256(library).digest())
                return
            reason = next((x for x in done.stderr.splitlines() if "error" in x), reason)
    raise DffError(f"{name} cannot compile it: {reason.strip() or 'no reason given'}")


def is_whole(path: Path) -> bool:
    """Whether a library is there as `build` wrote it.

    Loading one that was cut off, by a full disk or a copy that broke off, ends the process.
    """
    try:
        content = path.read_bytes()
    except OSError:
        return False
    size = hashlib.sha256().digest_size
    return hashlib.sha256(content[:-size]).digest() == content[-size:]


def open_library(path: Path) -> Kernels:
    """The functions in a library that is whole.

    Raises:
        OSError, AttributeError: it is for another machine, or may not be run from there.
    """
    library = ctypes.CDLL(str(path))
    address, whole, long = ctypes.c_void_p, ctypes.c_int, ctypes.c_int64
    encoding, mlp = library.dff_hash_encoding, library.dff_mlp
    encoding.argtypes = [whole, *[address] * 7, long, ctypes.c_uint32, whole, whole, whole]
    encoding.restype = None
    mlp.argtypes = [whole, *[address] * 6, whole, long, whole]
    mlp.restype = whole
    return Kernels(encoding, mlp)


@functools.cache
def load_kernels() -> Kernels | None:
    """The compiled kernels, built when they are not there yet; None, and one line why, without.

    Every process asks once.
    """
    try:
        path = library_path()
        if not is_whole(path):
            build(SOURCES, path)
        try:
            return open_library(path)
        except (OSError, AttributeError):
            build(SOURCES, path)  # another compiler may fit this machine
            return open_library(path)
    except (DffError, OSError, AttributeError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        notice_in_one_line(f"fields run in pure torch, which is slower: {reason}")
        return None
