"""The handles in the picture by which a thing is moved, turned and scaled."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float
from scipy.spatial.transform import Rotation

from dff.document_sources import as_source
from dff.editor.compat import phase_of
from dff.editor.places import placing_of
from dff.edits.operations import Duplicate, Insert, Replace, Transform
from dff.edits.placement import SCALES

if TYPE_CHECKING:
    from dff.editor.app import Editor

NAME, SCALE_NAME = "/gizmo", "/gizmo-scale"
# Seconds without a change after which the next one is an action of its own, where viser does not
# say when a pull begins.
ONE_PULL = 1.0
# The arrow that scales: its length as a share of the others', and where it points along the
# thing's own axes, which is where those others have nothing.
SCALE_LENGTH = 0.5
OUTWARD = np.array([-1.0, 0.0, 0.0])
BACK = Rotation.from_euler("z", 180, degrees=True)
PLACED = (Transform, Duplicate, Insert, Replace)


@dataclass(frozen=True, eq=False)
class Hold:
    """What the handles hold.

    Attributes:
        step: index of the step.
        middle: where the thing is now, in world units.
        anchor: where it would be without the step's shift.
        turned: how it is turned.
        stays: what stays where it is while the thing is scaled.
        reach: how far from that the arrow that scales is where the scale is 1.
        scale: of the step.
    """

    step: int
    middle: Float[np.ndarray, " 3"]
    anchor: Float[np.ndarray, " 3"]
    turned: Rotation
    stays: Float[np.ndarray, " 3"]
    reach: float
    scale: float

    @property
    def outward(self) -> Float[np.ndarray, " 3"]:
        """Where the arrow that scales points, in the world."""
        return self.turned.apply(OUTWARD)

    @property
    def scaler(self) -> Float[np.ndarray, " 3"]:
        """Where the arrow that scales is."""
        return self.stays + self.reach * self.scale * self.outward

    def scale_at(self, position: Float[np.ndarray, " 3"]) -> float:
        """The scale that the arrow says when it was pulled to a place."""
        away = float((position - self.stays) @ self.outward)
        return round(min(max(away / self.reach, SCALES[0]), SCALES[1]), 4)


class Gizmo:
    """Handles at the step that is worked on, where that moves something.

    Args:
        editor: whose.
    """

    def __init__(self, editor: Editor) -> None:
        self._editor = editor
        self._mover: Any = None
        self._scaler: Any = None
        self._hold: Hold | None = None
        self._lock = threading.Lock()
        # What was pulled and is not in the document yet: a step, and its parameters.
        self._pulled: tuple[int, dict[str, Any]] | None = None
        # Pulls are counted: all that comes of one is one action.
        self._pull = self._acted = 0
        self._last = 0.0

    def refresh(self) -> None:
        """Show them where they belong, or take them away."""
        self._hold = self._held()
        if self._hold is None:
            self._remove()
            return
        if self._mover is None:
            self._add()
        # While somebody pulls, the handles are ahead of the document.
        if self._pulled is None:
            _put(self._mover, self._hold.middle, self._hold.turned)
            _put(self._scaler, self._hold.scaler, self._hold.turned * BACK)

    def _held(self) -> Hold | None:
        session, step = self._editor.session, self._editor.steps_panel.current
        steps, edits = session.document.steps, session.work.edits
        if step is None or step >= len(steps) or edits is None:
            return None
        operation = steps[step].operation
        if not isinstance(operation, PLACED) or operation.axes != "world":
            return None
        if getattr(operation, "matrix", None) is not None:
            return None
        placing = placing_of(as_source(session.scene, session.folder), steps, edits, step)
        if placing is None:
            return None
        middle = np.array(placing.middle)
        return Hold(
            step,
            middle,
            middle - np.array(operation.translate),
            Rotation.from_euler("xyz", operation.rotate, degrees=True),
            np.array(placing.stays(operation)),
            placing.reach(operation),
            operation.scale,
        )

    def _add(self) -> None:
        scene: Any = self._editor.server.scene
        how = {"depth_test": False, "line_width": 4.0}
        self._mover = scene.add_transform_controls(NAME, scale=self._size(), **how)
        self._scaler = scene.add_transform_controls(
            SCALE_NAME,
            scale=SCALE_LENGTH * self._size(),
            active_axes=(True, False, False),
            disable_sliders=True,
            disable_rotations=True,
            **how,
        )
        self._mover.on_update(lambda event: self._pulled_at(event, self._moved))
        self._scaler.on_update(lambda event: self._pulled_at(event, self._scaled))

    def _remove(self) -> None:
        for handle in (self._mover, self._scaler):
            if handle is not None:
                handle.remove()
        self._mover = self._scaler = None

    def _size(self) -> float:
        points = self._editor.session.scene.training_cameras.camera_to_worlds[:, :, 3]
        return 0.2 * float((points - points.mean(dim=0)).norm(dim=1).median().clamp_min(0.1))

    def _moved(self, hold: Hold) -> dict[str, Any]:
        """Parameters for where the handles were pulled to."""
        w, x, y, z = (float(each) for each in self._mover.wxyz)
        angles = Rotation.from_quat([x, y, z, w]).as_euler("xyz", degrees=True)
        shift = np.array(self._mover.position, dtype=float) - hold.anchor
        return {
            "translate": tuple(round(float(each), 6) for each in shift),
            "rotate": tuple(round(float(each), 4) for each in angles),
        }

    def _scaled(self, hold: Hold) -> dict[str, Any]:
        return {"scale": hold.scale_at(np.array(self._scaler.position, dtype=float))}

    def _pulled_at(self, event: Any, read: Any) -> None:
        """A person pulled at them: the step follows, as one action while they pull."""
        hold, phase = self._hold, phase_of(event)
        if hold is None or self._mover is None or getattr(event, "client", True) is None:
            return
        now = time.monotonic()
        with self._lock:
            if phase == "start" or (phase is None and now - self._last > ONE_PULL):
                self._pull += 1
            self._last = now
            if phase == "start":
                return
            before = {} if self._pulled is None else self._pulled[1]
            self._pulled = hold.step, {**before, **read(hold)}
        self._editor.do(self._follow, getattr(event, "client", None))

    def _follow(self) -> None:
        """Change the step to what was pulled last; what waits before it has nothing to do."""
        with self._lock:
            pulled, self._pulled = self._pulled, None
            amend, self._acted = self._acted == self._pull, self._pull
        if pulled is None:
            return
        step, changes = pulled
        session = self._editor.session
        operation = session.document.steps[step].operation
        changed = type(operation).model_validate({**dict(operation), **changes})
        if changed != operation:
            session.update(step, changed, amend=amend)
            self._editor.edit_panel.show(step)


def _put(handle: Any, position: Float[np.ndarray, " 3"], turned: Rotation) -> None:
    x, y, z, w = (float(each) for each in turned.as_quat())
    handle.wxyz = (w, x, y, z)
    handle.position = tuple(float(each) for each in position)
