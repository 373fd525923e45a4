"""A selection as a mesh of its surface, by marching cubes over its voxels.

The selected voxels are a shell, one voxel thick, of what the photos show. Gaps of up to two voxels
in it are closed and what it then encloses is filled, so that a thing seen from all sides becomes
one closed surface. A thing that stands on something is open below: no photo shows its underside,
and the mesh is a thin shell with an outer and an inner wall.

Marching cubes runs in the unit cube, on the selection's bounding box alone. It knows whole voxels;
where in a voxel the surface was met is known better, so vertices are drawn in to there. A few steps
of Taubin's smoothing, which does not shrink, take off what is left of the staircase; then each
vertex goes to the world, far away through the inverse of the contraction.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
import torch
import trimesh
from jaxtyping import Float, Int, UInt8
from scipy.ndimage import binary_closing, binary_fill_holes
from scipy.sparse import coo_matrix, diags
from scipy.spatial import KDTree
from skimage.measure import marching_cubes

from dff.errors import DffError
from dff.files import atomic_write
from dff.selection.frame import Frame, voxel_corners
from dff.selection.point_cloud import checked_suffix, colour_bytes, selected_voxels
from dff.selection.selection import Selection

SUFFIXES = (".ply", ".obj", ".glb")
# Empty voxels around the box: closing must not touch its sides, and the surface must close.
MARGIN = 3
# Below one half, so that voxels which touch by an edge alone are joined.
LEVEL = 0.45
# Vertices stay so far outside of where surfaces were met, in voxels, that a shell's two walls do
# not fall together; and over how many voxels that place is averaged.
OUTSIDE, AVERAGED = 0.15, 6
# Taubin, "A signal processing approach to fair surface design", SIGGRAPH 1995.
SHRINK, INFLATE, SMOOTHING_STEPS = 0.5, -0.53, 8


@dataclass(frozen=True, eq=False)
class Mesh:
    """A coloured triangle mesh.

    Attributes:
        vertices: (v, 3), world positions.
        faces: (f, 3), numbers of vertices, counter-clockwise seen from outside.
        colours: (v, 3), sRGB.
    """

    vertices: Float[np.ndarray, "v 3"]
    faces: Int[np.ndarray, "f 3"]
    colours: UInt8[np.ndarray, "v 3"]


def mesh_of(selection: Selection, frame: Frame) -> Mesh:
    """The surface of the selected voxels; a vertex takes the colour of the nearest of them.

    Args:
        selection: what is selected.
        frame: where its voxels are.

    Raises:
        DffError: nothing is selected.
    """
    grid = selection.grid
    chosen = selected_voxels(selection)
    corners = voxel_corners(grid.snap.seen[chosen], grid.resolution).numpy()
    low = corners.min(axis=0) - MARGIN
    volume = np.zeros(corners.max(axis=0) - low + MARGIN + 1, dtype=bool)
    volume[tuple((corners - low).T)] = True
    volume |= binary_fill_holes(binary_closing(volume, np.ones((3, 3, 3))))
    vertices, faces, _, _ = cast(
        tuple[np.ndarray, ...],
        marching_cubes(volume.astype(np.float32), LEVEL, gradient_direction="ascent"),
    )
    met = (frame.unit(grid.points[chosen]) * grid.resolution).numpy() - 0.5 - low
    vertices = smoothed(_drawn_in(vertices.astype(np.float64), faces, met), faces)
    nearest = KDTree(met).query(vertices)[1]
    unit = torch.from_numpy((vertices + low + 0.5) / grid.resolution)
    return Mesh(frame.world(unit.float()).numpy(), faces, colour_bytes(grid.rgb[chosen])[nearest])


def write_mesh(path: Path, mesh: Mesh) -> None:
    """Write a mesh as the path's suffix says, atomically.

    Args:
        path: ends in .ply, .obj or .glb.
        mesh: what is written.

    Raises:
        DffError: another suffix, or the file cannot be written.
    """
    suffix = checked_suffix(path, SUFFIXES, "a mesh")
    shape = trimesh.Trimesh(
        mesh.vertices, mesh.faces, vertex_colors=mesh.colours, process=False, validate=False
    )
    content = shape.export(file_type=suffix[1:])
    if not isinstance(content, (bytes, str)):
        raise DffError(f"this version of trimesh cannot write {suffix}: update trimesh")
    with atomic_write(path) as stream:
        stream.write(content.encode("utf-8") if isinstance(content, str) else content)


def _drawn_in(
    vertices: Float[np.ndarray, "v 3"], faces: Int[np.ndarray, "f 3"], met: Float[np.ndarray, "m 3"]
) -> Float[np.ndarray, "v 3"]:
    """Vertices moved in along their normals to just outside of the nearest points on surfaces."""
    normals = trimesh.Trimesh(vertices, faces, process=False, validate=False).vertex_normals
    _, near = KDTree(met).query(vertices, k=min(AVERAGED, len(met)))
    place = met[near.reshape(len(vertices), -1)].mean(axis=1)
    inward = ((place - vertices) * normals).sum(axis=1) + OUTSIDE
    return vertices + normals * np.minimum(inward, 0.0)[:, None]


def smoothed(
    vertices: Float[np.ndarray, "v 3"], faces: Int[np.ndarray, "f 3"]
) -> Float[np.ndarray, "v 3"]:
    """Taubin's smoothing: steps towards the neighbours' mean and, a bit longer, back."""
    edges = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    size = len(vertices)
    graph = coo_matrix((np.ones(len(edges)), tuple(edges.T)), shape=(size, size)).tocsr()
    graph = ((graph + graph.T) > 0).astype(np.float64)
    mean = diags(1 / np.maximum(np.asarray(graph.sum(axis=1)).ravel(), 1)) @ graph
    for _ in range(SMOOTHING_STEPS):
        for step in (SHRINK, INFLATE):
            vertices = vertices + step * (mean @ vertices - vertices)
    return vertices
