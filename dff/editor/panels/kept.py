"""Selections that were kept under a name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dff.editor.elements import NOTHING, offer, put

if TYPE_CHECKING:
    from dff.editor.app import Editor


class KeptPanel:
    """Keep, show, combine, delete.

    Args:
        editor: whose.
    """

    def __init__(self, editor: Editor) -> None:
        self._editor = editor
        gui: Any = editor.server.gui
        self._name = gui.add_text("Name", initial_value="")
        self._keep = gui.add_button("Keep the selection")
        self._which = gui.add_dropdown("Kept", (NOTHING,))
        self._select = gui.add_button("Select it")
        self._how = gui.add_button_group("Combine", ("add", "subtract", "intersect"))
        self._shown = gui.add_checkbox("Show it", initial_value=False)
        self._colour = gui.add_rgb("Its colour", initial_value=(255, 255, 255))
        self._drop = gui.add_button("Delete it", color="red")
        session = editor.session

        def chosen() -> str:
            return self._which.value

        editor.on_press(
            self._keep, lambda: self._name.value, lambda name, _: self._take(session.keep(name))
        )
        editor.on_press(self._select, chosen, lambda name, _: self._choose(name))
        editor.on_press(
            self._how,
            lambda: (chosen(), self._how.value),
            lambda how, _: session.combine(*how),
        )
        editor.on_change(self._shown, self._show, lambda: (chosen(),))
        editor.on_change(self._colour, self._recolour, lambda: (chosen(),))
        editor.on_press(self._drop, chosen, lambda name, _: session.drop_named(name))
        editor.on_change(self._which, lambda value: None)

    def refresh(self) -> None:
        """Show what there is."""
        named = self._editor.session.kept.named
        offer(self._which, named)
        chosen = named.get(self._which.value)
        for handle in (self._select, self._shown, self._colour, self._drop):
            put(handle, disabled=chosen is None)
        # viser can disable no group of buttons.
        put(self._how, visible=chosen is not None)
        if chosen is not None:
            put(self._shown, value=chosen.shown)
            put(self._colour, value=tuple(round(255 * each) for each in chosen.colour))

    def _take(self, name: str) -> None:
        self.refresh()
        self._which.value = name

    def _choose(self, name: str) -> None:
        self._editor.session.select_named(name)
        self._editor.show_selection()

    def _show(self, shown: bool, name: str) -> None:
        self._editor.session.kept.show(name, shown)
        if shown:
            self._editor.show_selection()

    def _recolour(self, value: tuple[int, int, int], name: str) -> None:
        red, green, blue = (each / 255 for each in value)
        kept = self._editor.session.kept
        kept.show(name, name in kept.named and kept.named[name].shown, (red, green, blue))
