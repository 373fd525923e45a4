"""``dff render``: edited (or plain) novel views, as images or video."""

from __future__ import annotations

import dataclasses
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from dff.errors import UsageError

if TYPE_CHECKING:
    from dff.camera_paths import Shot
    from dff.data.sharding import Ranks
    from dff.edits.compiled import CompiledEdits
    from dff.scene import Scene


@dataclass
class Render:
    """Render a scene with edits applied, or write the configuration of the edited scene.

    Cameras come from a nerfstudio camera path, go round or spiral before what the capture looks at,
    or are the capture's own. Run again after an interruption, it renders only the frames that are
    missing or show another edit, checkpoint or camera. To share the frames between processes give
    --jobs, or between machines torchrun --nproc-per-node N -m dff.cli render ...
    """

    load_config: Path
    """The config.yml that training wrote, or an edited.yml, whose edits are applied first."""
    output_path: Path | None = None
    """A folder for images, or a file ending in .mp4, .gif or .webp for a video, whose frames are
    kept in NAME_frames beside it."""
    edits: tuple[Path, ...] = ()
    """Edit documents (YAML or JSON). Several act one after the other; a step refers to
    those of its own document."""
    side_by_side: bool = False
    """Before | after. With several documents: before | the first alone | the second alone | ..."""
    write_config: Path | None = None
    """Write an edited.yml: ns-render, ns-viewer and ns-export show the edited scene with it."""
    trust: tuple[Path, ...] = ()
    """Folders with other trained scenes that the documents may insert from."""
    camera_path: Path | None = None
    """A camera path saved by nerfstudio's viewer; its own size and frame rate are used."""
    trajectory: Literal["orbit", "spiral", "dataset"] = "orbit"
    """Where there is no camera path: an orbit round what the capture looks at, a spiral before it,
    or the capture's own cameras."""
    num_frames: int = 48
    """Frames of the orbit or spiral."""
    fps: float = 24.0
    """Frames per second of a video without camera path."""
    split: Literal["train", "eval", "all"] = "eval"
    """Which of the capture's cameras (trajectory dataset)."""
    frames: tuple[str, ...] = ()
    """Stems of image files, instead of a split (trajectory dataset)."""
    resolution_scale: float = 1.0
    """Multiplies the size of the images."""
    image_format: Literal["png", "jpeg"] = "png"
    """Format of images; png is transparent (RGBA) where a background step makes it so."""
    depth: bool = False
    """Write NAME_depth.exr for each frame too: distance along the ray in units of the scene."""
    jobs: int = 1
    """Processes that share the frames, each with its part of the CPU's threads, or its own GPU."""
    device: str = "auto"
    """Where to render: auto (a GPU if there is one), cpu, cuda."""
    overwrite: bool = False
    """Render finished frames again, and write over pictures that dff render did not make."""

    def run(self) -> None:
        """Render, in as many processes as asked for."""
        from dff.data.sharding import current_ranks, launched_ranks
        from dff.local_jobs import run_jobs, stopped_in_order

        self._check()
        if self.jobs != 1:
            self._write_config()
            run_jobs(dataclasses.replace(self, jobs=1, write_config=None).run, self.jobs)
            return
        with stopped_in_order(), launched_ranks(), current_ranks() as ranks:
            ranks.once(self._write_config)
            if self.output_path is not None:
                self._render(self.output_path, ranks)

    def _check(self) -> None:
        """Refuse what does not go together, before anything is loaded."""
        if self.output_path is None and self.write_config is None:
            raise UsageError("give --output-path to render, --write-config for nerfstudio, or both")
        if self.write_config is not None and not self.edits:
            raise UsageError("--write-config is of an edited scene: give --edits too")
        if self.frames and (self.trajectory != "dataset" or self.camera_path is not None):
            raise UsageError("--frames are the capture's own: give --trajectory dataset with them")

    def _write_config(self) -> None:
        from dff.edited_config import write_edited_config

        if self.write_config is not None:
            write_edited_config(self.load_config, self.write_config, self.edits, self.trust)
            print(
                f"edited scene in {self.write_config}: ns-viewer --load-config {self.write_config}"
            )

    def _render(self, output_path: Path, ranks: Ranks) -> None:
        from dff.finished_frames import identity_of
        from dff.render_views import RenderOptions, render_shots

        options = RenderOptions(
            self.fps, self.resolution_scale, self.image_format, self.depth, self.overwrite
        )
        options.check(output_path)
        prepared: list[tuple[Scene, list[Shot], list[CompiledEdits | None], str, float]] = []

        def prepare() -> None:
            path_shots, fps = self._path()
            scene, panels, identities = self._edited(ranks)
            shots = self._shots(scene) if path_shots is None else path_shots
            prepared.append((scene, shots, panels, identity_of(scene, identities), fps))

        # All of them, or none: what is wrong with the input is said once.
        ranks.share(prepare)
        scene, shots, panels, identity, fps = prepared[0]
        options = dataclasses.replace(options, fps=fps)
        written = render_shots(
            scene, shots, output_path, *panels, options=options, identity=identity, ranks=ranks
        )
        if ranks.first:
            print(f"{len(shots)} frames in {written}")

    def _path(self) -> tuple[list[Shot] | None, float]:
        """Cameras of the camera path, if one is given, and the frame rate."""
        from dff.camera_paths import read_camera_path

        return (None, self.fps) if self.camera_path is None else read_camera_path(self.camera_path)

    def _edited(self, ranks: Ranks) -> tuple[Scene, list[CompiledEdits | None], list[str]]:
        """The scene, and for each picture of a frame its edits and their identity."""
        from dff.data.sharding import choose_device
        from dff.edited_config import all_documents
        from dff.errors import notice_in_one_line
        from dff.scene import load
        from dff.stacked_documents import StackedDocuments

        documents, trusted = all_documents(self.load_config, self.edits, self.trust)
        if self.side_by_side and not documents:
            raise UsageError("--side-by-side shows before and after: give --edits too")
        each = [(path,) for path in documents] if self.side_by_side else [documents]
        stacks = [StackedDocuments.read(paths, trusted) if paths else None for paths in each]
        if self.side_by_side:
            stacks.insert(0, None)
        device = choose_device(self.device, int(os.environ.get("LOCAL_RANK", "0")))
        scene = load(self.load_config, device)
        notice = notice_in_one_line if ranks.first else lambda line: None
        panels = [None if s is None else s.compile(scene, trusted, notice) for s in stacks]
        return scene, panels, ["" if s is None else s.identity for s in stacks]

    def _shots(self, scene: Scene) -> list[Shot]:
        from dff.render_views import dataset_shots, orbit_shots, spiral_shots

        if self.trajectory == "dataset":
            return dataset_shots(scene.views(self.split, self.frames or None))
        make = orbit_shots if self.trajectory == "orbit" else spiral_shots
        return make(scene, self.num_frames)
