"""``dff render``: edited (or plain) novel views, as images or video."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal


@dataclass
class Render:
    """Render a scene with an edit document applied.

    Cameras come from a nerfstudio camera path, from an orbit around what the capture looks at, or
    are the capture's own.
    """

    load_config: Path
    """The config.yml that training wrote."""
    output_path: Path
    """A folder for images, or a file ending in .mp4 or .gif for a video."""
    edits: Path | None = None
    """The edit document (YAML or JSON); without it the scene is rendered as it is."""
    camera_path: Path | None = None
    """A camera path saved by nerfstudio's viewer; its own size and frame rate are used."""
    trajectory: Literal["orbit", "dataset"] = "orbit"
    """Where there is no camera path: an orbit, or the capture's own cameras."""
    num_frames: int = 48
    """Frames of the orbit."""
    fps: float = 24.0
    """Frames per second of a video without camera path."""
    split: Literal["train", "eval", "all"] = "eval"
    """Which of the capture's cameras (trajectory dataset)."""
    frames: tuple[str, ...] = ()
    """Stems of image files, instead of a split (trajectory dataset)."""
    resolution_scale: float = 1.0
    """Multiplies the size of the images."""

    def run(self) -> None:
        """Render."""
        from dff.camera_paths import read_camera_path
        from dff.edits.storage import load_document
        from dff.render_views import Shot, dataset_shots, orbit_shots, render_shots
        from dff.scene import load

        document = load_document(self.edits) if self.edits is not None else None
        fps = self.fps
        path_shots: list[Shot] | None = None
        if self.camera_path is not None:
            path_shots, fps = read_camera_path(self.camera_path)
        scene = load(self.load_config)
        edits = None
        if document is not None and self.edits is not None:
            edits = scene.compile(document, self.edits.parent)
        if path_shots is not None:
            shots = path_shots
        elif self.trajectory == "orbit":
            shots = orbit_shots(scene, self.num_frames)
        else:
            shots = dataset_shots(scene.views(self.split, self.frames or None))
        written = render_shots(
            scene, shots, self.output_path, edits, fps=fps, scale=self.resolution_scale
        )
        print(f"{len(shots)} frames in {written}")
