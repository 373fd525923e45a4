"""A flight that one person sees, until it ends or they take the camera themselves."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Sequence

from dff.editor.lenses import Eye

# World units: a camera that is farther from all of the flight than this was moved by a person.
STRAYED = 2e-3
# Places of the flight before at which a browser that is a little behind may still say it is.
REMEMBERED = 100


class Preview:
    """Flies a window's camera: one flight at a time.

    Args:
        go: looks from somewhere.
        place: where the window looks from now, (x, y, z) in world units.
    """

    def __init__(
        self, go: Callable[[Eye], None], place: Callable[[], tuple[float, float, float]]
    ) -> None:
        self._go, self._place = go, place
        self._lock = threading.Lock()
        self._end = threading.Event()
        self._thread: threading.Thread | None = None
        self._flown: list[tuple[float, float, float]] = []

    def start(self, eyes: Sequence[Eye], pause: float) -> None:
        """Fly, instead of whatever was flown before.

        Args:
            eyes: one after the other.
            pause: seconds between two of them.
        """
        self.stop()
        with self._lock:
            self._end = threading.Event()
            self._flown = [*self._flown[-REMEMBERED:], self._place()]
            arguments = (tuple(eyes), pause, self._end)
            self._thread = threading.Thread(target=self._fly, args=arguments, daemon=True)
            self._thread.start()

    def stop(self) -> bool:
        """End the flight; whether there was one."""
        with self._lock:
            thread, self._thread = self._thread, None
            self._end.set()
        if thread is None or not thread.is_alive():
            return False
        if thread is not threading.current_thread():
            thread.join()
        return True

    def wait(self, timeout: float | None = None) -> None:
        """Until the flight is over."""
        with self._lock:
            thread = self._thread
        if thread is not None:
            thread.join(timeout)

    def _fly(self, eyes: Sequence[Eye], pause: float, end: threading.Event) -> None:
        for eye in eyes:
            if end.is_set() or self._strayed():
                return
            self._flown.append(eye.position)
            self._go(eye)
            if end.wait(pause):
                return

    def _strayed(self) -> bool:
        """Whether the window is nowhere on the way: browsers tell a little late where they are."""
        place = self._place()
        return min(math.dist(place, each) for each in self._flown) > STRAYED
