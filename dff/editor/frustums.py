"""The cameras of the capture, as one window shows them."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Sequence
from typing import Any

from dff.camera_paths import rescaled
from dff.editor.compat import add_frustum
from dff.editor.elements import put
from dff.editor.lenses import Eye, eye_of
from dff.views import View

MOST = 200
# Of the median distance of the cameras from their middle: how large one is shown, and how far from
# the eye it has to be, because nearer it would frame the view or cover what is looked at.
SIZE, NEAR = 0.03, 0.15


class Frustums:
    """See the module's docstring.

    Args:
        scene: what viser shows in the window.
        views: of the capture; where there are very many, some are left out.
        spread: median distance of the cameras from their middle, in world units.
        clicked: told from where the camera that was clicked looks.
    """

    def __init__(
        self, scene: Any, views: Sequence[View], spread: float, clicked: Callable[[Eye], None]
    ) -> None:
        self._scene, self._spread, self._clicked = scene, spread, clicked
        self._views = views[:: max(1, len(views) // MOST)]
        self._lock = threading.Lock()
        self._shown: list[tuple[Eye, Any]] = []

    def show(self, shown: bool, place: Sequence[float]) -> None:
        """Show them, but for those near to where one looks from; or show none."""
        with self._lock:
            if shown and not self._shown:
                self._shown = [self._added(number) for number in range(len(self._views))]
            if not shown:
                for _, handle in self._shown:
                    handle.remove()
                self._shown = []
            for eye, handle in self._shown:
                put(handle, visible=math.dist(eye.position, place) > NEAR * self._spread)

    def _added(self, number: int) -> tuple[Eye, Any]:
        eye = eye_of(rescaled(self._views[number].camera, 1.0))
        handle = add_frustum(
            self._scene,
            f"/cameras/{number}",
            fov=eye.fov,
            aspect=eye.aspect,
            scale=SIZE * self._spread,
            wxyz=eye.wxyz,
            position=eye.position,
            color=(230, 120, 40),
        )
        handle.on_click(lambda _event: self._clicked(eye))
        return eye, handle
