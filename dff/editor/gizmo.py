"""The handles in the picture by which a thing is moved and turned."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Any

from scipy.spatial.transform import Rotation

from dff.edits.operations import Duplicate, Insert, Replace, Transform

if TYPE_CHECKING:
    from dff.editor.app import Editor

NAME = "/gizmo"
# Seconds without a change after which the next one is an action of its own.
ONE_PULL = 1.0
# World units up to which two places are one.
SAME = 1e-6
PLACED = (Transform, Duplicate, Insert, Replace)


class Gizmo:
    """Handles at the step that is worked on, where that moves something.

    Args:
        editor: whose.
    """

    def __init__(self, editor: Editor) -> None:
        self._editor = editor
        self._handle: Any = None
        self._of: tuple[int, tuple[float, ...]] | None = None
        self._held = False
        self._last = 0.0

    def refresh(self) -> None:
        """Show them where they belong, or take them away."""
        editor = self._editor
        step = editor.steps_panel.current
        steps = editor.session.document.steps
        operation = steps[step].operation if step is not None and step < len(steps) else None
        if not isinstance(operation, PLACED) or not steps[step or 0].enabled:
            self._remove()
            return
        if getattr(operation, "matrix", None) is not None or operation.axes != "world":
            self._remove()
            return
        assert step is not None
        position = editor.session.place_of(step)
        if position is None:
            self._remove()
            return
        x, y, z, w = Rotation.from_euler("xyz", operation.rotate, degrees=True).as_quat()
        if self._handle is None:
            self._handle = editor.server.scene.add_transform_controls(
                NAME, scale=self._size(), depth_test=False, line_width=4.0
            )
            self._handle.on_update(self._moved)
        anchor = tuple(p - t for p, t in zip(position, operation.translate, strict=True))
        self._of = (step, anchor)
        if not self._held:
            self._handle.wxyz = (float(w), float(x), float(y), float(z))
            self._handle.position = position

    def _remove(self) -> None:
        if self._handle is not None:
            self._handle.remove()
        self._handle, self._of = None, None

    def _size(self) -> float:
        points = self._editor.session.scene.training_cameras.camera_to_worlds[:, :, 3]
        return 0.2 * float((points - points.mean(dim=0)).norm(dim=1).median().clamp_min(0.1))

    def _moved(self, event: Any) -> None:
        """A person pulled at them: the step follows, as one action while they pull."""
        of, handle = self._of, self._handle
        if of is None or handle is None or getattr(event, "client", True) is None:
            return
        step, anchor = of
        position = tuple(float(each) for each in handle.position)
        w, x, y, z = (float(each) for each in handle.wxyz)
        angles = Rotation.from_quat([x, y, z, w]).as_euler("xyz", degrees=True)

        def follow() -> None:
            if self._handle is not handle:
                return
            if math.dist(handle.position, position) > SAME:
                return  # pulled on since; what comes next counts
            operation = self._editor.session.document.steps[step].operation
            translate = tuple(round(p - q, 6) for p, q in zip(position, anchor, strict=True))
            turned = {"translate": translate, "rotate": tuple(round(float(a), 4) for a in angles)}
            changed = type(operation).model_validate({**dict(operation), **turned})
            self._held = True
            try:
                now_at = time.monotonic()
                self._editor.session.update(step, changed, amend=now_at - self._last < ONE_PULL)
                self._last = now_at
                self._editor.edit_panel.show(step)
            finally:
                self._held = False

        self._editor.do(follow)
