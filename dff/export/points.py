"""The surface as points: what all views' rays meet, one point for each voxel that they meet.

Voxels divide the unit cube, so that what is far away is coarser. A point is the mean of what was
met in its voxel; its normal is that of the plane through its neighbours. Points that other views
look straight through are mist, and go.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from scipy.spatial import KDTree
from torch import Tensor

from dff.errors import DffError
from dff.export.looking import look_back
from dff.export.views import PinholeView
from dff.selection.frame import Frame

# The plane through so many nearest points gives the normal.
PLANE = 16
# Spacing is the distance to the mean of so many of the nearest.
NEAREST = 6
# Share of the distance from a camera within which a place counts as what the camera shows there.
TOLERANCE = 0.015
# So many views must show a point, where there are ten times as many; fewer where there are fewer.
FEWEST_VIEWS = 4


@dataclass(frozen=True, eq=False)
class SurfacePoints:
    """Points on surfaces.

    Attributes:
        positions: (n, 3).
        normals: (n, 3), unit, towards where the cameras are.
        rgb: (n, 3) in [0, 1], mean over the rays.
        step: (n,), number of the last step of the document that changed it, 0 for none.
        rays: (n,), how many rays met the voxel.
        spacing: (n,), distance to the points around, in the units of the positions.
    """

    positions: Float[Tensor, "n 3"]
    normals: Float[Tensor, "n 3"]
    rgb: Float[Tensor, "n 3"]
    step: Int[Tensor, " n"]
    rays: Int[Tensor, " n"]
    spacing: Float[Tensor, " n"]

    def __len__(self) -> int:
        return len(self.positions)

    def where(self, kept: Bool[Tensor, " n"]) -> SurfacePoints:
        """Some of them."""
        return replace(self, **{name: value[kept] for name, value in vars(self).items()})


def surface_points(
    views: Sequence[PinholeView], frame: Frame, resolution: int
) -> SurfacePoints:
    """Fuse what the views show.

    Args:
        views: of one scene.
        frame: from the world to the unit cube.
        resolution: voxels along a side of the unit cube.

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

    points = mean(position)
    side = (frame.world((frame.unit(points) + 0.5 / resolution).clamp(0, 1)) - points).norm(dim=1)
    found = SurfacePoints(
        points, mean(towards), mean(rgb), commonest(voxel, step, len(kinds)), rays, side
    )
    found = found.where(is_shown(found.positions, views))
    if len(found) == 0:
        raise DffError("there is nothing to export: no two training cameras see the same surface")
    return with_normals(found)


def commonest(
    group: Int[Tensor, " r"], value: Int[Tensor, " r"], groups: int
) -> Int[Tensor, " g"]:
    """The value that is most frequent in each group, the larger of equals; no group is empty."""
    kinds = int(value.max()) + 1 if len(value) else 1
    pairs, count = torch.unique(group * kinds + value, return_counts=True)
    best = torch.zeros(groups, dtype=torch.long)
    score = count * kinds + pairs % kinds
    best.scatter_reduce_(0, pairs // kinds, score, "amax", include_self=False)
    return best % kinds


def is_shown(
    points: Float[Tensor, "n 3"], views: Sequence[PinholeView]
) -> Bool[Tensor, " n"]:
    """Points that several views show, and that at most half as many look straight through.

    What one view alone shows is mist before or behind the surface that the others agree on.
    """
    met, through = torch.zeros(len(points)), torch.zeros(len(points))
    for view in views:
        seen = look_back(view, points, TOLERANCE)
        met += seen.met
        through += seen.through
    fewest = min(FEWEST_VIEWS, math.ceil(len(views) / 10))
    return (met >= fewest) & (2 * through <= met)


def with_normals(points: SurfacePoints) -> SurfacePoints:
    """Normals and spacing from the neighbours; ``normals`` come in as the way to the cameras."""
    places = points.positions.double().numpy()
    count = min(PLANE, len(places))
    distance, near = KDTree(places).query(places, k=count, workers=-1)
    distance, near = distance.reshape(len(places), -1), near.reshape(len(places), -1)
    around = torch.from_numpy(places[near])
    around = around - around.mean(dim=1, keepdim=True)
    covariance = around.transpose(1, 2) @ around
    # Eigenvalues ascend: the first vector is across the plane.
    normal = torch.linalg.eigh(covariance).eigenvectors[:, :, 0].float()
    towards = points.normals
    normal = normal * torch.where((normal * towards).sum(dim=1) < 0, -1.0, 1.0)[:, None]
    spacing = torch.from_numpy(distance[:, 1 : NEAREST + 1].mean(axis=1)).float() if count > 1 else points.spacing
    return replace(points, normals=F.normalize(normal, dim=1), spacing=spacing)
