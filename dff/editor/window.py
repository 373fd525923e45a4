"""One person's window: where they look from, and the picture that they see."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import viser

from dff.camera_paths import focus_point
from dff.editor.asking import Asked, ask_frame, inside_rectangle, spot_at
from dff.editor.frustums import Frustums
from dff.editor.latest import Latest
from dff.editor.lenses import Eye, eye_of
from dff.editor.memory import FreedMemory
from dff.editor.painting import Look, Painter, Work
from dff.editor.preview import Preview
from dff.query.shown import Spot
from dff.seen_view import SeenView

if TYPE_CHECKING:
    from dff.editor.app import Editor

JPEG_QUALITY = 85


@dataclass(frozen=True)
class _Order:
    eye: Eye
    look: Look
    work: Work


class Window:
    """See the module's docstring.

    Args:
        editor: whose.
        client: of viser.
    """

    def __init__(self, editor: Editor, client: viser.ClientHandle) -> None:
        self._editor, self.client = editor, client
        self._painter = Painter(editor.session.scene)
        self._lock = threading.Lock()
        self._freed = FreedMemory()
        self._pictures = Latest(self._paint, lambda line: editor.say(line, "error", client))
        self.painted = 0
        self.preview = Preview(self.go_to, lambda: self.eye.position)
        places = editor.session.scene.training_cameras.camera_to_worlds[:, :, 3]
        spread = float((places - places.mean(dim=0)).norm(dim=1).median().clamp_min(0.05))
        self._frustums = Frustums(
            client.scene,
            editor.session.scene.views("train"),
            spread,
            lambda eye: editor.do(lambda: self.look_from(eye), client),
        )

    def begin(self) -> None:
        """Show the scene as one of its photos does."""
        self.jump(0)
        self.client.camera.on_update(lambda _camera: self.ask())
        self.ask()
        self._editor.recovery_panel.tell(self.client)

    def stop(self) -> None:
        """Stop flying and painting."""
        self.preview.stop()
        self._pictures.stop()

    @property
    def eye(self) -> Eye:
        """Where the person looks from."""
        camera: Any = self.client.camera
        w, x, y, z = (float(each) for each in camera.wxyz)
        px, py, pz = (float(each) for each in camera.position)
        return Eye((w, x, y, z), (px, py, pz), float(camera.fov), float(camera.aspect))

    def ask(self) -> None:
        """Paint what is now to be seen."""
        session, eye = self._editor.session, self.eye
        self._frustums.show(self._editor.look_panel.cameras_shown, eye.position)
        self._pictures.ask(_Order(eye, self._editor.look, session.work))

    def wait(self, timeout: float | None = None) -> bool:
        """Until the finest picture of what was asked for last is there."""
        return self._pictures.wait(timeout)

    def jump(self, index: int) -> None:
        """Look from where one of the photos was taken."""
        cameras = self._editor.session.scene.training_cameras
        self.look_from(eye_of(cameras[index : index + 1]))

    def look_from(self, eye: Eye) -> None:
        """Look from somewhere, and orbit around what lies as far as the middle of the scene."""
        self.preview.stop()
        self.go_to(eye, self._target())

    def go_to(self, eye: Eye, target: Sequence[float] | None = None) -> None:
        """Look from somewhere.

        Args:
            eye: from where.
            target: around what to orbit from then on, as far away as this point.
        """
        camera: Any = self.client.camera
        with self.client.atomic():
            camera.up_direction = (0.0, 0.0, 1.0)
            camera.position = eye.position
            camera.wxyz = eye.wxyz
            camera.fov = eye.fov
            if target is not None:
                pose = eye.pose.numpy()
                away = sum((t - p) ** 2 for t, p in zip(target, eye.position, strict=True)) ** 0.5
                forward = -pose[:, 2]
                camera.look_at = tuple(
                    float(p + max(away, 0.05) * f)
                    for p, f in zip(eye.position, forward, strict=True)
                )

    def spot(self, x: float, y: float) -> Spot:
        """The point on a surface at a place of the picture, as shares of width and height.

        Raises:
            DffError: there is none.
        """
        return spot_at(self._seen(), x, y)

    def framed(
        self, low: tuple[float, float], high: tuple[float, float], teacher: str | None
    ) -> Asked:
        """What a rectangle in the picture selects.

        Raises:
            DffError: nothing is seen in it.
        """
        seen = self._seen()
        inside = inside_rectangle(seen.there.shape, low, high)
        return ask_frame(self._editor.session.scene, seen, inside, teacher)

    def _seen(self) -> SeenView:
        """Of a picture fine enough to point at things in; the one that is there, if it is."""
        camera = self.eye.camera(self._editor.look.size)
        return self._painter.pointed(camera, self._editor.session.work)

    def _target(self) -> tuple[float, float, float]:
        poses = self._editor.session.scene.training_cameras.camera_to_worlds.cpu()
        x, y, z = focus_point(poses[:, :, 3], -poses[:, :, 2]).tolist()
        return x, y, z

    def _paint(self, order: _Order, outdated: Callable[[], bool]) -> None:
        camera = order.eye.camera(order.look.size)
        try:
            with self._lock:
                for picture in self._painter.pictures(camera, order.look, order.work, outdated):
                    self.client.scene.set_background_image(
                        picture, format="jpeg", jpeg_quality=JPEG_QUALITY
                    )
                    self.painted += 1
        finally:
            self._freed.give_back(at_once=not outdated())
