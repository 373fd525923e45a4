"""Files that a browser sends: checked, and never in the place of others."""

from __future__ import annotations

import tempfile
from pathlib import Path

from dff.edits.storage import load_document
from dff.errors import DffError
from dff.files import atomic_write, plain_name

DOCUMENT_SUFFIXES = (".yml", ".yaml", ".json")


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
    given = Path(name.replace("\\", "/").rsplit("/", 1)[-1])
    stem, suffix = plain_name(given.stem) or "file", plain_name(given.suffix.lstrip("."))
    place, number = Path(folder), 1
    path = place / f"{stem}.{suffix}"
    while (home / path).exists() and (home / path).read_bytes() != content:
        number += 1
        path = place / f"{stem}-{number}.{suffix}"
    with atomic_write(home / path) as stream:
        stream.write(content)
    return path.as_posix()


def check_document(name: str, content: bytes) -> None:
    """Refuse what is no edit document.

    Raises:
        DffError: its name or its content says so.
    """
    suffix = Path(name).suffix.lower()
    if suffix not in DOCUMENT_SUFFIXES:
        raise DffError(f"{name[:60]!r} is no edit document: those end in .yml or .json")
    with tempfile.TemporaryDirectory() as place:
        trial = Path(place) / f"document{suffix}"
        trial.write_bytes(content)
        load_document(trial)
