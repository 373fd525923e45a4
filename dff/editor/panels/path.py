"""Camera paths: places to fly through, looked at before, kept as nerfstudio does, rendered."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from dff.camera_paths import Shot
from dff.editor.elements import put
from dff.editor.flights import Flight, flown, path_file
from dff.errors import DffError
from dff.files import atomic_write, plain_name
from dff.pictures import VIDEO_SUFFIXES

if TYPE_CHECKING:
    from dff.editor.app import Editor

FORMATS = tuple(suffix.lstrip(".") for suffix in VIDEO_SUFFIXES)
HEIGHTS = {"240": 240, "360": 360, "480": 480, "720": 720, "1080": 1080}
PREVIEW_STEP = 0.1


class PathPanel:
    """See the module's docstring.

    Args:
        editor: whose.
    """

    def __init__(self, editor: Editor) -> None:
        self._editor = editor
        self._flight = Flight()
        gui: Any = editor.server.gui
        self._now = gui.add_markdown("")
        self._add = gui.add_button("Add this view", color="blue")
        self._back = gui.add_button("Take the last one back")
        self._clear = gui.add_button("Begin anew")
        self._seconds = gui.add_number("Seconds", initial_value=4.0, min=0.1, max=600.0, step=0.1)
        self._fps = gui.add_number("Frames a second", initial_value=24, min=1, max=60, step=1)
        self._height = gui.add_dropdown("Height", tuple(HEIGHTS), initial_value="480")
        self._loop = gui.add_checkbox("Fly back to the start", initial_value=False)
        self._preview = gui.add_button(
            "Preview", hint="press again to end it, or move the camera yourself"
        )
        self._name = gui.add_text("Name", initial_value="flight")
        self._save = gui.add_button("Save as nerfstudio's JSON")
        self._format = gui.add_dropdown("Video", FORMATS, initial_value=FORMATS[0])
        self._render = gui.add_button("Render the video")
        self._add.on_click(lambda event: editor.do(lambda: self._add_view(event), event.client))
        editor.on_click(self._back, self._take_back)
        self._clear.on_click(lambda event: editor.do(lambda: self._begin_anew(event), event.client))
        self._preview.on_click(self._fly)
        editor.on_press(self._save, self._named_settings, self._keep)
        editor.on_press(
            self._render, lambda: (*self._named_settings(), self._format.value), self._film
        )

    def refresh(self) -> None:
        """Show how long it is."""
        count = len(self._flight.eyes)
        text = f"{count} view{'s' * (count != 1)}" if count else "Add views to fly through them."
        put(self._now, content=text)

    def _add_view(self, event: Any) -> None:
        self._flight = self._flight.with_eye(self._editor.window_of(event.client).eye)

    def _take_back(self) -> None:
        self._flight = dataclasses.replace(self._flight, eyes=self._flight.eyes[:-1])

    def _begin_anew(self, event: Any) -> None:
        self._editor.end_preview(event.client)
        self._flight = Flight()

    def _settings(self) -> dict[str, Any]:
        """Of a flight, all but its views."""
        return {
            "seconds": float(self._seconds.value),
            "fps": float(self._fps.value),
            "height": HEIGHTS[self._height.value],
            "loop": bool(self._loop.value),
        }

    def _fly(self, event: Any) -> None:
        """Show the flight to who pressed, or end it, which nothing has to be waited for."""
        if event.client is None or self._editor.end_preview(event.client):
            return
        settings = {**self._settings(), "fps": 1 / PREVIEW_STEP}

        def fly() -> None:
            eyes = flown(dataclasses.replace(self._flight, **settings))
            self._editor.window_of(event.client).preview.start(eyes, PREVIEW_STEP)

        self._editor.do(fly, event.client)

    def _named_settings(self) -> tuple[str, dict[str, Any]]:
        name = plain_name(self._name.value.strip())
        if not name:
            raise DffError("give the path a name first")
        return name, self._settings()

    def _keep(self, named: tuple[str, dict[str, Any]], client: Any) -> None:
        stem, settings = named
        path = self._editor.session.folder / "paths" / f"{stem}.json"
        flight = dataclasses.replace(self._flight, **settings)
        content = json.dumps(path_file(flight), indent=1).encode()
        with atomic_write(path) as stream:
            stream.write(content)
        self._editor.send(client, path.name, content)
        self._editor.say(f"saved as {path}", "done", client)

    def _film(self, named: tuple[str, dict[str, Any], str], client: Any) -> None:
        from dff.render_views import RenderOptions, render_shots

        stem, settings, suffix = named
        flight = dataclasses.replace(self._flight, **settings)
        eyes = flown(flight)
        session = self._editor.session
        scene, edits = session.scene, session.work.edits
        size = round(flight.height * max(1.0, flight.aspect))
        shots = [Shot(f"{number:05d}", eye.camera(size)) for number, eye in enumerate(eyes)]
        path = session.folder / "videos" / f"{stem}.{suffix}"
        options = RenderOptions(fps=flight.fps, overwrite=True)

        def work(progress: Callable[[float], None]) -> str:
            render_shots(scene, shots, path, edits, options=options, on_share=progress)
            self._editor.send(client, path.name, path.read_bytes())
            return f"{len(shots)} frames in {path}"

        self._editor.tasks.start(f"Rendering {path.name}", work)
