"""Every difference between the visers that we work with: 0.2.7, and 1.1 or later."""

from __future__ import annotations

import base64
import errno
import io
import socket
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import viser
from jaxtyping import UInt8
from PIL import Image

from dff.errors import DffError

Tool = Literal["orbit", "pick", "rectangle"]
# Between which shares of the width of a picture the thumb of a slider goes that is below it in a
# folder of a wide panel: as viser shows them, and as viser before 1.0 does.
SLIDER_ENDS, OLD_SLIDER_ENDS = (0.294, 0.834), (0.283, 0.992)
COLOURS = {"error": "red", "notice": "orange", "done": "green"}
SECONDS = {"error": 12.0, "notice": 8.0, "done": 5.0}


def free_port(host: str, port: int) -> int:
    """This port, or the next one at which nobody listens.

    Raises:
        DffError: no port is free there, or there is no such host.
    """
    for candidate in range(port, port + 20):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, candidate))
            except (OSError, OverflowError) as error:
                if getattr(error, "errno", None) == errno.EADDRINUSE:
                    continue
                raise DffError(f"cannot listen at {host}:{port}: {error}") from error
        return candidate
    raise DffError(f"cannot listen at {host}:{port}: no port is free")


def serve(host: str, port: int, label: str) -> viser.ViserServer:
    """A server, at this port or the next free one.

    Raises:
        DffError: no port is free there, or there is no such host.
    """
    free = free_port(host, port)
    return viser.ViserServer(host=host, port=free, label=label, verbose=False)


def notify(
    client: viser.ClientHandle, title: str, line: str, kind: Literal["error", "notice", "done"]
) -> None:
    """Show one line in a person's window, for some seconds."""
    how: dict[str, Any] = {"color": COLOURS[kind]}
    if _has_typed_clicks(client.scene):
        client.add_notification(title, line, auto_close_seconds=SECONDS[kind], **how)
    else:
        client.add_notification(title, line, auto_close=round(1000 * SECONDS[kind]), **how)


def send_file(client: viser.ClientHandle, name: str, content: bytes) -> None:
    """Let a browser save a file, at once; viser before 1.0 offers a link to it."""
    how: dict[str, Any] = {"save_immediately": True} if _has_typed_clicks(client.scene) else {}
    client.send_file_download(name, content, **how)


@dataclass(frozen=True)
class Click:
    """A click in the picture.

    Attributes:
        client: whose.
        x, y: shares of width and height from the upper left corner.
        negative: whether shift was held.
    """

    client: viser.ClientHandle
    x: float
    y: float
    negative: bool


@dataclass(frozen=True)
class Rectangle:
    """A rectangle drawn in the picture: corners (x, y) as shares of width and height."""

    client: viser.ClientHandle
    low: tuple[float, float]
    high: tuple[float, float]


class Pointer:
    """What the mouse does in the picture.

    From viser 1.1 on one orbits while picking, and shift says that a click is negative. Before,
    picking takes the mouse until the click is done; then the tool is ``orbit`` again.

    Args:
        server: whose picture.
        clicked, framed: told of what was done.
        disarmed: told when the tool went back to ``orbit`` by itself.
    """

    def __init__(
        self,
        server: viser.ViserServer,
        clicked: Callable[[Click], None],
        framed: Callable[[Rectangle], None],
        disarmed: Callable[[], None],
    ) -> None:
        self._scene: Any = server.scene
        self._clicked, self._framed, self._disarmed = clicked, framed, disarmed
        self._tool: Tool = "orbit"

    def use(self, tool: Tool) -> None:
        """Take up a tool."""
        self._put_down()
        self._tool = tool
        if tool == "orbit":
            return
        if not _has_typed_clicks(self._scene):
            kind = "click" if tool == "pick" else "rect-select"
            self._scene.on_pointer_event(kind)(self._pointed)
        elif tool == "pick":
            self._scene.on_click()(self._click)
            self._scene.on_click(modifier="shift")(self._negative_click)
        else:
            self._scene.on_rect_select()(self._rectangle)

    def _put_down(self) -> None:
        if self._tool == "orbit":
            return
        if _has_typed_clicks(self._scene):
            self._scene.remove_click_callback()
            self._scene.remove_rect_select_callback()
        else:
            self._scene.remove_pointer_callback()
        self._tool = "orbit"

    def _click(self, event: Any) -> None:
        self._clicked(_click(event, event.screen_pos, False))

    def _negative_click(self, event: Any) -> None:
        self._clicked(_click(event, event.screen_pos, True))

    def _rectangle(self, event: Any) -> None:
        self.use("orbit")
        self._disarmed()
        self._framed(Rectangle(event.client, tuple(event.screen_min), tuple(event.screen_max)))

    def _pointed(self, event: Any) -> None:
        self.use("orbit")
        self._disarmed()
        if event.event_type == "click":
            self._clicked(_click(event, event.screen_pos[0], False))
        else:
            self._framed(Rectangle(event.client, *(tuple(each) for each in event.screen_pos[:2])))


def _click(event: Any, place: Sequence[float], negative: bool) -> Click:
    return Click(event.client, float(place[0]), float(place[1]), negative)


class ShownPicture:
    """A picture in a panel; viser before 1.0 knows pictures in texts only.

    Args:
        gui: of viser.
        picture: the first one.
    """

    def __init__(self, gui: Any, picture: UInt8[np.ndarray, "h w 3"]) -> None:
        self._in_text = not hasattr(gui, "add_image")
        if self._in_text:
            # Without a folder that viser warns of every picture, though none is a file.
            text, root = _as_markdown(picture), Path(tempfile.gettempdir())
            self._handle = gui.add_markdown(text, image_root=root)
        else:
            self._handle = gui.add_image(picture, format="png")

    @property
    def visible(self) -> bool:
        """Whether it is shown."""
        return self._handle.visible

    @visible.setter
    def visible(self, value: bool) -> None:
        self._handle.visible = value

    @property
    def slider_ends(self) -> tuple[float, float]:
        """Where the ends of a slider below it are, as shares of its width."""
        return OLD_SLIDER_ENDS if self._in_text else SLIDER_ENDS

    def show(self, picture: UInt8[np.ndarray, "h w 3"]) -> None:
        """Another picture in its place."""
        if self._in_text:
            self._handle.content = _as_markdown(picture)
        else:
            self._handle.image = picture


def _as_markdown(picture: UInt8[np.ndarray, "h w 3"]) -> str:
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, format="PNG")
    return f"![picture](data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()})"


def add_shortcuts(
    gui: Any, shortcuts: Sequence[tuple[str, str, str | None, Callable[[Any], None]]]
) -> bool:
    """Keys for actions: label, key, modifiers, what is done.

    Returns:
        Whether this viser knows keys.
    """
    if not hasattr(gui, "add_command"):
        return False
    for label, key, modifier, action in shortcuts:
        command = gui.add_command(label, hotkey=key, modifier=modifier)
        command.on_trigger(action)
    return True


def add_frustum(scene: Any, name: str, **how: Any) -> Any:
    """A camera in the picture, in lines as thin as viser before 1.0 draws them at any distance."""
    if _has_typed_clicks(scene):
        how = {**how, "thickness": 1.5, "thickness_units": "screen"}
    return scene.add_camera_frustum(name, **how)


def phase_of(pull: Any) -> Literal["start", "update", "end"] | None:
    """Where in one pull at handles in the picture an event is; None: viser before 1.0 knows not."""
    return getattr(pull, "phase", None)


def _has_typed_clicks(scene: Any) -> bool:
    return hasattr(scene, "on_click")
