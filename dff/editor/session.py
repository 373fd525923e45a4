"""What is being worked on: the document with its history, and what is selected.

No window is known here: all that a person can do in the editor, a script can do with a `Session`.
Every method either does all of what it says or, with a `DffError`, nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from dff.document_sources import as_source
from dff.editor.asking import Asked, Choice, ask_clicks, ask_picture, ask_saved
from dff.editor.kept_selections import KeptSelections
from dff.editor.painting import Work
from dff.editor.places import place_of
from dff.editor.uploads import check_document, keep_file, kept_if_used
from dff.editor.work_file import FIRST_DOCUMENT, WorkFile, document_path, documents_in
from dff.edits.compiled import CompiledEdits
from dff.edits.document import EditDocument, EditStep
from dff.edits.operations import Operation
from dff.edits.references import BRINGING
from dff.edits.selections import MovedSelection, StepSelection
from dff.edits.stack import EditStack, followed
from dff.errors import DffError
from dff.query.shown import ClickQuery, Spot
from dff.refinement import Refinement
from dff.scene import Scene
from dff.selection.selection import Selection

# Folder of pictures that were asked with.
PICTURES = "pictures"


class Session:
    """See the module's docstring.

    Args:
        scene: trained.
        folder: where documents, selections and pictures are kept; made when first needed.
        document: name of the document in it, loaded where it is there.
        trusted: folders with other trained scenes that may be inserted.
        notice: told of what stops nothing, in one line.
    """

    def __init__(
        self,
        scene: Scene,
        folder: Path,
        document: str = FIRST_DOCUMENT,
        trusted: Sequence[Path] = (),
        notice: Callable[[str], None] = lambda line: None,
    ) -> None:
        self.scene = scene
        self.folder = folder
        self.trusted = tuple(trusted)
        # May be changed: who looks at the work is told, in one line, of what stops nothing.
        self.notice = notice
        self.choice: Choice | None = None
        self.clicks: tuple[tuple[Spot, bool], ...] = ()
        # A step whose result is what is selected, instead of a choice.
        self.brought: int | None = None
        self.kept = KeptSelections(scene, folder)
        self._edits: CompiledEdits | None = None
        # Of the document as it is now: said once, not again after every action.
        self._told: frozenset[str] = frozenset()
        self._file = WorkFile(document_path(folder, document), self._tell)
        self._stack = EditStack(self._file.saved)
        self._become(self._stack, self._compiled(self._file.saved))

    def _tell(self, line: str) -> None:
        self.notice(line)

    # -- the document

    @property
    def document(self) -> EditDocument:
        """As it is now."""
        return self._stack.document

    @property
    def stack(self) -> EditStack:
        """With its history; change it by `change` alone."""
        return self._stack

    @property
    def path(self) -> Path:
        """Where the document is saved."""
        return self._file.path

    @property
    def unsaved(self) -> bool:
        """Whether there is something to save."""
        return self.document != self._file.saved

    @property
    def work(self) -> Work:
        """What pictures show."""
        return Work(self._edits, self.selection, self.kept.tinted)

    def change(self, do: Callable[[EditStack], object]) -> None:
        """Do something to the stack; if what comes out cannot be rendered, nothing was done.

        Raises:
            DffError: it cannot be done, or not be rendered.
        """
        self._change(do, self._file.keep)

    def _change(
        self, do: Callable[[EditStack], object], keep: Callable[[EditStack], object]
    ) -> None:
        trial = EditStack.of_moments(self._stack.moments, self._stack.now)
        do(trial)
        edits = self._compiled(trial.document)
        keep(trial)
        self._become(trial, edits)

    def undo(self) -> None:
        """Take the last action back."""
        self.change(EditStack.undo)

    def redo(self) -> None:
        """Do again what was taken back last."""
        self.change(EditStack.redo)

    def apply(self, operation: Operation, name: str | None = None) -> int:
        """Do something to what is selected, as a new step.

        Returns:
            The step's index.

        Raises:
            DffError: nothing is selected, or the operation cannot be done to it.
        """
        return self.apply_to(self.described(), operation, name)

    def apply_to(self, selection: StepSelection, operation: Operation, name: str | None) -> int:
        """Do something to what a document's words select, as a new step.

        Returns:
            The step's index.
        """
        step = EditStep(name=name, selection=selection, operation=operation)
        self.change(lambda stack: stack.push(step))
        return len(self.document.steps) - 1

    def update(self, index: int, operation: Operation, amend: bool = False) -> None:
        """Give a step other parameters.

        Args:
            index: of the step.
            operation: what it does now.
            amend: as one action with the last one of the same step.
        """
        step = self._step(index)
        changed = step.model_copy(update={"operation": operation})
        self.change(lambda stack: stack.update(index, changed, amend))

    def described(self) -> StepSelection:
        """What is selected, as a document says it.

        Raises:
            DffError: nothing is.
        """
        if self.brought is not None:
            self._step(self.brought)
            return MovedSelection(step=self.brought + 1)
        if self.choice is None:
            raise DffError("nothing is selected: find, pick or frame something first")
        if self.choice.selection.count == 0:
            raise DffError("the selection is empty: lower the threshold, or ask for something else")
        return self.choice.described_in(self.scene, self.folder)

    def _step(self, index: int) -> EditStep:
        if not 0 <= index < len(self.document.steps):
            raise DffError(f"there is no step {index + 1}")
        return self.document.steps[index]

    def _compiled(self, document: EditDocument) -> CompiledEdits:
        self.kept.provide(document)
        notices: list[str] = []
        edits = self.scene.compile(document, self.folder, self.trusted, notices.append)
        for line in notices:
            if line not in self._told:
                self._tell(line)
        self._told = frozenset(notices)
        return edits

    def _become(self, stack: EditStack, edits: CompiledEdits) -> None:
        if self.brought is not None:
            self.brought = followed(self.document.steps, self.brought, stack.document.steps)
        self._stack, self._edits = stack, edits

    # -- files

    def documents(self) -> list[str]:
        """Names of the documents in the folder."""
        return documents_in(self.folder)

    def save(self, name: str | None = None, replace: bool = False) -> Path:
        """Write the document; from then on under this name.

        Args:
            name: of the file; None: as it is called now.
            replace: write over another document, or over what another program wrote.

        Raises:
            WouldReplaceError: it would, and nobody asked for that.
            DffError: it is no name of a document, or the file cannot be written.
        """
        path = self.path if name is None else document_path(self.folder, name)
        self._file.save(self.document, path, replace)
        return path

    def open(self, name: str) -> None:
        """Load a document of the folder; what was not saved of the last one stays autosaved.

        Raises:
            DffError: it is not there, no document, or cannot be rendered.
        """
        path = document_path(self.folder, name)
        if name not in self.documents():
            raise DffError(f"there is no document {name} in {self.folder}")
        file = WorkFile(path, self._tell)
        edits = self._compiled(file.saved)
        if self.unsaved:
            self._tell(f"what was not saved of {self.path.name} is kept: open it to recover that")
        self.brought = None
        self._file = file
        self._become(EditStack(file.saved), edits)

    def add_file(self, name: str, content: bytes, folder: str = "") -> str:
        """Keep a file that was uploaded; see `dff.editor.uploads.keep_file`."""
        return keep_file(self.folder, name, content, folder)

    def add_document(self, name: str, content: bytes) -> str:
        """Keep a document that was uploaded.

        Returns:
            Its name in the session's folder.

        Raises:
            DffError: it is none, or cannot be rendered; then it is not kept.
        """
        document = check_document(name, content)
        self.kept.provide(document)
        self.scene.compile(document, self.folder, self.trusted, lambda line: None)
        return keep_file(self.folder, name, content)

    def recoverable(self) -> EditStack | None:
        """What an earlier run left unsaved of this document, until somebody answers."""
        return self._file.offer

    def recover(self, stack: EditStack) -> None:
        """Go on with it; what was done meanwhile can be undone to."""
        self._change(lambda present: present.go_on(stack), self._file.take_up)

    def forget_recoverable(self) -> None:
        """Throw it away."""
        self._file.throw_away()

    # -- selecting

    @property
    def selection(self) -> Selection | None:
        """The current one."""
        return None if self.choice is None else self.choice.selection

    def choose(self, asked: Asked) -> None:
        """Select what a question gave, without refinements."""
        self.choice = Choice.of(self.scene, asked)
        self.clicks, self.brought = (), None

    def choose_picture(self, name: str, content: bytes, teacher: str | None = None) -> None:
        """Select what looks like a picture that was uploaded.

        Args:
            name: as the picture was called where it came from.
            content: its file.
            teacher: whose features answer; None: those for pictures.

        Raises:
            DffError: it cannot be read or asked for; then it is not kept.
        """
        with kept_if_used(self.folder, name, content, PICTURES) as kept:
            self.choose(ask_picture(self.scene, self.folder, kept, teacher))

    def click(
        self, spot: Spot, wanted: bool, alike: bool = False, teacher: str | None = None
    ) -> None:
        """One click more: this is of the thing, or is not.

        Args:
            spot: what was clicked.
            wanted: whether it is of the thing.
            alike: select everything that looks like what was clicked, connected or not.
            teacher: whose features answer; None: those for clicks.

        Raises:
            DffError: the first one is negative, or it contradicts another one.
        """
        clicks = (*self.clicks, (spot, wanted))
        query = ClickQuery(
            tuple(s for s, good in clicks if good),
            tuple(s for s, good in clicks if not good),
            not alike,
            teacher,
        )
        asked = ask_clicks(self.scene, query)
        self.choose(asked)
        self.clicks = clicks

    def clear(self) -> None:
        """Select nothing."""
        self.choice, self.clicks, self.brought = None, (), None

    def set_threshold(self, threshold: float | None) -> None:
        """Ask the same with another threshold in [0, 1]; None is the automatic one."""
        choice = self._chosen()
        if choice.asked.at is None:
            raise DffError("this selection has no threshold: it was not made from scores")
        self.choice = Choice.of(self.scene, choice.asked.at(threshold), choice.refinement)

    def refine(self, refinement: Refinement) -> None:
        """Refine the answer this way, instead of how it was."""
        choice = self._chosen()
        self.choice = Choice.of(self.scene, choice.asked, refinement)

    def select_brought(self, index: int) -> None:
        """Select what a step brought: its copies, what it moved or inserted.

        Raises:
            DffError: there is no such step, or it brings nothing.
        """
        if not isinstance(self._step(index).operation, BRINGING):
            raise DffError(
                f"step {index + 1} brings nothing: transform, duplicate, insert and replace do"
            )
        self.choice, self.clicks, self.brought = None, (), index

    def _chosen(self) -> Choice:
        if self.brought is not None:
            raise DffError(
                f"what step {self.brought + 1} brought is selected for further steps alone: "
                "it cannot be kept, refined or combined"
            )
        if self.choice is None:
            raise DffError("nothing is selected: find, pick or frame something first")
        return self.choice

    # -- selections with names

    def keep(self, name: str) -> str:
        """Keep the current selection under a name.

        Returns:
            The name that it has now.
        """
        return self.kept.keep(self._chosen().selection, name, self._stack)

    def select_named(self, name: str) -> None:
        """Select what was kept."""
        self.choose(ask_saved(self.scene, self.kept.path_of(name)))

    def combine(self, name: str, how: str) -> None:
        """Unite the current selection with a kept one, take it away, or keep the common part.

        Args:
            name: of the kept one.
            how: ``add``, ``subtract`` or ``intersect``.
        """
        choice = self._chosen()
        given = {"add": (), "subtract": (), "intersect": (), how: (self.kept.path_of(name),)}
        selection = Refinement(**given).apply(self.scene, choice.selection)
        label = f"{choice.asked.label} {how} {name}"
        self.choice = Choice.of(self.scene, Asked(label, selection))
        self.clicks = ()

    def drop_named(self, name: str) -> None:
        """Delete a kept selection, unless a step needs it."""
        self.kept.drop(name, self._stack)

    def place_of(self, index: int) -> tuple[float, float, float] | None:
        """Where the middle of what a step places is now; see `dff.editor.places`."""
        if self._edits is None:
            return None
        return place_of(as_source(self.scene, self.folder), self.document.steps, self._edits, index)
