"""Depth of many views fused to one surface: a truncated signed distance on voxels.

Curless and Levoy, "A volumetric method for building complex models from range images", SIGGRAPH
1996: a voxel holds the weighted mean, over the views that show it, of how far in front of the
surface it lies along the ray, in units of the truncation; the surface is where that is zero. Voxels
divide the unit cube, so the background fits too and gets coarser with distance; only those near
something that was met are kept. Nerfstudio has such a fusion as well, but its module needs open3d
and pymeshlab, its voxels fill a box, and its mean favours the views that come last.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from skimage.measure import marching_cubes
from torch import Tensor

from dff.errors import DffError
from dff.export.views import PinholeView
from dff.selection.frame import Frame, voxel_corners

# In voxels: where the distance is cut off, and how far around what was met voxels are kept.
TRUNCATION, BAND = 3.0, 4
# Voxels at a time, and layers of voxels in which the surface is looked for at a time.
CHUNK, SLAB = 1 << 19, 48


@dataclass(frozen=True, eq=False)
class DistanceVolume:
    """Signed distances on some voxels of the unit cube.

    Attributes:
        resolution: voxels along a side.
        voxels: (n,), their numbers, ascending, x slowest.
        values: (n,), in [-1, 1], above 0 in front of the surface.
        weights: (n,), how many views they are from; 0 where none shows the voxel.
    """

    resolution: int
    voxels: Int[Tensor, " n"]
    values: Float[Tensor, " n"]
    weights: Float[Tensor, " n"]


def fuse(
    views: Sequence[PinholeView], frame: Frame, resolution: int, background: bool = True
) -> DistanceVolume:
    """Fuse the depth of all views.

    Args:
        views: of one scene.
        frame: from the world to the unit cube.
        resolution: voxels along a side of the unit cube.
        background: go on where space is contracted.

    Raises:
        DffError: no ray meets anything.
    """
    voxels = band(views, frame, resolution, background)
    side = float(frame.sides.amax()) / resolution
    values, weights = torch.zeros(len(voxels)), torch.zeros(len(voxels))
    for start in range(0, len(voxels), CHUNK):
        part = slice(start, start + CHUNK)
        centres = (voxel_corners(voxels[part], resolution) + 0.5) / resolution
        world = frame.world(centres)
        truncation = TRUNCATION * side * frame.stretch(world)
        for view in views:
            gap, weight = signed_gap(view, world)
            value = (gap / truncation).clamp(max=1.0)
            weight = weight * (value > -1.0)
            values[part] += torch.where(weight > 0, weight * value, 0.0)
            weights[part] += weight
    return DistanceVolume(resolution, voxels, values / weights.clamp_min(1e-9), weights)


def band(
    views: Sequence[PinholeView], frame: Frame, resolution: int, background: bool = True
) -> Int[Tensor, " n"]:
    """Numbers of the voxels within `BAND` of one in which a ray ends.

    Raises:
        DffError: no ray meets anything.
    """
    found = []
    for view in views:
        met = view.points[view.there]
        if not background:
            met = met[frame.stretch(met) == 1]
        cell = (frame.unit(met) * resolution).long()
        cell = cell[((cell >= 0) & (cell < resolution)).all(dim=1)]
        found.append(torch.unique((cell[:, 0] * resolution + cell[:, 1]) * resolution + cell[:, 2]))
    voxels = torch.unique(torch.cat(found))
    if len(voxels) == 0:
        raise DffError(
            "there is nothing to export: no training camera sees a surface in the middle of the "
            "scene (--background also exports what lies beyond)"
        )
    offsets = torch.arange(-BAND, BAND + 1)
    for axis in range(3):
        corner = voxel_corners(voxels, resolution)[:, axis, None] + offsets
        moved = voxels[:, None] + offsets * resolution ** (2 - axis)
        voxels = torch.unique(moved[(corner >= 0) & (corner < resolution)])
    return voxels


def signed_gap(
    view: PinholeView, points: Float[Tensor, "n 3"]
) -> tuple[Float[Tensor, " n"], Float[Tensor, " n"]]:
    """From each point on to the surface that the view shows there, and how much that counts.

    Depth is interpolated between pixels where all four around belong to one surface. A ray that
    meets nothing says that all of it is empty.
    """
    pixels, distance, inside = view.project(points)
    depth = view.sampled_depth(pixels)
    return depth - distance, inside.float()


def surface(
    volume: DistanceVolume,
) -> tuple[Float[np.ndarray, "v 3"], Int[np.ndarray, "f 3"]]:
    """Where the distance is zero, between voxels that views show.

    Marching cubes, in slabs, so that the memory needed does not grow with the cube of the
    resolution.

    Returns:
        Vertices in the unit cube, and faces, counter-clockwise seen from in front.
    """
    size = volume.resolution
    known = volume.weights > 0
    corner = voxel_corners(volume.voxels[known], size).numpy()
    values = volume.values[known].numpy()
    if len(corner) == 0:
        return np.zeros((0, 3)), np.zeros((0, 3), dtype=np.int64)
    low, high = corner.min(axis=0), corner.max(axis=0) + 1
    corner = corner - low
    vertices, faces, count = [], [], 0
    for start in range(0, int(high[0] - low[0]), SLAB):
        # One more layer than the next slab starts at: the cubes between them belong to this one.
        within = (corner[:, 0] >= start) & (corner[:, 0] <= start + SLAB)
        made = _slab(corner[within] - [start, 0, 0], values[within], tuple(high[1:] - low[1:]))
        if made is not None:
            vertices.append(made[0] + [start, 0, 0])
            faces.append(made[1] + count)
            count += len(made[0])
    if not vertices:
        return np.zeros((0, 3)), np.zeros((0, 3), dtype=np.int64)
    joined, merged = _merged(np.concatenate(vertices), np.concatenate(faces))
    return (joined + low + 0.5) / size, merged


def _slab(
    corner: Int[np.ndarray, "m 3"], values: Float[np.ndarray, " m"], width: tuple[int, int]
) -> tuple[Float[np.ndarray, "v 3"], Int[np.ndarray, "f 3"]] | None:
    if len(corner) == 0 or values.min() >= 0 or values.max() < 0:
        return None
    grid = np.ones((SLAB + 1, *width), dtype=np.float32)
    there = np.zeros(grid.shape, dtype=bool)
    place = tuple(corner.T)
    grid[place], there[place] = values, True
    if min(grid.shape) < 2:
        return None
    vertices, faces, _, _ = marching_cubes(grid, 0.0, gradient_direction="descent")
    whole = np.ones(tuple(side - 1 for side in grid.shape), dtype=bool)
    for x in (0, 1):
        for y in (0, 1):
            for z in (0, 1):
                a, b, c = whole.shape
                whole &= there[x : x + a, y : y + b, z : z + c]
    # A face that has no area can lie in the last layer of corners, where no cube begins.
    cube = np.floor(vertices[faces].mean(axis=1)).astype(np.int64)
    cube = np.minimum(cube, np.array(whole.shape) - 1)
    faces = faces[whole[tuple(cube.T)]]
    used, renumbered = np.unique(faces, return_inverse=True)
    return (vertices[used].astype(np.float64), renumbered.reshape(-1, 3)) if len(used) else None


def _merged(
    vertices: Float[np.ndarray, "v 3"], faces: Int[np.ndarray, "f 3"]
) -> tuple[Float[np.ndarray, "v 3"], Int[np.ndarray, "f 3"]]:
    """Vertices in the same place, as at the seams of slabs, made one."""
    _, first, inverse = np.unique(
        np.round(vertices * 1e4).astype(np.int64), axis=0, return_index=True, return_inverse=True
    )
    faces = inverse.reshape(-1)[faces]
    kept = (faces != np.roll(faces, 1, axis=1)).all(axis=1)
    return vertices[first], faces[kept]
