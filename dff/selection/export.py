"""A selection as files for other programs, by the name of a format."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, get_args

from dff.selection.frame import Frame
from dff.selection.mask_formats import write_mask_volume
from dff.selection.mesh import mesh_of, write_mesh
from dff.selection.point_cloud import selected_voxels, write_point_cloud
from dff.selection.selection import Selection

SolidFormat = Literal["points", "mesh-ply", "mesh-obj", "mesh-glb", "volume"]
"""``points``: PLY of the selected voxels; ``mesh-...``: their surface; ``volume``: NPZ."""


def export_selection(
    selection: Selection, frame: Frame, folder: Path, formats: Sequence[SolidFormat]
) -> list[Path]:
    """Write a selection in some formats: ``points.ply``, ``mesh.<suffix>``, ``volume.npz``.

    Args:
        selection: what is selected.
        frame: where its voxels are.
        folder: is made where it is missing.
        formats: which; each is written once.

    Returns:
        The files, in the order of the formats.

    Raises:
        DffError: nothing is selected, or a file cannot be written.
    """
    selected_voxels(selection)
    unknown = [name for name in formats if name not in get_args(SolidFormat)]
    if unknown:
        raise ValueError(f"no such format: {unknown[0]}")
    mesh = None
    written = []
    for name in dict.fromkeys(formats):
        if name == "points":
            path = folder / "points.ply"
            write_point_cloud(path, selection)
        elif name == "volume":
            path = folder / "volume.npz"
            write_mask_volume(path, selection, frame)
        else:
            path = folder / f"mesh.{name.removeprefix('mesh-')}"
            mesh = mesh or mesh_of(selection, frame)
            write_mesh(path, mesh)
        written.append(path)
    return written
