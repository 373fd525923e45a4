"""Files that a browser sends: checked, and never in the place of others."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dff.editor.work_file import DOCUMENT_SUFFIXES
from dff.edits.autosave import Autosave
from dff.edits.document import EditDocument
from dff.edits.storage import load_document
from dff.errors import DffError
from dff.files import atomic_write, plain_name


def keep_file(home: Path, name: str, content: bytes, folder: str = "") -> str:
    """Keep a file that was uploaded.

    Args:
        home: folder of the work.
        name: as it was called where it came from; its folders are left out.
        content: its bytes.
        folder: in the home.

    Returns:
        Its name in the home; a number is added where there is another of it.

    Raises:
        DffError: it cannot be written.
    """
    path = _place_for(home, name, content, folder)
    _write(home / path, content)
    return path.as_posix()


@contextmanager
def kept_if_used(home: Path, name: str, content: bytes, folder: str = "") -> Iterator[str]:
    """Keep a file as `keep_file` does, but for as long as what is done with it raises nothing."""
    path = _place_for(home, name, content, folder)
    new = not (home / path).exists()
    _write(home / path, content)
    try:
        yield path.as_posix()
    except BaseException:
        if new:
            (home / path).unlink(missing_ok=True)
        raise


def check_document(name: str, content: bytes) -> EditDocument:
    """The document that was uploaded.

    Raises:
        DffError: its name or its content says that it is none.
    """
    given = _last_part(name)
    suffix = Path(given).suffix.lower()
    if suffix not in DOCUMENT_SUFFIXES:
        raise DffError(f"{given[:60]!r} is no edit document: those end in .yml or .json")
    with tempfile.TemporaryDirectory() as place:
        # What is wrong with it is said with the name that people know.
        stem = "".join(char if char.isprintable() else "_" for char in Path(given).stem[:50])
        trial = Path(place) / f"{stem}{suffix}"
        trial.write_bytes(content)
        return load_document(trial)


def _write(path: Path, content: bytes) -> None:
    with atomic_write(path) as stream:
        stream.write(content)


def _place_for(home: Path, name: str, content: bytes, folder: str) -> Path:
    """Where in the home an uploaded file is or would be, whatever else is there."""
    given = Path(_last_part(name))
    stem = plain_name(given.stem) or "file"
    suffix = plain_name(given.suffix.lstrip(".")).lower()
    place, number = Path(folder), 1
    path = place / f"{stem}.{suffix}"
    while _is_taken(home / path, content):
        number += 1
        path = place / f"{stem}-{number}.{suffix}"
    return path


def _is_taken(path: Path, content: bytes) -> bool:
    """By another file, or by unsaved work on a document."""
    return (path.exists() and path.read_bytes() != content) or Autosave(path).file.exists()


def _last_part(name: str) -> str:
    return name.replace("\\", "/").rsplit("/", 1)[-1]
