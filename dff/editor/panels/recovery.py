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
        # No folder around them: viser 0.2.7 could not show it again.
        self._what = gui.add_markdown("", visible=False)
        self._recover = gui.add_button("Recover it", color="green", visible=False)
        self._forget = gui.add_button("Throw it away", color="red", visible=False)
        editor.on_click(self._recover, self._recover_it)
        editor.on_click(self._forget, editor.session.forget_recoverable)

    def refresh(self) -> None:
        """Show whether there is something to answer."""
        offer = self._editor.session.recoverable()
        for element in (self._what, self._recover, self._forget):
            put(element, visible=offer is not None)
        if offer is not None:
            count = len(offer.document.steps)
            put(
                self._what,
                content="**Unsaved work was found.** An earlier run left a document of "
                f"{count} step{'s' * (count != 1)} that was not saved. Recovering it loses "
                "nothing: *Undo* leads back to what is now.",
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
