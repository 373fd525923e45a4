"""Unsaved work of an earlier run, offered above all tabs until somebody answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dff.editor.elements import put

if TYPE_CHECKING:
    from dff.editor.app import Editor


class RecoveryPanel:
    """See the module's docstring.

    Args:
        editor: whose.
    """

    def __init__(self, editor: Editor) -> None:
        self._editor = editor
        gui: Any = editor.server.gui
        with gui.add_folder("Unsaved work was found", visible=False) as self._folder:
            self._what = gui.add_markdown("")
            self._recover = gui.add_button("Recover it", color="green")
            self._forget = gui.add_button("Throw it away", color="red")
        editor.on_click(self._recover, self._recover_it)
        editor.on_click(self._forget, editor.session.forget_recoverable)

    def refresh(self) -> None:
        """Show whether there is something to answer."""
        offer = self._editor.session.recoverable()
        put(self._folder, visible=offer is not None)
        if offer is not None:
            count = len(offer.document.steps)
            put(
                self._what,
                content=f"An earlier run left a document of {count} step{'s' * (count != 1)} that "
                "was not saved. Recovering it loses nothing: *Undo* leads back to what is now.",
            )

    def tell(self, client: Any) -> None:
        """Say to who opens the editor that there is something to be recovered."""
        if self._editor.session.recoverable() is not None:
            self._editor.say(
                "unsaved work of an earlier run was found: recover it above the tabs, or throw it "
                "away",
                "notice",
                client,
            )

    def _recover_it(self) -> None:
        session = self._editor.session
        offer = session.recoverable()
        if offer is not None:
            session.recover(offer)
