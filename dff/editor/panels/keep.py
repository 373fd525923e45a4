"""Keeping work: documents and exports."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast, get_args

from dff.editor.elements import NOTHING, offer
from dff.editor.work_file import WouldReplaceError
from dff.edits.document import EditDocument
from dff.errors import DffError
from dff.export.exporting import ExportOptions, Format, export_scene
from dff.files import plain_name

if TYPE_CHECKING:
    from dff.editor.app import Editor

SUFFIXES = {"points": ".ply", "mesh": ".glb", "splats": ".ply"}
MOST_DOCUMENT_BYTES = 1_000_000


class KeepPanel:
    """See the module's docstring.

    Args:
        editor: whose.
    """

    def __init__(self, editor: Editor) -> None:
        self._editor = editor
        gui: Any = editor.server.gui
        session = editor.session
        self._name = gui.add_text("Document", initial_value=session.path.name)
        self._save = gui.add_button("Save", color="blue")
        self._which = gui.add_dropdown("There are", (NOTHING,))
        self._open = gui.add_button("Open it")
        self._download = gui.add_button("Download")
        self._upload = gui.add_upload_button("Upload...", mime_type=".yml,.yaml,.json")
        editor.on_press(
            self._save,
            lambda: _document_name(self._name.value),
            lambda name, _: self.save(name),
        )
        editor.on_press(self._open, lambda: self._which.value, lambda name, _: self._open_it(name))
        self._download.on_click(
            lambda event: editor.do(lambda: self._send(event.client), event.client)
        )
        self._upload.on_upload(self._uploaded)
        with gui.add_folder("Export the edited scene"):
            self._format = gui.add_dropdown("As", get_args(Format), initial_value="points")
            self._finely = gui.add_slider(
                "Rays, thousands", min=50, max=4000, step=50, initial_value=500
            )
            self._export = gui.add_button("Export")
        self._export.on_click(
            lambda event: editor.do(lambda: self._export_it(event.client), event.client)
        )
        # A document that was not written over when that was asked for first.
        self._refused: str | None = None

    def refresh(self) -> None:
        """Show what is there."""
        offer(self._which, self._editor.session.documents())

    def save(self, name: str | None = None) -> None:
        """Save; over something else only when that is asked for twice.

        Args:
            name: of the document; None: as it is called now.

        Raises:
            DffError: it cannot be saved, or has to be asked for again.
        """
        session = self._editor.session
        name = name or session.path.name
        replace, self._refused = name == self._refused, None
        try:
            path = session.save(name, replace)
        except WouldReplaceError:
            self._refused = name
            raise
        self._editor.say(f"saved as {path}", "done")

    def _open_it(self, name: str) -> None:
        if name == NOTHING:
            raise DffError("there is no document yet: save one")
        self._opened(name)

    def _opened(self, name: str) -> None:
        self._editor.session.open(name)
        self._name.value = name
        self._refused = None

    def _send(self, client: Any) -> None:
        from dff.edits.storage import document_text

        session = self._editor.session
        content = document_text(session.document, session.path).encode()
        self._editor.send(client, session.path.name, content)
        if names_files(session.document):
            self._editor.say(
                f"it names files in {session.folder}: take that folder along",
                "notice",
                client,
            )

    def _uploaded(self, event: Any) -> None:
        file = self._upload.value

        def take() -> None:
            if len(file.content) > MOST_DOCUMENT_BYTES:
                raise DffError(f"{file.name[:60]} is over 1 MB: that is no edit document")
            name = self._editor.session.add_document(file.name, file.content)
            self._opened(name)

        self._editor.do(take, event.client)

    def _export_it(self, client: Any) -> None:
        session = self._editor.session
        kind = cast(Format, self._format.value)
        stem = f"{plain_name(session.path.stem)}-{kind}"
        path = session.folder / "exports" / f"{stem}{SUFFIXES[kind]}"
        options = ExportOptions(path, kind, rays=1000 * int(self._finely.value))
        scene, edits = session.scene, session.work.edits
        steps = [n for n, step in enumerate(session.document.steps, 1) if step.enabled]

        def work(progress: Callable[[float], None]) -> str:
            path.parent.mkdir(parents=True, exist_ok=True)
            said = export_scene(scene, options, edits, steps, on_share=progress)
            self._editor.send(client, path.name, path.read_bytes())
            return said

        self._editor.tasks.start(f"Exporting {path.name}", work)


def names_files(document: EditDocument) -> bool:
    """Whether a document needs more than itself: selections, pictures, repaintings."""
    text = document.model_dump_json(exclude_none=True)
    return '"file":' in text or '"patch":' in text


def _document_name(text: str) -> str:
    name = text.strip()
    return name if "." in name else f"{name}.yml"
