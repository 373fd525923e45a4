"""A client of a viser server (1.1 or later) without a browser: what it is sent, and when.

It speaks viser's own protocol over a real websocket: messages to the server are msgpack, those from
it msgpack under zstandard. Elements of panels are known by their labels, as a person knows them.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from io import BytesIO
from typing import Any

import msgspec.msgpack
import numpy as np
import viser
import zstandard
from PIL import Image
from scipy.spatial.transform import Rotation
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

SIZES_BYTES = 8


@dataclass(frozen=True)
class Pose:
    """A browser's camera: where, what it looks at, vertical field of view in radians, pixels."""

    position: tuple[float, ...] = (1.0, 0.0, 0.0)
    look_at: tuple[float, ...] = (0.0, 0.0, 0.0)
    up: tuple[float, ...] = (0.0, 0.0, 1.0)
    fov: float = 0.9
    height: int = 720
    width: int = 960

    @property
    def wxyz(self) -> tuple[float, float, float, float]:
        """Camera to world: x to the right, y down, z forward."""
        forward = np.subtract(self.look_at, self.position)
        right = np.cross(forward, self.up)
        axes = [right, np.cross(forward, right), forward]
        matrix = np.stack([axis / np.linalg.norm(axis) for axis in axes], axis=1)
        x, y, z, w = (float(each) for each in Rotation.from_matrix(matrix).as_quat())
        return w, x, y, z

    def ray(self, x: float, y: float) -> tuple[float, ...]:
        """The unit direction in the world of a place in the picture, as shares of its sides."""
        w, i, j, k = self.wxyz
        half = np.tan(self.fov / 2)
        local = [(2 * x - 1) * half * self.width / self.height, (2 * y - 1) * half, 1.0]
        ray = Rotation.from_quat([i, j, k, w]).apply(local)
        return tuple(float(each) for each in ray / np.linalg.norm(ray))

    def aside(self, share: float) -> Pose:
        """A step to the side, as a share of the distance to what is looked at."""
        forward = np.subtract(self.look_at, self.position)
        right = np.cross(forward, self.up)
        step = share * float(np.linalg.norm(forward)) * right / np.linalg.norm(right)
        return replace(self, position=tuple(float(p) for p in np.add(self.position, step)))

    def scaled(self, factor: float) -> Pose:
        """In a world that is larger by a factor."""
        return replace(
            self,
            position=tuple(factor * each for each in self.position),
            look_at=tuple(factor * each for each in self.look_at),
        )


@dataclass
class Element:
    """An element of a panel: its identifier, kind (``GuiTextMessage`` ...) and properties."""

    uuid: str
    kind: str
    state: dict[str, Any] = field(default_factory=dict)

    @property
    def label(self) -> str:
        """As it is now."""
        return str(self.state.get("label", ""))


@dataclass(frozen=True)
class Event:
    """A message and the time at which it came, in seconds of `time.perf_counter`."""

    at: float
    message: dict[str, Any]

    @property
    def kind(self) -> str:
        """The message's type."""
        return self.message["type"]


class Visitor:
    """One client.

    Args:
        host, port: of the server.
        pose: where it looks from at first.
        patience: seconds that `wait` waits.
    """

    def __init__(
        self, host: str, port: int, pose: Pose | None = None, patience: float = 60.0
    ) -> None:
        self.pose = pose or Pose()
        self._patience = patience
        self._socket = connect(
            f"ws://{host}:{port}",
            subprotocols=[f"viser-v{viser.__version__}"],  # type: ignore[list-item]
            max_size=None,
            compression=None,
            open_timeout=patience,
        )
        self.elements: dict[str, Element] = {}
        self.events: list[Event] = []
        self._news = threading.Condition()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self.look(self.pose)

    def close(self) -> None:
        """Leave."""
        self._socket.close()
        self._reader.join(self._patience)

    # -- what it does

    def send(self, kind: str, **content: Any) -> float:
        """Send a message; when."""
        payload = msgspec.msgpack.encode({"type": kind, **content})
        at = time.perf_counter()
        self._socket.send(payload)
        return at

    def look(self, pose: Pose) -> float:
        """Look from somewhere; when it was said."""
        self.pose = pose
        return self.send(
            "ViewerCameraMessage",
            wxyz=pose.wxyz,
            position=pose.position,
            fov=pose.fov,
            near=0.01,
            far=1000.0,
            image_height=pose.height,
            image_width=pose.width,
            look_at=pose.look_at,
            up_direction=pose.up,
        )

    def element(self, label: str, kind: str = "") -> Element:
        """An element by its label, waited for; the first of its kind."""

        def find() -> Element | None:
            for each in list(self.elements.values()):
                if each.label == label and kind in each.kind:
                    return each
            return None

        return self._wait_for(find, f"an element {label!r}")

    def set(self, label: str, value: Any, kind: str = "") -> float:
        """Give an element another value; when."""
        return self.change(self.element(label, kind), value)

    def change(self, element: Element, value: Any) -> float:
        """Give an element another value; when."""
        element.state["value"] = value
        return self.send("GuiUpdateMessage", uuid=element.uuid, updates={"value": value})

    def press(self, label: str) -> float:
        """Press a button; when."""
        return self.set(label, True, "Button")

    def point(self, tool: str, low: Sequence[float], high: Sequence[float]) -> float:
        """Click (``pick``) or draw a rectangle; corners as shares of width and height."""
        click = tool == "pick"
        corners = (tuple(low),) if click else (tuple(low), tuple(high))
        return self.send(
            "ScenePointerMessage",
            event_type="click" if click else "rect-select",
            ray_origin=self.pose.position if click else None,
            ray_direction=self.pose.ray(*low) if click else None,
            screen_pos=corners,
            modifier=None,
        )

    # -- what it sees

    def after(
        self,
        at: float,
        fits: Callable[[Event], bool],
        what: str,
        patience: float | None = None,
    ) -> Event:
        """The first message after a time that fits, waited for.

        Raises:
            TimeoutError: none came.
        """

        def find() -> Event | None:
            return next((e for e in self.events if e.at > at and fits(e)), None)

        return self._wait_for(find, what, patience)

    def picture(self, at: float, least: int = 1, patience: float | None = None) -> Event:
        """The first picture after a time that has at least so many pixels along its longer side.

        Raises:
            TimeoutError: none came; in ``patience`` seconds, where that is given.
        """
        what = f"a picture of {least} pixels"
        return self.after(at, lambda e: longer_side(e.message) >= least, what, patience)

    def quiet(self, seconds: float, longest: float) -> list[Event]:
        """Wait until nothing has come for a while, for a time at most; what came, now forgotten."""
        ends = time.perf_counter() + longest
        with self._news:
            while self._news.wait(seconds) and time.perf_counter() < ends:
                pass
            events, self.events = self.events, []
        return events

    def _wait_for(self, find: Callable[[], Any], what: str, patience: float | None = None) -> Any:
        patience = self._patience if patience is None else patience
        with self._news:
            if not self._news.wait_for(lambda: find() is not None, patience):
                raise TimeoutError(f"waited {patience:g} s in vain for {what}")
            return find()

    def _read(self) -> None:
        while True:
            try:
                data = self._socket.recv()
            except ConnectionClosed:
                return
            assert isinstance(data, bytes)
            at = time.perf_counter()
            with self._news:
                for message in _decoded(data):
                    self._take(Event(at, message))
                self._news.notify_all()

    def _take(self, event: Event) -> None:
        message = event.message
        kind = event.kind
        if kind.startswith("Gui") and "props" in message and "uuid" in message:
            state = {**message["props"], "value": message.get("value")}
            self.elements[message["uuid"]] = Element(message["uuid"], kind, state)
        elif kind == "GuiUpdateMessage" and message["uuid"] in self.elements:
            self.elements[message["uuid"]].state.update(message["updates"])
        elif kind == "SetCameraPositionMessage":
            self.pose = replace(self.pose, position=tuple(message["position"]))
        elif kind == "SetCameraFovMessage":
            self.pose = replace(self.pose, fov=message["fov"])
        elif kind == "SetCameraLookAtMessage":
            self.pose = replace(self.pose, look_at=tuple(message["look_at"]))
        self.events.append(event)


def longer_side(message: dict[str, Any]) -> int:
    """Pixels of a background picture along its longer side; 0: it is no picture."""
    data = message.get("rgb_data") if message["type"] == "BackgroundImageMessage" else None
    return max(Image.open(BytesIO(data)).size) if data else 0


def _decoded(data: bytes) -> list[dict[str, Any]]:
    """The messages of a frame: two sizes, compressed msgpack, and what is binary behind it."""
    size = int.from_bytes(data[:SIZES_BYTES], "little")
    packed = int.from_bytes(data[SIZES_BYTES : 2 * SIZES_BYTES], "little")
    start = 2 * SIZES_BYTES
    inner = zstandard.ZstdDecompressor().decompress(data[start : start + packed], size)
    return list(msgspec.msgpack.decode(inner)["messages"])
