"""Render a list of cameras to images or a video; what is finished is kept."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import imageio.v3 as imageio
import numpy as np
from jaxtyping import UInt8
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from dff.camera_paths import Shot, dataset_shots, orbit, rescaled, spiral
from dff.data.sharding import Ranks
from dff.depth_images import write_depth
from dff.edits.compiled import CompiledEdits
from dff.errors import DffError, notice_in_one_line
from dff.finished_frames import frame_note, is_finished, prepare_folder
from dff.pictures import (
    VIDEO_SUFFIXES,
    side_by_side,
    to_bytes,
    write_jpeg,
    write_png,
    write_video,
)
from dff.scene import Scene

__all__ = [
    "RenderOptions",
    "Shot",
    "dataset_shots",
    "orbit_shots",
    "render_shots",
    "spiral_shots",
]

ImageFormat = Literal["png", "jpeg"]


@dataclass(frozen=True)
class RenderOptions:
    """How frames are rendered and written.

    Attributes:
        fps: of a video, in (0, 1000].
        scale: multiplies the size, in (0, 8].
        image_format: png (RGB, or RGBA where the background is transparent) or jpeg; the frames of
            a video are kept as png.
        depth: adds ``<name>_depth.exr`` for each frame, see `dff.depth_images`.
        overwrite: render frames that are finished again, and write over files that are not ours.
    """

    fps: float = 24.0
    scale: float = 1.0
    image_format: ImageFormat = "png"
    depth: bool = False
    overwrite: bool = False

    def check(self, output_path: Path) -> None:
        """Refuse what cannot be done.

        Raises:
            DffError: a number out of range, a video format that is not known.
        """
        if not 0.0 < self.scale <= 8.0:
            raise DffError(f"resolution scale must be above 0 and at most 8, not {self.scale}")
        if not 0.0 < self.fps <= 1000.0:
            raise DffError(f"frames per second must be above 0 and at most 1000, not {self.fps}")
        if is_video(output_path):
            if self.image_format != "png":
                raise DffError("the frames of a video are png: leave out --image-format")
            if output_path.is_dir():
                raise DffError(f"cannot write {output_path}: it is a folder")
        elif any(map(str.isalpha, output_path.suffix)) and not output_path.is_dir():
            raise DffError(
                f"cannot write '{output_path.suffix}': give a folder for images, or a file ending "
                f"in {', '.join(VIDEO_SUFFIXES)}"
            )


def is_video(output_path: Path) -> bool:
    """Whether a path names a video, not a folder of images."""
    return output_path.suffix.lower() in VIDEO_SUFFIXES


def orbit_shots(scene: Scene, frames: int) -> list[Shot]:
    """An orbit around what the training cameras look at, at their size."""
    return orbit(scene.training_cameras, frames)


def spiral_shots(scene: Scene, frames: int) -> list[Shot]:
    """A spiral in front of what the training cameras look at, at their size."""
    return spiral(scene.training_cameras, frames)


def render_shots(
    scene: Scene,
    shots: Sequence[Shot],
    output_path: Path,
    *panels: CompiledEdits | None,
    options: RenderOptions = RenderOptions(),
    identity: str = "",
    ranks: Ranks | None = None,
    on_share: Callable[[float], object] = lambda share: None,
) -> Path:
    """Render cameras, with a progress bar; frames that an earlier run finished are kept.

    Args:
        scene: trained.
        shots: cameras and names.
        output_path: a folder for ``<name>.png``, or a file ending in .mp4, .gif or .webp, whose
            frames are kept in ``<stem>_frames`` beside it.
        panels: what is changed; several are rendered side by side, None is the scene as it is.
        options: how.
        identity: of scene and panels, see `dff.finished_frames.identity_of`; without one no frame
            is taken for finished.
        ranks: processes that share the frames, each of which calls this; by default this one
            alone.
        on_share: told the share of the frames that is done; what it raises ends the work, and what
            is finished is kept.

    Returns:
        Where the result is.

    Raises:
        DffError: no cameras, an option out of range, a file in the way that is not ours, a full
            disk, a place that cannot be written.
    """
    options.check(output_path)
    ranks = ranks or Ranks()
    if not shots:
        raise DffError("there is no camera to render from")
    panels = panels or (None,)
    transparent = any(edits and edits.background == "transparent" for edits in panels)
    if transparent and options.image_format == "jpeg":
        raise DffError("a jpeg cannot be transparent: leave out --image-format jpeg")
    if transparent and output_path.suffix.lower() == ".mp4":
        ranks.once(
            lambda: notice_in_one_line(
                "an mp4 cannot be transparent: it shows black there, a .webp or .gif nothing"
            )
        )
    shots = [Shot(shot.name, rescaled(shot.camera, options.scale)) for shot in shots]
    video = is_video(output_path)
    if video:
        _check_sizes(shots)
    folder = output_path.with_name(f"{output_path.stem}_frames") if video else output_path
    frames = [_Frame(shot, folder, options, identity) for shot in shots]

    ranks.once(
        lambda: [prepare_folder(place) for place in (folder, output_path.parent)[: 1 + video]]
    )
    mine, missing = frames[ranks.rank :: ranks.count], []

    def survey() -> None:
        anew = options.overwrite
        missing.extend(f for f in mine if anew or not is_finished(f.paths, f.note))

    ranks.share(survey)
    _render(scene, missing, panels, len(mine) - len(missing), ranks, on_share)
    # Not before all are there, or the video would lack some.
    ranks.share(lambda: None)
    if video:
        ranks.once(lambda: _join(frames, output_path, options.fps))
    return output_path


class _Frame:
    """One frame: its camera, its files, and what is noted in them."""

    def __init__(self, shot: Shot, folder: Path, options: RenderOptions, identity: str) -> None:
        self.camera = shot.camera
        self.note = frame_note(identity, shot.camera)
        self.picture = folder / f"{shot.name}{'.jpg' if options.image_format == 'jpeg' else '.png'}"
        self.depth = folder / f"{shot.name}_depth.exr" if options.depth else None

    @property
    def paths(self) -> list[Path]:
        """Its files."""
        return [self.picture] if self.depth is None else [self.picture, self.depth]

    def render(
        self,
        scene: Scene,
        panels: Sequence[CompiledEdits | None],
        on_share: Callable[[float], object],
    ) -> None:
        """Render and write it; told the share that is done."""
        pictures, depths = [], []
        for place, edits in enumerate(panels):

            def on_rows(share: float, before: int = place) -> None:
                on_share((before + share) / len(panels))

            outputs = scene.render(self.camera, edits, on_rows=on_rows)
            pictures.append(to_bytes(outputs.get("rgba", outputs["rgb"])))
            depths.append(outputs["depth"][..., 0].cpu().numpy())
        if self.depth is not None:
            write_depth(self.depth, np.concatenate(depths, axis=1), self.note)
        write = write_jpeg if self.picture.suffix == ".jpg" else write_png
        write(self.picture, side_by_side(pictures), self.note)


def _render(
    scene: Scene,
    missing: Sequence[_Frame],
    panels: Sequence[CompiledEdits | None],
    finished: int,
    ranks: Ranks,
    on_share: Callable[[float], object],
) -> None:
    """Render one rank's frames that are not finished."""
    total = finished + len(missing)
    if finished and ranks.first:
        print(f"{finished} of {total} frames are finished: kept")
    doing = "Rendering" if ranks.count == 1 else f"Rendering, first of {ranks.count} processes"
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        disable=not ranks.first,
    ) as progress:
        task = progress.add_task(doing, total=total, completed=finished)
        for number, frame in enumerate(missing, finished):

            def done(share: float, before: int = number) -> None:
                # A frame counts as done once it is written.
                progress.update(task, completed=before + 0.99 * share)
                on_share((before + 0.99 * share) / total)

            frame.render(scene, panels, done)
            progress.update(task, completed=number + 1)


def _join(frames: Sequence[_Frame], path: Path, fps: float) -> None:
    """Make a video of finished frames."""

    def pictures() -> Iterator[UInt8[np.ndarray, "h w c"]]:
        with Progress(
            TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn()
        ) as progress:
            for frame in progress.track(frames, description="Encoding"):
                try:
                    yield np.asarray(imageio.imread(frame.picture))
                except FileNotFoundError as error:
                    raise DffError(
                        f"{frame.picture} is gone: all processes must see the same --output-path"
                    ) from error

    write_video(path, pictures(), fps)


def _check_sizes(shots: Sequence[Shot]) -> None:
    """Refuse a video of pictures of different sizes.

    Raises:
        DffError: there are some.
    """
    named = {}
    for shot in shots:
        size = int(shot.camera.width.item()), int(shot.camera.height.item())
        named.setdefault(size, shot.name)
    if len(named) > 1:
        (first, one), (second, other) = list(named.items())[:2]
        raise DffError(
            f"a video needs frames of one size: {one} has {first[0]}x{first[1]}, {other} "
            f"{second[0]}x{second[1]}; give a folder for images, or --frames of one size"
        )
