"""Export a scene, edited or not, to one file."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from dff.edits.compiled import CompiledEdits
from dff.errors import DffError
from dff.export.coordinates import Coordinates
from dff.export.mesh import surface_mesh
from dff.export.points import surface_points
from dff.export.splats import splats_of, write_splats
from dff.export.vertices import write_points
from dff.export.views import render_views
from dff.scene import Scene
from dff.selection.frame import Frame
from dff.selection.mesh import SUFFIXES as MESH_SUFFIXES
from dff.selection.mesh import write_mesh
from dff.selection.point_cloud import checked_suffix

Format = Literal["points", "mesh", "splats"]
_SUFFIXES = {"points": (".ply",), "mesh": MESH_SUFFIXES, "splats": (".ply",)}
_WHAT = {"points": "a point cloud", "mesh": "a mesh", "splats": "a file of Gaussian splats"}
# Voxels along two units of the scene, the longest side of the box that holds the cameras.
RESOLUTION = {"points": 512, "mesh": 256, "splats": 384}
LEAST_RESOLUTION, MOST_RESOLUTION = 16, 1024
LEAST_RAYS, MOST_RAYS = 1_000, 50_000_000


@dataclass(frozen=True)
class ExportOptions:
    """What to write, and how finely.

    Attributes:
        path: the file.
        format: None: by the suffix, a mesh for .obj and .glb, else points.
        resolution: see `RESOLUTION`, of which there is one for each format; 16 to 1024.
        rays: about how many are looked along, 1,000 to 50 million.
        scale: ``world``: coordinates of the scene, as nerfstudio's exporters; ``capture``: of the
            cameras as they were given.
        background: also what is far away, where space is contracted; None: not in a mesh.
    """

    path: Path
    format: Format | None = None
    resolution: int | None = None
    rays: int = 1_000_000
    scale: Literal["world", "capture"] = "world"
    background: bool | None = None

    @property
    def kind(self) -> Format:
        """The format."""
        if self.format is not None:
            return self.format
        return "mesh" if self.path.suffix.lower() in (".obj", ".glb") else "points"

    def check(self) -> None:
        """Say what is wrong before anything is rendered.

        Raises:
            DffError: another suffix, a number out of range, or a place that cannot be written.
        """
        checked_suffix(self.path, _SUFFIXES[self.kind], _WHAT[self.kind])
        finest = RESOLUTION[self.kind] if self.resolution is None else self.resolution
        if not LEAST_RESOLUTION <= finest <= MOST_RESOLUTION:
            raise DffError(
                f"resolution must be {LEAST_RESOLUTION} to {MOST_RESOLUTION}, not {finest}"
            )
        if not LEAST_RAYS <= self.rays <= MOST_RAYS:
            raise DffError(f"rays must be {LEAST_RAYS} to {MOST_RAYS}, not {self.rays}")
        if self.path.is_dir():
            raise DffError(f"cannot write {self.path}: there is a folder of that name")
        above = next(place for place in self.path.absolute().parents if place.exists())
        if not above.is_dir() or not os.access(above, os.W_OK | os.X_OK):
            raise DffError(f"cannot write {self.path}: {above} is no folder that may be written to")


def export_scene(
    scene: Scene,
    options: ExportOptions,
    edits: CompiledEdits | None = None,
    steps: Sequence[int] = (),
    on_share: Callable[[float], object] = lambda share: None,
) -> str:
    """Write a scene.

    Args:
        scene: trained.
        options: what to write.
        edits: what is changed.
        steps: the numbers of its steps, which points keep; 1, 2, ... where there are none.
        on_share: told the share of the pictures that is rendered; what it raises ends the work.

    Returns:
        What was written, in a sentence.

    Raises:
        DffError: options out of range, nothing is left of the scene, or the file cannot be written.
    """
    options.check()
    kind = options.kind
    frame = Frame.of(scene.model.field)
    resolution = (options.resolution or RESOLUTION[kind]) * (2 if frame.contracted else 1)
    background = kind != "mesh" if options.background is None else options.background
    parsed = scene.pipeline.datamanager.train_dataparser_outputs
    there = Coordinates.of_capture(parsed) if options.scale == "capture" else None
    views = render_views(scene, edits, steps, options.rays, on_share)
    before = options.path.exists()
    if kind == "mesh":
        mesh = surface_mesh(views, frame, resolution, background)
        write_mesh(options.path, mesh if there is None else there.mesh(mesh))
        counted = f"a mesh of {len(mesh.vertices):,} vertices and {len(mesh.faces):,} faces"
    else:
        points = surface_points(views, frame, resolution, background)
        points = points if there is None else there.points(points)
        if kind == "splats":
            counted = f"{write_splats(options.path, splats_of(points)):,} splats"
        else:
            counted = f"{write_points(options.path, points):,} points"
    replaced = " (the file that was there is replaced)" if before else ""
    return f"{counted} in {options.path}{replaced}"
