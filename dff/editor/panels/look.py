"""How the scene is looked at."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dff.editor.elements import put
from dff.editor.lenses import eye_of
from dff.editor.painting import OUTPUTS

if TYPE_CHECKING:
    from dff.editor.app import Editor

SIZES = ("240", "360", "480", "720", "1080")


class LookPanel:
    """Outputs, before and after, size, and the cameras of the capture.

    Args:
        editor: whose.
    """

    def __init__(self, editor: Editor) -> None:
        self._editor = editor
        gui: Any = editor.server.gui
        self._output = gui.add_dropdown("Show", OUTPUTS, initial_value="colour")
        self._nothing = gui.add_markdown(
            "Nothing is selected, so this looks like colour.", visible=False
        )
        self._compare = gui.add_checkbox("Before | after", initial_value=False)
        self._split = gui.add_slider(
            "Split", min=0.0, max=1.0, step=0.01, initial_value=0.5, visible=False
        )
        self._size = gui.add_dropdown("Pixels", SIZES, initial_value=str(editor.look.size))
        editor.on_change(self._output, lambda value: editor.set_look(output=value))
        editor.on_change(self._compare, lambda value: editor.set_look(compare=value))
        editor.on_change(self._split, lambda value: editor.set_look(split=float(value)))
        editor.on_change(self._size, lambda value: editor.set_look(size=int(value)))
        self._views = editor.session.scene.views("train")
        self._photo = gui.add_dropdown("Photo", tuple(view.name for view in self._views))
        self._go = gui.add_button("Look from this photo's place")
        self._shown = gui.add_checkbox("Show cameras", initial_value=False)
        self._photo.on_update(self._jump)
        self._go.on_click(self._jump)
        # Each window shows those that do not stand in its way: see `dff.editor.frustums`.
        editor.on_change(self._shown, lambda _value: None)

    @property
    def cameras_shown(self) -> bool:
        """Whether the cameras of the capture are shown."""
        return bool(self._shown.value)

    def refresh(self) -> None:
        """Show how the scene is looked at now."""
        look, work = self._editor.look, self._editor.session.work
        put(self._output, value=look.output)
        seen = work.selection is not None or (look.output == "selection" and bool(work.tinted))
        put(self._nothing, visible=look.output in ("heatmap", "selection") and not seen)
        put(self._split, visible=look.compare)

    def _jump(self, event: Any) -> None:
        if event.client is None:
            return
        view = next(view for view in self._views if view.name == self._photo.value)
        eye = eye_of(view.camera)

        def go() -> None:
            self._editor.window_of(event.client).look_from(eye)

        self._editor.do(go, event.client)
