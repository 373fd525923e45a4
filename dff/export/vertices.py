"""Surface points as a PLY that any viewer opens."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from dff.export.points import SurfacePoints
from dff.selection.point_cloud import checked_suffix, colour_bytes, filled, write_vertices

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
    places, normals = points.positions.numpy(), points.normals.numpy()
    colours, steps = colour_bytes(points.rgb), points.step.numpy()
    return write_vertices(path, filled(_VERTEX, places, normals, colours, steps))
