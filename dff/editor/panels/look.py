"""How the scene is looked at."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from dff.camera_paths import rescaled
from dff.editor.elements import put
from dff.editor.lenses import eye_of
from dff.editor.painting import OUTPUTS

if TYPE_CHECKING:
    from dff.editor.app import Editor

SIZES = ("240", "360", "480", "720", "1080")
MOST_FRUSTUMS = 200


class LookPanel:
    """Outputs, before and after, size, and the cameras of the capture.

    Args:
        editor: whose.
    """

    def __init__(self, editor: Editor) -> None:
        self._editor = editor
        gui: Any = editor.server.gui
        self._output = gui.add_dropdown("Show", OUTPUTS, initial_value="colour")
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
        editor.on_change(self._shown, self._show_cameras)
        self._frustums: list[Any] = []

    def refresh(self) -> None:
        """Show how the scene is looked at now."""
        look = self._editor.look
        put(self._output, value=look.output)
        put(self._split, visible=look.compare)

    def _jump(self, event: Any) -> None:
        if event.client is None:
            return
        view = next(view for view in self._views if view.name == self._photo.value)
        eye = eye_of(view.camera)

        def go() -> None:
            self._editor.window_of(event.client).look_from(eye)

        self._editor.do(go, event.client)

    def _show_cameras(self, shown: bool) -> None:
        for handle in self._frustums:
            handle.remove()
        self._frustums = []
        if not shown:
            return
        cameras = self._editor.session.scene.training_cameras
        places = cameras.camera_to_worlds[:, :, 3]
        size = 0.05 * float((places - places.mean(dim=0)).norm(dim=1).median().clamp_min(0.05))
        step = max(1, len(self._views) // MOST_FRUSTUMS)
        scene: Any = self._editor.server.scene
        for number in torch.arange(0, len(self._views), step).tolist():
            view = self._views[number]
            eye = eye_of(rescaled(view.camera, 1.0))
            handle = scene.add_camera_frustum(
                f"/cameras/{number}",
                fov=eye.fov,
                aspect=eye.aspect,
                scale=size,
                wxyz=eye.wxyz,
                position=eye.position,
                color=(230, 120, 40),
            )
            handle.on_click(lambda event, eye=eye: self._go_to(event, eye))
            self._frustums.append(handle)

    def _go_to(self, event: Any, eye: Any) -> None:
        self._editor.do(lambda: self._editor.window_of(event.client).look_from(eye), event.client)
