"""Files that a document names: whoever wrote it, only those in allowed folders are read."""

from __future__ import annotations

import dataclasses
import shlex
import zipfile
from collections.abc import Collection, Sequence
from pathlib import Path

from dff.edits.explain import nearest, printable
from dff.errors import DffError
from dff.query.shown import Patch, PatchQuery

# Pictures, saved selections and repaintings are far smaller.
MAX_FILE_BYTES = 1_000_000_000


def file_within(folder: Path | None, name: str) -> Path:
    """The path of a file that a document names.

    Args:
        folder: of the document; None: it may name no files.
        name: relative to it.

    Returns:
        The file itself, links followed.

    Raises:
        DffError: it lies elsewhere, is not there, is no plain file (reading a device may never
            end), or holds over 1 GB, unpacked where it is an archive.
    """
    if folder is None:
        raise DffError(f"this document names the file {name!r}, but it has no folder of its own")
    path = _resolved(folder / name, name)
    if not path.is_relative_to(folder.resolve()):
        raise DffError(f"the document names {name!r}, which is not in its own folder: put it there")
    return _plain_file(path, name)


def trusted_file(folder: Path | None, name: str, trusted: Sequence[Path]) -> Path:
    """The path of a file that can run code when it is loaded, such as a run's config.yml.

    Args:
        folder: of the document, which ``name`` is relative to; being in it is not enough.
        name: as the document has it.
        trusted: folders that the user vouches for.

    Returns:
        The file itself, links followed.

    Raises:
        DffError: it lies below none of them, is not there, or is no plain file; says what to add
            to the command.
    """
    if folder is None and not Path(name).is_absolute():
        raise DffError(
            f"this document names {name!r}, but it has no folder of its own: write the whole path"
        )
    path = _resolved((folder or Path()) / name, name)
    if not any(path.is_relative_to(_resolved(place, str(place))) for place in trusted):
        raise DffError(
            f"the document names the scene {name!r}, and loading a scene can run code: "
            f"if you trust it, add --trust {printable(shlex.quote(str(path.parent)))} to the "
            "command and start it again"
        )
    return _plain_file(path, name)


def query_within(folder: Path | None, query: PatchQuery, known: Collection[str]) -> PatchQuery:
    """A patch query whose pictures and masks lie in the document's folder.

    Args:
        folder: of the document.
        query: as the document has it.
        known: stems of the capture's own images.

    Raises:
        DffError: as `file_within`.
    """

    def within(patch: Patch) -> Patch:
        image = patch.image
        if image not in known:
            if "." not in image:
                # No picture is called so: a misspelt image of the capture.
                raise DffError(
                    f"{image[:100]!r} is no image of the capture, and a file's name has an ending; "
                    f"{nearest(image, sorted(known)[:20])}"
                )
            image = str(file_within(folder, image))
        mask = None if patch.mask is None else str(file_within(folder, patch.mask))
        return dataclasses.replace(patch, image=image, mask=mask)

    return dataclasses.replace(
        query,
        positives=tuple(map(within, query.positives)),
        negatives=tuple(map(within, query.negatives)),
    )


def _resolved(path: Path, name: str) -> Path:
    try:
        return path.resolve()
    except (OSError, ValueError, RuntimeError) as error:
        # Links in a circle, names that are too long, a zero byte.
        raise _no_file(name, error) from error


def _plain_file(path: Path, name: str) -> Path:
    try:
        if not path.exists():
            raise DffError(f"the document names {name!r}, and there is no such file")
        if not path.is_file():
            raise DffError(f"the document names {name!r}, which is a folder or a device, no file")
        size = max(path.stat().st_size, _unpacked_size(path))
    except (OSError, zipfile.BadZipFile) as error:
        raise _no_file(name, error) from error
    if size > MAX_FILE_BYTES:
        raise DffError(
            f"the document names {name!r}, which is over {MAX_FILE_BYTES // 10**9} GB: too large"
        )
    return path


def _unpacked_size(path: Path) -> int:
    """Bytes in a zip archive, which saved selections are; 0 for other files."""
    if not zipfile.is_zipfile(path):
        return 0
    with zipfile.ZipFile(path) as archive:
        return sum(member.file_size for member in archive.infolist())


def _no_file(name: str, error: Exception) -> DffError:
    reason = getattr(error, "strerror", None) or printable(str(error))
    return DffError(f"the document names {name[:100]!r}, which is no file: {reason}")
