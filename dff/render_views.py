"""Render a list of cameras to images or a video; what is finished is kept."""

from __future__ import annotations

from pathlib import Path

import imageio.v3 as imageio
import numpy as np
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from dff.camera_paths import Shot, dataset_shots, orbit, rescaled
from dff.edits.compiled import CompiledEdits
from dff.errors import DffError
from dff.pictures import to_bytes, write_png, write_video
from dff.scene import Scene

VIDEO_SUFFIXES = (".mp4", ".gif")

__all__ = ["Shot", "dataset_shots", "orbit_shots", "render_shots"]


def orbit_shots(scene: Scene, frames: int) -> list[Shot]:
    """An orbit around what the training cameras look at, at their size."""
    return orbit(scene.training_cameras, frames)


def render_shots(
    scene: Scene,
    shots: list[Shot],
    output_path: Path,
    edits: CompiledEdits | None = None,
    *,
    fps: float = 24.0,
    scale: float = 1.0,
) -> Path:
    """Render cameras in order, with a progress bar.

    Args:
        scene: trained.
        shots: cameras and names.
        output_path: a folder for ``<name>.png``, or a file ending in .mp4 or .gif.
        edits: what is changed.
        fps: of a video, in (0, 1000].
        scale: multiplies the size, in (0, 8].

    Returns:
        Where the result is.

    Raises:
        DffError: no cameras, a size out of range, an unknown video format, a full disk.
    """
    if not shots:
        raise DffError("there is no camera to render from")
    if not 0.0 < scale <= 8.0:
        raise DffError(f"resolution scale must be above 0 and at most 8, not {scale}")
    if not 0.0 < fps <= 1000.0:
        raise DffError(f"frames per second must be above 0 and at most 1000, not {fps}")
    is_video = output_path.suffix in VIDEO_SUFFIXES
    if output_path.suffix and not is_video and not output_path.is_dir():
        raise DffError(
            f"cannot write '{output_path.suffix}': give a folder for images, or a file ending in "
            f"{' or '.join(VIDEO_SUFFIXES)}"
        )
    folder = output_path.with_name(f"{output_path.stem}_frames") if is_video else output_path
    with Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    ) as progress:
        task = progress.add_task("Rendering", total=len(shots))
        for shot in shots:
            outputs = scene.render(rescaled(shot.camera, scale), edits)
            write_png(folder / f"{shot.name}.png", to_bytes(outputs["rgb"]))
            progress.advance(task)
    if is_video:
        frames = [np.asarray(imageio.imread(folder / f"{shot.name}.png")) for shot in shots]
        write_video(output_path, frames, fps)
    return output_path
