"""Several edit documents as one: steps one after the other, and all that the result depends on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError

from dff.document_sources import compile_in
from dff.edits.compiled import CompiledEdits
from dff.edits.document import MAX_STEPS, EditDocument, EditStep
from dff.edits.folder import file_within, trusted_file
from dff.edits.operations import Insert, Repaint, Replace
from dff.edits.references import referred
from dff.edits.selections import FileSelection, MovedSelection, PatchSelection
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
        folders: that each lies in, the only one whose files it may name.
        identity: a hash of all that they say, the files that they name included.
    """

    paths: tuple[Path, ...]
    document: EditDocument
    counts: tuple[int, ...]
    folders: tuple[Path, ...]
    identity: str

    @staticmethod
    def read(paths: Sequence[Path], trusted: Sequence[Path] = ()) -> StackedDocuments:
        """Read documents.

        Args:
            paths: at least one.
            trusted: folders with other scenes that they may insert from.

        Raises:
            DffError: one is missing or wrong, or they have too many steps in all.
        """
        documents = [load_document(path) for path in paths]
        folders = tuple(path.resolve().parent for path in paths)
        digest = hashlib.sha256()
        for folder, document in zip(folders, documents, strict=True):
            digest.update(document.model_dump_json().encode())
            for file in _named_files(document, folder, trusted):
                digest.update(_content(file))
        return StackedDocuments(
            tuple(paths),
            _stacked(documents),
            tuple(len(document.steps) for document in documents),
            folders,
            digest.hexdigest(),
        )

    def compile(
        self, scene: Scene, trusted: Sequence[Path], notice: Callable[[str], None]
    ) -> CompiledEdits:
        """Make the documents ready to render; see `Scene.compile`.

        Each names files as seen from its own folder.

        Raises:
            DffError: a selection cannot be made, or a file is not there or may not be read.
        """
        spans = zip(self.folders, self.counts, strict=True)
        folders = [folder for folder, count in spans for _ in range(count)]
        try:
            return compile_in(scene, self.document, folders, trusted, notice)
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


def _named_files(document: EditDocument, folder: Path, trusted: Sequence[Path]) -> Iterator[Path]:
    """Files that a document names and may read; those that it may not are for compiling to tell."""
    for step in document.steps:
        operation = step.operation
        for name in _names(step):
            with suppress(DffError):
                yield file_within(folder, name)
        if isinstance(operation, (Insert, Replace)) and operation.scene is not None:
            with suppress(DffError):
                yield trusted_file(folder, operation.scene, trusted)


def _names(step: EditStep) -> Iterator[str]:
    """What a step may call files in its document's folder; images of the capture are not told."""
    operation = step.operation
    by = (operation.by,) if isinstance(operation, Replace) else ()
    for selection in (step.selection, *by):
        if isinstance(selection, FileSelection):
            yield selection.file
        elif isinstance(selection, PatchSelection):
            for text in (*selection.patch, *selection.patch_negative):
                # IMAGE, IMAGE:BOX or IMAGE:MASK.png; IMAGE may hold colons.
                image, _, mask = text.strip().rpartition(":")
                yield from filter(None, (text.strip(), image, mask))
    if isinstance(operation, Repaint):
        yield operation.file


def _content(file: Path) -> bytes:
    """A hash of a file; of another scene's configuration, with what its checkpoints are."""
    checkpoints = sorted(file.parent.glob("*/step-*.ckpt")) if file.suffix == ".yml" else []
    about = [(path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in checkpoints]
    return hashlib.sha256(json.dumps(about).encode() + sha256_of(file)).digest()
