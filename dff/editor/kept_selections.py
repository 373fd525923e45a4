"""Selections that were kept under a name, in the folder of the work."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from dff.editor.painting import Tinted
from dff.editor.work_file import documents_in
from dff.edits.autosave import Autosave
from dff.edits.document import EditDocument
from dff.edits.folder import file_within
from dff.edits.stack import EditStack
from dff.errors import DffError
from dff.files import atomic_write, plain_name, sha256_of
from dff.scene import Scene
from dff.selection.selection import Selection

FOLDER = "selections"
# Of files that belong to steps, and to no name.
NAMELESS = "selection-"
PALETTE = (
    (0.95, 0.75, 0.1),
    (0.2, 0.75, 0.95),
    (0.5, 0.9, 0.3),
    (0.9, 0.35, 0.8),
    (0.35, 0.45, 1.0),
    (1.0, 0.5, 0.2),
)


@dataclass(frozen=True)
class Named:
    """A selection that was kept under a name.

    Attributes:
        path: its file.
        shown: whether pictures show it.
        colour: RGB in [0, 1] in which they do.
    """

    path: Path
    shown: bool
    colour: tuple[float, float, float]


class KeptSelections:
    """See the module's docstring.

    Args:
        scene: that they are of.
        folder: of the work.
    """

    def __init__(self, scene: Scene, folder: Path) -> None:
        self._scene, self._folder = scene, folder
        self._loaded: dict[Path, Selection] = {}
        self._copies: dict[Path, str] = {}
        found = sorted((folder / FOLDER).glob("*.npz"))
        names = [path for path in found if not path.stem.startswith(NAMELESS)]
        self._named = {
            path.stem: Named(path, False, PALETTE[number % len(PALETTE)])
            for number, path in enumerate(names)
        }

    @property
    def named(self) -> Mapping[str, Named]:
        """All of them, by name."""
        return MappingProxyType(self._named)

    @property
    def files(self) -> dict[str, str]:
        """As steps name them, by name: copies that stay, whatever is done under the name later."""
        return {name: self._copy_of(each.path) for name, each in self._named.items()}

    @property
    def tinted(self) -> tuple[Tinted, ...]:
        """Those that pictures show."""
        shown = [each for each in self._named.values() if each.shown]
        return tuple(Tinted(self._selection(each), each.colour) for each in shown)

    def path_of(self, name: str) -> Path:
        """The file of one.

        Raises:
            DffError: there is none of that name.
        """
        return self._of(name).path

    def provide(self, document: EditDocument) -> None:
        """Make the copies that a document's steps name, as far as they are not there yet.

        Raises:
            DffError: one cannot be written.
        """
        text = document.model_dump_json()
        for name, file in self.files.items():
            copy = self._folder / file
            if file in text and not copy.exists():
                with atomic_write(copy) as stream:
                    stream.write(self.path_of(name).read_bytes())

    def keep(self, selection: Selection, name: str, history: EditStack) -> str:
        """Keep a selection.

        Args:
            selection: what.
            name: of it; another one of that name is replaced.
            history: of the document that is worked on.

        Returns:
            The name that it has now.

        Raises:
            DffError: it is no name, a step needs what is in the file of that name, or the file
                cannot be written.
        """
        plain = plain_name(name.strip())
        if not plain.strip("_") or plain.startswith(NAMELESS):
            raise DffError("give the selection a name first")
        path = self._folder / FOLDER / f"{plain}.npz"
        user = self._user_of(path, history) if plain in self._named else ""
        if user:
            raise DffError(f"{user} '{plain}' as it is: keep this one under another name")
        selection.save(path, self._scene.fingerprint)
        self._loaded.pop(path, None)
        self._copies.pop(path, None)
        colour = PALETTE[len(self._named) % len(PALETTE)]
        before = self._named.get(plain, Named(path, False, colour))
        self._named = {**self._named, plain: before}
        return plain

    def show(
        self, name: str, shown: bool, colour: tuple[float, float, float] | None = None
    ) -> None:
        """Show one in pictures, or do not.

        Raises:
            DffError: there is none of that name, or it cannot be read.
        """
        before = self._of(name)
        if shown:
            self._selection(before)
        else:
            self._loaded.pop(before.path, None)
        changed = dataclasses.replace(before, shown=shown, colour=colour or before.colour)
        self._named = {**self._named, name: changed}

    def drop(self, name: str, history: EditStack) -> None:
        """Delete one.

        Args:
            name: of it.
            history: of the document that is worked on.

        Raises:
            DffError: a step needs its file, or it cannot be removed.
        """
        path = self.path_of(name)
        user = self._user_of(path, history)
        if user:
            raise DffError(f"{user} '{name}': it cannot be deleted")
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise DffError(f"cannot remove {path}: {error.strerror or error}") from error
        self._loaded.pop(path, None)
        self._copies.pop(path, None)
        self._named = {key: value for key, value in self._named.items() if key != name}

    def _copy_of(self, path: Path) -> str:
        if path not in self._copies:
            with contextlib.suppress(OSError):
                self._copies[path] = f"{FOLDER}/{NAMELESS}{sha256_of(path).hex()[:10]}.npz"
        return self._copies.get(path, f"{FOLDER}/{path.name}")

    def _user_of(self, path: Path, history: EditStack) -> str:
        """What names a file itself, not a copy, as documents that were written by hand may."""
        file = f"{FOLDER}/{path.name}"
        for number, step in enumerate(history.document.steps, 1):
            if file in step.model_dump_json():
                return f"step {number} uses the selection"
        if any(file in moment.document.model_dump_json() for moment in history.moments):
            return "a step that Undo or Redo would bring back uses the selection"
        for name in documents_in(self._folder):
            if file.encode() in _text_of(self._folder / name):
                return f"a step of {name} uses the selection"
        return ""

    def _of(self, name: str) -> Named:
        if name not in self._named:
            raise DffError(f"no selection is called '{name}'")
        return self._named[name]

    def _selection(self, named: Named) -> Selection:
        if named.path not in self._loaded:
            path = file_within(self._folder, f"{FOLDER}/{named.path.name}")
            self._loaded[named.path] = self._scene.load_selection(path)
        return self._loaded[named.path]


def _text_of(document: Path) -> bytes:
    """What a document holds, and its unsaved work."""
    files = [path for path in (document, Autosave(document).file) if path.is_file()]
    return b"".join(path.read_bytes() for path in files)
