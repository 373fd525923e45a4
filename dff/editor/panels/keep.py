"""Keeping work: documents, recovery, exports."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast, get_args

from dff.editor.elements import NOTHING, offer, put
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
        editor.on_click(self._save, self._save_it)
        editor.on_click(self._open, self._open_it)
        self._download.on_click(
            lambda event: editor.do(lambda: self._send(event.client), event.client)
        )
        self._upload.on_upload(self._uploaded)
        with gui.add_folder("Unsaved work was found", visible=False) as self._found:
            gui.add_markdown("An earlier run ended with unsaved work on this document.")
            self._recover = gui.add_button("Recover it", color="green")
            self._forget = gui.add_button("Throw it away", color="red")
        editor.on_click(self._recover, self._recover_it)
        editor.on_click(self._forget, self._forget_it)
        with gui.add_folder("Export the edited scene"):
            self._format = gui.add_dropdown("As", get_args(Format), initial_value="points")
            self._finely = gui.add_slider(
                "Rays, thousands", min=50, max=4000, step=50, initial_value=500
            )
            self._export = gui.add_button("Export")
        self._export.on_click(
            lambda event: editor.do(lambda: self._export_it(event.client), event.client)
        )
        self._recoverable = session.recoverable()

    def refresh(self) -> None:
        """Show what is there."""
        offer(self._which, self._editor.session.documents())
        put(self._found, visible=self._recoverable is not None)

    def offer_recovery(self, client: Any) -> None:
        """Say to who opens the editor that there is something to be recovered."""
        if self._recoverable is not None:
            self._editor.say(
                "unsaved work of an earlier run was found: see the tab Keep", "notice", client
            )

    def _save_it(self) -> None:
        path = self._editor.session.save(_document_name(self._name.value))
        self._recoverable = None
        self._editor.say(f"saved as {path}", "done")

    def _open_it(self) -> None:
        if self._which.value == NOTHING:
            raise DffError("there is no document yet: save one")
        self._opened(self._which.value)

    def _opened(self, name: str) -> None:
        session = self._editor.session
        session.open(name)
        self._name.value = name
        self._recoverable = session.recoverable()
        self._editor.steps_panel.work_on(None)

    def _send(self, client: Any) -> None:
        from dff.edits.storage import document_text

        session = self._editor.session
        content = document_text(session.document, session.path).encode()
        self._editor.send(client, session.path.name, content)
        if any(hasattr(step.selection, "file") for step in session.document.steps):
            self._editor.say(
                f"it names selections in {session.folder}: take that folder along",
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

    def _recover_it(self) -> None:
        if self._recoverable is not None:
            self._editor.session.recover(self._recoverable)
            self._recoverable = None

    def _forget_it(self) -> None:
        self._editor.session.forget_recoverable()
        self._recoverable = None

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


def _document_name(text: str) -> str:
    name = text.strip()
    return name if "." in name else f"{name}.yml"
