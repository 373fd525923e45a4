"""What an edit document may draw on: the scene, its folder's files, and scenes that are trusted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from dff.answering import answer
from dff.answers import key_of
from dff.compiling import Source, Surroundings, compile_document
from dff.edits.compiled import CompiledEdits
from dff.edits.document import EditDocument
from dff.edits.filling import Filling
from dff.edits.folder import file_within, query_within, trusted_file
from dff.edits.hole import fill_hole
from dff.edits.selections import FileSelection, MovedSelection, StepSelection
from dff.errors import DffError
from dff.field_matter import FieldMatter
from dff.query.shown import PatchQuery
from dff.repaint.stored import load_paint
from dff.selection.selection import Selection
from dff.sight import sight_of

if TYPE_CHECKING:
    from dff.scene import Scene


def compile_in(
    scene: Scene,
    document: EditDocument,
    folders: Sequence[Path | None],
    trusted: Sequence[Path],
    notice: Callable[[str], None],
) -> CompiledEdits:
    """Compile a document; see `Scene.compile`.

    Args:
        scene: to be edited.
        document, trusted, notice: as there.
        folders: for each step, the only one whose files it may name; for None it may name none.
    """
    around = {
        folder: _surroundings(scene, folder, trusted, notice) for folder in dict.fromkeys(folders)
    }
    return compile_document(document, lambda index: around[folders[index]])


def _surroundings(
    scene: Scene, folder: Path | None, trusted: Sequence[Path], notice: Callable[[str], None]
) -> Surroundings:
    """What steps may draw on that come from a document in a folder."""

    def source(name: str | None) -> Source:
        if name is None:
            return as_source(scene, folder)
        other = scene.others.open(trusted_file(folder, name, trusted))
        if other.fingerprint == scene.fingerprint:
            raise DffError(f"the document inserts the scene into itself ({name}): use duplicate")
        return as_source(other, folder)

    def filled(selection: Selection) -> Filling | None:
        return fill_hole(selection, partial(sight_of, scene, selection))

    return Surroundings(
        source,
        lambda name: load_paint(file_within(folder, name), scene.fingerprint, scene.model.field),
        lambda selection: scene.answers.filling(selection, filled),
        notice,
    )


def as_source(scene: Scene, folder: Path | None) -> Source:
    """A scene that steps of a document select in.

    Args:
        scene: trained.
        folder: of the document.

    Raises:
        DffError: the scene has no features.
    """
    model = scene.model
    if model.feature_field is None:
        raise DffError("this scene was trained without features: it cannot be edited by name")
    known = {view.name for view in scene.views()}

    def answered(described: StepSelection) -> Selection:
        return scene.answers.get(key_of(described, folder), lambda: answer_to(described))

    def answer_to(described: StepSelection) -> Selection:
        if isinstance(described, FileSelection):
            return scene.load_selection(file_within(folder, described.file))
        assert not isinstance(described, MovedSelection)
        query = described.query()
        if isinstance(query, PatchQuery):
            query = query_within(folder, query, known)
        selection = answer(scene, query, described.softness)
        return selection.exactly() if described.exact else selection

    snap = scene.surface.snap
    return Source(
        FieldMatter(model.field, model.density_fns, model.feature_field, snap=snap), answered
    )
