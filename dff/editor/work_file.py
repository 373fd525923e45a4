"""The file of the document that is worked on, and what of the work is in no document yet."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from dff.edits.autosave import AUTOSAVED, Autosave
from dff.edits.document import EditDocument
from dff.edits.reading import MAX_BYTES, refuse_named_pipe
from dff.edits.stack import EditStack
from dff.edits.storage import document_text, load_document, save_document
from dff.errors import DffError

FIRST_DOCUMENT = "edits.yml"
DOCUMENT_SUFFIXES = (".yml", ".yaml", ".json")
# Of a document's name; those of its autosaves are longer, and systems take 255.
MOST_NAME_BYTES = 200


class WouldReplaceError(DffError):
    """Saving would write over what somebody else may still want."""


def document_path(folder: Path, name: str) -> Path:
    """Where a document of a folder is.

    Raises:
        DffError: documents have no such names.
    """
    plain = name.isprintable() and Path(name).name == name and len(name.encode()) <= MOST_NAME_BYTES
    if not plain or Path(name).suffix.lower() not in DOCUMENT_SUFFIXES:
        raise DffError(f"a document is called NAME.yml or NAME.json, not {name[:60]!r}")
    if AUTOSAVED in name:
        raise DffError(f"files with {AUTOSAVED} in their name hold unsaved work: take another name")
    return folder / name


def documents_in(folder: Path) -> list[str]:
    """Names of a folder's documents, with those that were never saved and have unsaved work."""
    if not folder.is_dir():
        return []
    files = [path for path in folder.iterdir() if path.suffix.lower() in DOCUMENT_SUFFIXES]
    unsaved = f"{AUTOSAVED}json"
    names = {path.name.removesuffix(unsaved) for path in files}
    return sorted(name for name in names if AUTOSAVED not in name)


def last_document(folder: Path) -> str:
    """Name of the document of a folder that was worked on last, saved or not."""

    def last_written(name: str) -> float:
        files = (folder / name, Autosave(folder / name).file)
        return max(file.stat().st_mtime for file in files if file.exists())

    return max(documents_in(folder), key=last_written, default=FIRST_DOCUMENT)


class WorkFile:
    """See the module's docstring.

    Args:
        path: of the document, which need not be there yet.
        tell: told in one line of what stops nothing.

    Attributes:
        saved: what was read from the file or written to it last.
        offer: what an earlier run left unsaved, until somebody answers; None: nothing.

    Raises:
        DffError: the file is no document, or cannot be read.
    """

    def __init__(self, path: Path, tell: Callable[[str], None]) -> None:
        self._path, self._tell = path, tell
        self._autosave = Autosave(path, tell)
        self._content = _content_of(path)
        self.saved = EditDocument() if self._content is None else load_document(path)
        self.offer: EditStack | None = self._autosave.recover_history()
        self._aside: Path | None = None

    @property
    def path(self) -> Path:
        """Of the document."""
        return self._path

    def keep(self, stack: EditStack) -> None:
        """Keep work that is not saved; an offer that nobody answered is put aside before.

        Raises:
            DffError: a file cannot be written.
        """
        self._put_aside()
        self._autosave.save(stack)

    def take_up(self, stack: EditStack) -> None:
        """Keep work that the offer is a part of now.

        Raises:
            DffError: a file cannot be written.
        """
        self._autosave.save(stack)
        self._answered()

    def throw_away(self) -> None:
        """Forget the offer."""
        if self.offer is not None and self._aside is None:
            self._autosave.discard()
        self._answered()

    def save(self, document: EditDocument, path: Path, replace: bool) -> None:
        """Write the document; from then on it is at this path.

        Args:
            document: as it is now.
            path: where.
            replace: write over another document, or over what another program wrote.

        Raises:
            WouldReplaceError: it would, and nobody asked for that.
            DffError: a file cannot be written.
        """
        if not replace:
            self._refuse_to_replace(path)
        self._put_aside()
        autosave = self._autosave
        if path != self._path:
            autosave = Autosave(path, self._tell)
            left = autosave.recover_history()
            if left is not None:
                self._tell_of(autosave.put_aside(left.document))
        save_document(document, path)
        self._autosave.discard()
        autosave.discard()
        self._path, self._autosave = path, autosave
        self.saved, self._content = document, _content_of(path)

    def _refuse_to_replace(self, path: Path) -> None:
        what = ""
        if path != self._path:
            if path.name in documents_in(path.parent):
                what = f"there is another document called {path.name}"
        elif _content_of(path) not in (None, self._content):
            what = f"another program changed {path.name} since it was opened here"
        if what:
            raise WouldReplaceError(
                f"{what}: press Save again to write over it, or choose another name"
            )

    def _put_aside(self) -> None:
        if self.offer is not None and self._aside is None:
            self._aside = self._autosave.put_aside(self.offer.document)
            self._tell_of(self._aside)

    def _tell_of(self, aside: Path) -> None:
        self._tell(f"unsaved work of an earlier run is kept as {aside.name}")

    def _answered(self) -> None:
        """The offer is gone, and its copy too, unless somebody worked on that."""
        aside, offer = self._aside, self.offer
        self.offer = self._aside = None
        if aside is None or offer is None or aside == self._path:
            return
        if _content_of(aside) == document_text(offer.document, aside).encode():
            aside.unlink(missing_ok=True)


def _content_of(path: Path) -> bytes | None:
    """What a document's file holds; None where there is none."""
    refuse_named_pipe(path)
    try:
        with path.open("rb") as stream:
            return stream.read(MAX_BYTES + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise DffError(f"cannot read {path}: {error.strerror or error}") from error
