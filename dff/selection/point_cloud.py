"""A selection as a coloured point cloud: one point a selected voxel."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from dff.errors import DffError
from dff.files import atomic_write
from dff.selection.refine import SELECTED
from dff.selection.selection import Selection

_VERTEX = np.dtype(
    [
        *((name, "<f4") for name in ("x", "y", "z")),
        *((name, "u1") for name in ("red", "green", "blue")),
        ("selection", "<f4"),
    ]
)
_PLY_TYPES = {"<f4": "float", "<i4": "int", "|u1": "uchar"}


def selected_voxels(selection: Selection) -> torch.Tensor:
    """Numbers of the selected voxels.

    Raises:
        DffError: there are none.
    """
    chosen = (selection.values >= SELECTED).nonzero()[:, 0]
    if len(chosen) == 0:
        raise DffError(
            "the selection is empty, so there is nothing to export: lower its threshold or grow it"
        )
    return chosen


def checked_suffix(path: Path, known: tuple[str, ...], what: str) -> str:
    """The lower-case suffix of a file to write.

    Raises:
        DffError: it is none of those that are known.
    """
    suffix = path.suffix.lower()
    if suffix not in known:
        ends = " or ".join(filter(None, [", ".join(known[:-1]), known[-1]]))
        raise DffError(f"{what} is written to a file that ends in {ends}, not '{path.name}'")
    return suffix


def colour_bytes(rgb: torch.Tensor) -> np.ndarray:
    """Colours in [0, 1] as 8 bits, rounded to the nearest."""
    return (rgb.detach().cpu().clamp(0, 1) * 255 + 0.5).to(torch.uint8).numpy()


def write_point_cloud(path: Path, selection: Selection) -> int:
    """Write the selected voxels as a binary PLY, atomically.

    A vertex is the mean world position of what was seen in its voxel, with its colour as ``red``,
    ``green``, ``blue`` (uchar) and its soft value as ``selection`` (float).

    Args:
        path: ends in .ply.
        selection: what is selected.

    Returns:
        How many points were written.

    Raises:
        DffError: nothing is selected, another suffix, or the file cannot be written.
    """
    checked_suffix(path, (".ply",), "a point cloud")
    chosen = selected_voxels(selection)
    grid = selection.grid
    colours, values = colour_bytes(grid.rgb[chosen]), selection.values[chosen].numpy()
    return write_vertices(path, filled(_VERTEX, grid.points[chosen].numpy(), colours, values))


def filled(layout: np.dtype, *parts: np.ndarray) -> np.ndarray:
    """A table whose columns are those of several arrays, one after the other.

    Args:
        layout: names and types of the columns.
        parts: (n, k) or, for a single column, (n,).
    """
    table = np.empty(len(parts[0]), layout)
    columns = [column for part in parts for column in part.reshape(len(part), -1).T]
    for name, column in zip(layout.names or (), columns, strict=True):
        table[name] = column
    return table


def write_vertices(path: Path, vertices: np.ndarray) -> int:
    """Write a table of vertices as a binary little endian PLY, atomically.

    Args:
        path: the file.
        vertices: (n,), a structured array of ``<f4``, ``<i4`` and ``u1`` fields, one a property.

    Returns:
        How many were written.

    Raises:
        DffError: the file cannot be written.
    """
    table = vertices.dtype
    fields = [f"property {_PLY_TYPES[table[name].str]} {name}" for name in table.names or ()]
    header = [
        "ply",
        "format binary_little_endian 1.0",
        f"element vertex {len(vertices)}",
        *fields,
        "end_header",
    ]
    with atomic_write(path) as stream:
        stream.write(("\n".join(header) + "\n").encode("ascii"))
        stream.write(vertices.tobytes())
    return len(vertices)
