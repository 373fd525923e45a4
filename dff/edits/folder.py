"""Files that a document names: only those in its own folder are read, whoever wrote it."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Sequence
from pathlib import Path

from dff.errors import DffError
from dff.query.shown import Patch, PatchQuery


def file_within(folder: Path | None, name: str) -> Path:
    """The path of a file that a document names.

    Args:
        folder: of the document; None: it may name no files.
        name: relative to it.

    Raises:
        DffError: it lies elsewhere.
    """
    if folder is None:
        raise DffError(f"this document names the file {name!r}, but it has no folder of its own")
    path = (folder / name).resolve()
    if not path.is_relative_to(folder.resolve()):
        raise DffError(f"the document names {name!r}, which is not in its own folder: put it there")
    return path


def query_within(folder: Path | None, query: PatchQuery, known: Collection[str]) -> PatchQuery:
    """A patch query whose pictures and masks lie in the document's folder.

    Args:
        folder: of the document.
        query: as the document has it.
        known: stems of the capture's own images.
    """

    def within(patch: Patch) -> Patch:
        own = patch.image in known
        image = patch.image if own else str(file_within(folder, patch.image))
        mask = None if patch.mask is None else str(file_within(folder, patch.mask))
        return dataclasses.replace(patch, image=image, mask=mask)

    return dataclasses.replace(
        query,
        positives=tuple(map(within, query.positives)),
        negatives=tuple(map(within, query.negatives)),
    )


def trusted_file(folder: Path | None, name: str, trusted: Sequence[Path]) -> Path:
    """The path of another scene's configuration that a document names.

    Args:
        folder: of the document, which relative names start from.
        name: as the document has it.
        trusted: folders below which it must lie: nerfstudio's configurations can run code.

    Raises:
        DffError: it lies elsewhere.
    """
    path = ((folder or Path()) / name).resolve()
    if not any(path.is_relative_to(place.resolve()) for place in trusted):
        raise DffError(
            f"the document inserts from {name!r}, a configuration that can run code: if you trust "
            f"it, add --trust {path.parent}"
        )
    return path
