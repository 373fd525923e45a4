"""Surface points as a PLY that any viewer opens."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from dff.export.points import SurfacePoints
from dff.selection.point_cloud import checked_suffix, colour_bytes, write_vertices

_VERTEX = np.dtype(
    [
        *((name, "<f4") for name in ("x", "y", "z", "nx", "ny", "nz")),
        *((name, "u1") for name in ("red", "green", "blue")),
        ("step", "<i4"),
    ]
)


def write_points(path: Path, points: SurfacePoints) -> int:
    """Write points as a binary PLY, atomically.

    A vertex has its place, ``nx``, ``ny``, ``nz`` (float), ``red``, ``green``, ``blue`` (uchar) and
    ``step`` (int): the number of the last step of the edit document that changed it, 0 for none.

    Args:
        path: ends in .ply.
        points: what is written.

    Returns:
        How many were written.

    Raises:
        DffError: another suffix, or the file cannot be written.
    """
    checked_suffix(path, (".ply",), "a point cloud")
    vertices = np.empty(len(points), _VERTEX)
    columns = [points.positions, points.normals]
    for column, name in enumerate(("x", "y", "z", "nx", "ny", "nz")):
        vertices[name] = columns[column // 3][:, column % 3].numpy()
    for column, name in enumerate(("red", "green", "blue")):
        vertices[name] = colour_bytes(points.rgb)[:, column]
    vertices["step"] = points.step.numpy()
    return write_vertices(path, vertices)
