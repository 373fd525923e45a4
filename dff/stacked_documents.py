"""Several edit documents as one: steps one after the other, and all that the result depends on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError

from dff.edits.compiled import CompiledEdits
from dff.edits.document import MAX_STEPS, EditDocument, EditStep
from dff.edits.references import referred
from dff.edits.selections import MovedSelection
from dff.edits.storage import load_document
from dff.errors import DffError
from dff.files import sha256_of

if TYPE_CHECKING:
    from dff.scene import Scene


@dataclass(frozen=True)
class StackedDocuments:
    """Edit documents that act one after the other.

    Attributes:
        paths: the files.
        document: all of their steps.
        counts: steps of each.
        folder: that the documents lie in; None where they lie in several, and name no files.
        identity: a hash of all that they say, the files that they name included.
    """

    paths: tuple[Path, ...]
    document: EditDocument
    counts: tuple[int, ...]
    folder: Path | None
    identity: str

    @staticmethod
    def read(paths: Sequence[Path], trusted: Sequence[Path] = ()) -> StackedDocuments:
        """Read documents.

        Args:
            paths: at least one.
            trusted: folders with other scenes that they may insert from.

        Raises:
            DffError: one is missing or wrong, they have too many steps in all, or they lie in
                different folders and name files.
        """
        documents = [load_document(path) for path in paths]
        folders = {path.resolve().parent for path in paths}
        digest = hashlib.sha256()
        for path, document in zip(paths, documents, strict=True):
            digest.update(document.model_dump_json().encode())
            for name, file in _named_files(document, path.parent, trusted):
                if len(folders) > 1:
                    raise DffError(
                        f"{path} names the file {name!r}, and the documents lie in different "
                        "folders: put them into one, with what they name"
                    )
                digest.update(_content(file))
        return StackedDocuments(
            tuple(paths),
            _stacked(documents),
            tuple(len(document.steps) for document in documents),
            folders.pop() if len(folders) == 1 else None,
            digest.hexdigest(),
        )

    def compile(
        self, scene: Scene, trusted: Sequence[Path], notice: Callable[[str], None]
    ) -> CompiledEdits:
        """Make the documents ready to render; see `Scene.compile`.

        Raises:
            DffError: a selection cannot be made, or a file is not there or may not be read.
        """
        try:
            return scene.compile(self.document, self.folder, trusted, notice)
        except DffError as error:
            if len(self.paths) == 1:
                raise
            raise DffError(f"{error} (steps are counted on: {self._numbering()})") from error

    def _numbering(self) -> str:
        spans, first = [], 1
        for path, count in zip(self.paths, self.counts, strict=True):
            spans.append(f"{path.name} has {first} to {first + count - 1}" if count else "")
            first += count
        return ", ".join(filter(None, spans))


def _stacked(documents: Sequence[EditDocument]) -> EditDocument:
    """All steps; those that select what an earlier step brought still mean the same one."""
    steps: list[EditStep] = []
    for document in documents:
        before = len(steps)
        for index, step in enumerate(document.steps):
            meant = referred(document.steps, index)
            if meant is not None:
                moved = MovedSelection(step=before + meant + 1)
                step = step.model_copy(update={"selection": moved})
            steps.append(step)
    try:
        return EditDocument(steps=tuple(steps))
    except ValidationError as error:
        raise DffError(
            f"the documents have {len(steps)} steps in all: at most {MAX_STEPS} are allowed"
        ) from error


def _named_files(
    document: EditDocument, folder: Path, trusted: Sequence[Path]
) -> Iterator[tuple[str, Path]]:
    """Files below a document's folder, or a trusted one, that any of its texts names, and how.

    Any field may: so a kind of step that comes later needs nothing here. ``IMAGE:MASK.png`` names
    two.
    """
    home = folder.resolve()
    places = [home, *(place.resolve() for place in trusted)]
    for text in _texts(document.model_dump(mode="json")):
        for name in dict.fromkeys([text, *text.split(":")]):
            try:
                path = (home / name).resolve()
                if name and any(map(path.is_relative_to, places)) and path.is_file():
                    yield name, path
            except (OSError, ValueError):
                # A text that no file can be called.
                continue


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for each in value.values():
            yield from _texts(each)
    elif isinstance(value, (list, tuple)):
        for each in value:
            yield from _texts(each)


def _content(file: Path) -> bytes:
    """A hash of a file; of another scene's configuration, with what its checkpoints are."""
    checkpoints = sorted(file.parent.glob("*/step-*.ckpt")) if file.suffix == ".yml" else []
    about = [(path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in checkpoints]
    return hashlib.sha256(json.dumps(about).encode() + sha256_of(file)).digest()
