"""The surface as a coloured mesh, from the depth that the views show."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from dff.errors import DffError
from dff.export.looking import mean_colours
from dff.export.points import TOLERANCE, is_shown
from dff.export.tsdf import fuse, surface
from dff.export.views import PinholeView
from dff.selection.frame import Frame
from dff.selection.mesh import Mesh, smoothed
from dff.selection.point_cloud import colour_bytes

# Pieces of fewer triangles are crumbs.
CRUMB = 60


def surface_mesh(
    views: Sequence[PinholeView], frame: Frame, resolution: int, background: bool = False
) -> Mesh:
    """Fuse what the views show.

    Args:
        views: of one scene.
        frame: from the world to the unit cube.
        resolution: voxels along a side of the unit cube.
        background: go on where space is contracted.

    Raises:
        DffError: no surface is found.
    """
    unit, faces = surface(fuse(views, frame, resolution, background))
    world = frame.world(torch.from_numpy(unit).float())
    kept = is_shown(world, views, frame).numpy() if len(world) else np.zeros(0, dtype=bool)
    vertices, faces = _without(world.double().numpy(), faces, kept)
    if len(faces) == 0:
        raise DffError(
            "there is no mesh to export: the training cameras agree on no surface of any size "
            "(a higher --rays or another --resolution may help)"
        )
    vertices = smoothed(vertices, faces)
    places = torch.from_numpy(vertices).float()
    rgb = mean_colours(places, views, TOLERANCE * frame.stretch(places))
    return Mesh(vertices.astype(np.float32), faces, colour_bytes(rgb))


def _without(
    vertices: Float[np.ndarray, "v 3"], faces: Int[np.ndarray, "f 3"], kept: Bool[np.ndarray, " v"]
) -> tuple[Float[np.ndarray, "w 3"], Int[np.ndarray, "g 3"]]:
    """Faces all of whose vertices are kept, in pieces that are no crumbs."""
    faces = faces[kept[faces].all(axis=1)]
    edges = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]]])
    graph = coo_matrix((np.ones(len(edges), bool), tuple(edges.T)), shape=(len(vertices),) * 2)
    piece = connected_components(graph, directed=False)[1][faces[:, 0]]
    faces = faces[np.bincount(piece)[piece] >= CRUMB] if len(faces) else faces
    used, renumbered = np.unique(faces, return_inverse=True)
    return vertices[used], renumbered.reshape(-1, 3)
