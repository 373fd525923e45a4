"""The surface as points: what all views' rays meet, one point for each voxel that they meet.

Voxels divide the unit cube, so that what is far away is coarser. A point is the mean of what was
met in its voxel; its normal is that of the plane through its neighbours. Points that other views
look straight through are mist, and go.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from scipy.spatial import KDTree
from torch import Tensor

from dff.errors import DffError
from dff.export.looking import look_back, mean_colours
from dff.export.views import PinholeView
from dff.selection.frame import Frame

# So many of the nearest points say how the surface is turned; so many, where it lies: more would
# flatten what is round; so many, how far apart they are.
PLANE, LEVEL, NEAREST = 48, 12, 6
# In sides of a voxel: no point stands for more than this.
LONELY = 3.0
# World units before contraction stretches them: what is so close to what a view shows, it shows.
TOLERANCE = 0.015
# So many views must show a point, where there are ten times as many; fewer where there are fewer.
FEWEST_VIEWS = 4
# Points at a time.
CHUNK = 1 << 14


@dataclass(frozen=True, eq=False)
class SurfacePoints:
    """Points on surfaces.

    Attributes:
        positions: (n, 3).
        normals: (n, 3), unit, towards where the cameras are.
        rgb: (n, 3) in [0, 1], mean over the views.
        step: (n,), number of the last step of the document that changed it, 0 for none.
        rays: (n,), how many rays met the voxel.
        side: (n,), length of its side, in the units of the positions.
    """

    positions: Float[Tensor, "n 3"]
    normals: Float[Tensor, "n 3"]
    rgb: Float[Tensor, "n 3"]
    step: Int[Tensor, " n"]
    rays: Int[Tensor, " n"]
    side: Float[Tensor, " n"]

    def __len__(self) -> int:
        return len(self.positions)

    def where(self, kept: Bool[Tensor, " n"]) -> SurfacePoints:
        """Some of them."""
        return replace(self, **{name: value[kept] for name, value in vars(self).items()})


def surface_points(
    views: Sequence[PinholeView], frame: Frame, resolution: int, background: bool = False
) -> SurfacePoints:
    """Fuse what the views show.

    Args:
        views: of one scene.
        frame: from the world to the unit cube.
        resolution: voxels along a side of the unit cube.
        background: keep all points where space is contracted: no view knows well how far away they
            are, but without them there is nothing behind the things in the middle.

    Raises:
        DffError: no ray meets anything.
    """
    met = [view.points[view.there] for view in views]
    if not sum(map(len, met)):
        raise DffError("there is nothing to export: no training camera sees a surface")
    position = torch.cat(met)
    rgb = torch.cat([view.rgb[view.there] for view in views])
    towards = -torch.cat([view.directions[view.there] for view in views])
    step = torch.cat([view.step[view.there] for view in views])

    cell = (frame.unit(position) * resolution).long().clamp(0, resolution - 1)
    flat = (cell[:, 0] * resolution + cell[:, 1]) * resolution + cell[:, 2]
    kinds, voxel = torch.unique(flat, return_inverse=True)
    rays = torch.bincount(voxel, minlength=len(kinds))

    def mean(values: Tensor) -> Tensor:
        total = torch.zeros(len(kinds), values.shape[1], dtype=torch.double)
        return (total.index_add_(0, voxel, values.double()) / rays[:, None]).float()

    places = mean(position)
    side = float(frame.sides.amax()) / resolution * frame.stretch(places)
    number = commonest(voxel, step, len(kinds))
    found = SurfacePoints(places, mean(towards), mean(rgb), number, rays, side)
    kept = is_shown(found.positions, views, frame)
    if background:
        kept |= frame.stretch(found.positions) > 1
    found = found.where(kept)
    if len(found) == 0:
        raise DffError("there is nothing to export: no two training cameras see the same surface")
    found = on_planes(found)
    # The rays of one voxel are few, and those at the edge of a thing have mixed colours.
    tolerance = TOLERANCE * frame.stretch(found.positions)
    return replace(found, rgb=mean_colours(found.positions, views, tolerance))


def commonest(group: Int[Tensor, " r"], value: Int[Tensor, " r"], groups: int) -> Int[Tensor, " g"]:
    """The value that is most frequent in each group, the larger of equals; no group is empty."""
    kinds = int(value.max()) + 1 if len(value) else 1
    pairs, count = torch.unique(group * kinds + value, return_counts=True)
    best = torch.zeros(groups, dtype=torch.long)
    score = count * kinds + pairs % kinds
    best.scatter_reduce_(0, pairs // kinds, score, "amax", include_self=False)
    return best % kinds


def is_shown(
    points: Float[Tensor, "n 3"], views: Sequence[PinholeView], frame: Frame
) -> Bool[Tensor, " n"]:
    """Points that several views show, and that at most half as many look straight through.

    What one view alone shows is mist before or behind the surface that the others agree on.
    """
    met, through = torch.zeros(len(points)), torch.zeros(len(points))
    stretch = frame.stretch(points)
    for view in views:
        seen = look_back(view, points, TOLERANCE * stretch)
        met += seen.met
        through += seen.through
    fewest = min(FEWEST_VIEWS, math.ceil(len(views) / 10))
    return (met >= fewest) & (2 * through <= met)


def on_planes(points: SurfacePoints) -> SurfacePoints:
    """Points moved onto the plane through their neighbours, which also gives their normals.

    The plane is that of least squares, with a Gaussian weight for distance: moving least squares
    (Alexa et al., "Point set surfaces", IEEE Visualization 2001), one step.

    Args:
        points: their ``normals`` are the way to the cameras.
    """
    places = points.positions.double()
    count = min(PLANE, len(places))
    if count < 4:
        return replace(points, normals=F.normalize(points.normals, dim=1))
    distance, near = _nearest(places.numpy(), count)
    moved, normals = torch.empty_like(places), torch.empty_like(places)
    for part in torch.arange(len(places)).split(CHUNK):
        around, away = places[near[part]], torch.from_numpy(distance[part])[..., None]
        weight = points.rays[near[part]].clamp(max=8)[..., None] * torch.exp(
            -2 * (away / away[:, -1:].clamp_min(1e-12)) ** 2
        )
        middle = (weight * around).sum(dim=1) / weight.sum(dim=1)
        offset = around - middle[:, None]
        # Eigenvalues ascend: the first vector is across the plane.
        normal = torch.linalg.eigh((weight * offset).mT @ offset).eigenvectors[:, :, 0]
        up = (normal * points.normals[part]).sum(dim=1, keepdim=True)
        normals[part] = torch.where(up < 0, -normal, normal)
        level = (weight * around)[:, :LEVEL].sum(dim=1) / weight[:, :LEVEL].sum(dim=1)
        aside = ((level - places[part]) * normals[part]).sum(dim=1, keepdim=True)
        moved[part] = places[part] + aside * normals[part]
    return replace(points, positions=moved.float(), normals=normals.float())


def spacing(points: SurfacePoints) -> Float[Tensor, " n"]:
    """Mean distance of each point to those right around it, at most `LONELY` sides of its voxel."""
    places = points.positions.double().numpy()
    if len(places) < 2:
        return points.side
    distance, _ = _nearest(places, min(NEAREST + 1, len(places)))
    mean = torch.from_numpy(distance[:, 1:].mean(axis=1)).float()
    return torch.minimum(mean, LONELY * points.side)


def _nearest(
    places: Float[np.ndarray, "n 3"], count: int
) -> tuple[Float[np.ndarray, "n k"], Int[np.ndarray, "n k"]]:
    """Distances and numbers of the nearest places, each place itself first; ``count`` above 1."""
    distance, near = KDTree(places).query(places, k=count)
    return np.asarray(distance), np.asarray(near)
