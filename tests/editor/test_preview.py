"""One flight at a time, until it ends or a person takes the camera."""

from __future__ import annotations

import dataclasses
import threading

from dff.editor.lenses import Eye
from dff.editor.preview import Preview

PATIENCE = 20.0
EYES = [Eye((1.0, 0.0, 0.0, 0.0), (0.1 * step, 0.0, 0.0), 1.0, 1.5) for step in range(6)]


class Camera:
    """Of a window: where it is, and everywhere that it was sent."""

    def __init__(self) -> None:
        self.place, self.sent, self.gone = (0.0, 0.0, 9.0), [], threading.Event()

    def go(self, eye: Eye) -> None:
        self.place = eye.position
        self.sent.append(eye)
        self.gone.set()


def test_all_of_a_flight_is_flown():
    camera = Camera()
    preview = Preview(camera.go, lambda: camera.place)
    preview.start(EYES, 0.0)
    preview.wait(PATIENCE)
    assert camera.sent == EYES
    assert not preview.stop()


def test_a_flight_can_be_ended():
    camera = Camera()
    preview = Preview(camera.go, lambda: camera.place)
    preview.start(EYES, PATIENCE)
    assert camera.gone.wait(PATIENCE)
    assert preview.stop()
    assert camera.sent == EYES[:1]
    assert not preview.stop()


def test_the_next_flight_takes_the_place_of_the_last():
    camera = Camera()
    preview = Preview(camera.go, lambda: camera.place)
    preview.start(EYES, PATIENCE)
    assert camera.gone.wait(PATIENCE)
    others = [dataclasses.replace(eye, fov=0.5) for eye in EYES]
    preview.start(others, 0.0)
    preview.wait(PATIENCE)
    assert camera.sent == [EYES[0], *others]


def test_who_moves_the_camera_ends_the_flight():
    camera = Camera()

    def go(eye: Eye) -> None:
        camera.go(eye)
        if len(camera.sent) == 2:
            camera.place = (0.15, 0.2, 0.0)
        elif len(camera.sent) > 2:
            raise AssertionError("it flew on")

    preview = Preview(go, lambda: camera.place)
    preview.start(EYES, 0.0)
    preview.wait(PATIENCE)
    assert camera.sent == EYES[:2]


def test_a_browser_that_is_a_little_behind_does_not_end_it():
    camera = Camera()
    behind = Preview(camera.go, lambda: camera.sent[-2].position if camera.sent[1:] else (0, 0, 9))
    behind.start(EYES, 0.0)
    behind.wait(PATIENCE)
    assert camera.sent == EYES


def test_what_is_left_of_the_last_flight_does_not_end_the_next():
    camera = Camera()
    preview = Preview(camera.go, lambda: camera.place)
    preview.start(EYES, 0.0)
    preview.wait(PATIENCE)
    camera.place = EYES[4].position  # the browser's word of the last place is still on its way
    others = [dataclasses.replace(eye, position=(0.0, *eye.position[:2])) for eye in EYES]
    sent = iter(others)

    def go(eye: Eye) -> None:
        assert eye == next(sent)
        camera.place = EYES[5].position

    preview._go = go
    preview.start(others, 0.0)
    preview.wait(PATIENCE)
    assert next(sent, None) is None
