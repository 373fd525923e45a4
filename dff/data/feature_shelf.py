"""What lies in a feature cache: listing it, verifying it, clearing it.

Only files that the cache itself names are ever looked at or removed, whatever folder is given.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from dff.data.feature_basis import ENDING, load_basis
from dff.data.feature_file import SUFFIX, DamagedMapError, read_entry
from dff.errors import DffError
from dff.files import TEMPORARY_PREFIX

DAY = 24 * 3600
# Seconds after which a file that belongs to nothing yet is no work in progress.
_WORK_SECONDS = 3600
_LEFT_OVER_SECONDS = DAY
_HASH = re.compile("[0-9a-f]{64}")


@dataclass(frozen=True)
class Shelf:
    """Maps of one teacher with one width.

    Attributes:
        teacher, fingerprint: whose.
        dim: length of its features.
        width: numbers a cell takes in the files: D, or K with a basis.
        maps, size: how many files, and their bytes.
        used: when one of them was last written or used, in seconds since 1970, to the hour.
    """

    teacher: str
    fingerprint: str
    dim: int
    width: int
    maps: int
    size: int
    used: float


@dataclass
class Clearing:
    """What was, or would be, removed.

    Attributes:
        files: how many, by kind.
        size: bytes in all.
    """

    files: dict[str, int] = field(default_factory=dict)
    size: int = 0

    def add(self, kind: str, size: int) -> None:
        """Count a file."""
        self.files[kind] = self.files.get(kind, 0) + 1
        self.size += size


def map_files(root: Path) -> list[Path]:
    """The files of maps, sorted."""
    return sorted(path for path in root.glob(f"??/*{SUFFIX}") if _named(path, SUFFIX))


def basis_files(root: Path) -> list[Path]:
    """The files of bases, sorted."""
    return sorted(
        path
        for path in root.glob(f"bases/*/*{ENDING}")
        if _named(path, ENDING) and _HASH.fullmatch(path.parent.name)
    )


def list_shelves(root: Path, teacher: str | None = None) -> tuple[list[Shelf], int]:
    """What is there by teacher and width, and the number of files that cannot be read.

    Args:
        root: of the cache.
        teacher: this one only.
    """
    shelves: dict[tuple[str, str, int, int], Shelf] = {}
    unreadable = 0
    for path in map_files(root):
        try:
            entry, stat = read_entry(path, whole=False), path.stat()
        except (DamagedMapError, OSError):
            unreadable += 1
            continue
        facts = entry.facts
        if teacher is not None and facts.teacher != teacher:
            continue
        key = (facts.teacher, facts.fingerprint, facts.dim, entry.shape[2])
        known = shelves.get(key, Shelf(*key, maps=0, size=0, used=0.0))
        shelves[key] = Shelf(
            *key,
            maps=known.maps + 1,
            size=known.size + stat.st_size,
            used=max(known.used, stat.st_mtime),
        )
    return [shelves[key] for key in sorted(shelves)], unreadable


def damaged_files(root: Path, seen: Callable[[], None] = lambda: None) -> list[tuple[Path, str]]:
    """Every file that is not what it should be, and what is wrong with it.

    Args:
        root: of the cache.
        seen: called after each file.
    """
    damaged = []
    for path in map_files(root):
        try:
            read_entry(path)
        except DamagedMapError as error:
            damaged.append((path, str(error)))
        seen()
    for path in basis_files(root):
        if load_basis(path.parent, path.name[: -len(ENDING)]) is None:
            damaged.append((path, "damaged: the checksum does not match"))
        seen()
    return damaged


def prune(
    root: Path,
    teacher: str | None = None,
    older_than: float | None = None,
    dry_run: bool = False,
) -> Clearing:
    """Remove what is damaged, left over or unused; and maps, if asked to.

    Args:
        root: of the cache.
        teacher: remove the maps of this teacher.
        older_than: remove maps that were not used for so many days; with a teacher, only its.
        dry_run: remove nothing, only count.

    Raises:
        DffError: days below 0, or a file that may not be removed.
    """
    if older_than is not None and not older_than >= 0:
        raise DffError(f"--older-than takes days, 0 or more, not {older_than}")
    broom = _Broom(dry_run)
    for path, _ in damaged_files(root):
        broom.remove(path, "damaged")
    for path in left_overs(root, _WORK_SECONDS):
        broom.remove(path, "left over")
    used, left = set[str | None](), set[str | None]()
    asked = teacher is not None or older_than is not None
    maps = map_files(root)
    # Listed after the maps, for a basis is there before its maps are.
    bases = {path.name[: -len(ENDING)] for path in basis_files(root) if path not in broom.gone}
    for path in maps:
        try:
            entry = read_entry(path, whole=False)
        except DamagedMapError:
            continue  # counted above, or gone
        wanted = asked and teacher in (None, entry.facts.teacher)
        if wanted and (older_than is None or _age(path) >= older_than * DAY):
            broom.remove(path, "map" if teacher is None else f"map of {teacher}")
            left.add(entry.facts.basis)
        elif entry.facts.basis is not None and entry.facts.basis not in bases:
            broom.remove(path, "map without its basis")
        else:
            used.add(entry.facts.basis)
    for path in basis_files(root):
        digest = path.name[: -len(ENDING)]
        # A new one without maps may be that of a process that has only begun.
        if digest not in used and (digest in left or _age(path) > _WORK_SECONDS):
            broom.remove(path, "unused basis")
    return broom.cleared


class _Broom:
    """Removes files and counts them, each once; in a dry run it only counts.

    Args:
        dry_run: remove nothing.
    """

    def __init__(self, dry_run: bool) -> None:
        self.cleared, self.gone = Clearing(), set[Path]()
        self._dry_run = dry_run

    def remove(self, path: Path, kind: str) -> None:
        """Remove a file of some kind.

        Raises:
            DffError: it may not be removed.
        """
        if path in self.gone:
            return
        try:
            size = path.stat().st_size
            if not self._dry_run:
                path.unlink()
        except FileNotFoundError:
            return  # another process was faster
        except OSError as error:
            raise DffError(f"cannot remove {path}: {error.strerror or error}") from error
        self.gone.add(path)
        self.cleared.add(kind, size)


def left_overs(root: Path, seconds: float) -> Iterator[Path]:
    """Files of processes that were stopped, not touched for so long."""
    for pattern in (
        TEMPORARY_PREFIX + "*",
        f"??/{TEMPORARY_PREFIX}*",
        f"bases/*/{TEMPORARY_PREFIX}*",
        f"scratch/{TEMPORARY_PREFIX}*",
        f"scratch/*{SUFFIX}",
    ):
        for path in root.glob(pattern):
            if _age(path) > seconds:
                yield path


def remove_left_overs(root: Path) -> None:
    """Delete what processes left that were stopped long ago."""
    for path in left_overs(root, _LEFT_OVER_SECONDS):
        try:
            path.unlink()
        except OSError:
            # Another process was faster, or may not: it is only rubbish.
            continue


def _age(path: Path) -> float:
    """Seconds since a file was last changed or used; 0 for one that is gone."""
    try:
        return time.time() - path.stat().st_mtime
    except OSError:
        return 0.0


def _named(path: Path, ending: str) -> bool:
    return _HASH.fullmatch(path.name[: -len(ending)]) is not None
