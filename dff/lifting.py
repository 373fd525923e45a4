"""Lift a teacher's feature maps onto the surface of a trained scene, without training.

Each voxel gets the mean of what the teacher says of the pixels that show it, weighted by how much
of each pixel's light comes from there: ``F(v) = sum_r w_r(v) f_r / sum_r w_r(v)``, over rays r
spread evenly over the training views. That is the least-squares answer to what distillation
descends to, were each ray to meet one voxel; it takes one pass.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from nerfstudio.cameras.cameras import Cameras
from nerfstudio.cameras.rays import RayBundle
from scipy.spatial import KDTree
from torch import Tensor

from dff.data.feature_maps import FeatureMaps
from dff.selection.surface_grid import SurfaceGrid
from dff.selection.surface_snap import cells

# More numbers than this are reduced to it, on the directions in which the voxels differ most.
WIDTH = 128
# Rays at a time.
CHUNK = 4096
# Samples that weigh less say nothing of what is there.
LEAST_WEIGHT = 0.01

Along = Callable[[RayBundle], tuple[Float[Tensor, "rays k 1"], Float[Tensor, "rays k 3"]]]


@dataclass(frozen=True, eq=False)
class Lifted:
    """What was lifted.

    Attributes:
        values: (n, K), of each voxel of the surface.
        weight: (D, K), from these to the teacher's space.
        met: share of the voxels that were met; the others have the nearest one's.
        kept: mean cosine of reduced to whole features; 1 where nothing was reduced.
    """

    values: Float[Tensor, "n K"]
    weight: Float[Tensor, "D K"]
    met: float
    kept: float


def lift(
    cameras: Cameras,
    maps: FeatureMaps,
    grid: SurfaceGrid,
    to_unit: Callable[[Float[Tensor, "m 3"]], Float[Tensor, "m 3"]],
    along: Along,
    rays: int,
    width: int = WIDTH,
    on_part: Callable[[float], None] = lambda share: None,
) -> Lifted:
    """Features on the voxels of a surface.

    Args:
        cameras: the training views.
        maps: of their photos, in the same order.
        grid: the surface.
        to_unit: world positions to the unit cube.
        along: weights and world positions of the samples that count of each ray.
        rays: how many; the same ones each time.
        width: numbers a voxel keeps at most.
        on_part: told the share that is done.
    """
    generator = torch.Generator().manual_seed(0)
    image = torch.randint(0, len(cameras), (rays,), generator=generator).sort().values
    size = torch.stack([cameras.height[image, 0], cameras.width[image, 0]], dim=-1).cpu()
    place = torch.rand(rays, 2, generator=generator) * size
    total = torch.zeros(len(grid), maps.dim)
    weight = torch.zeros(len(grid))
    for start in range(0, rays, CHUNK):
        here = slice(start, start + CHUNK)
        bundle = cameras.generate_rays(camera_indices=image[here, None], coords=place[here])
        weights, positions = along(bundle)
        seen = maps.sample(
            image[here], place[here, 0] - 0.5, place[here, 1] - 0.5, size[here, 0], size[here, 1]
        )
        add_rays(total, weight, grid, to_unit, weights.cpu(), positions, seen)
        on_part(min(1.0, (start + CHUNK) / rays))
    met = weight > 0
    mean = total / weight.clamp_min(1e-9)[:, None]
    if met.any() and not met.all():
        _, nearest = KDTree(grid.points[met].numpy()).query(grid.points[~met].numpy())
        mean[~met] = mean[met][torch.from_numpy(np.asarray(nearest))]
    values, directions, kept = reduced(mean, grid.rays.float(), width)
    if maps.basis is not None:  # what is averaged are coefficients
        directions = maps.basis.T.float() @ directions
    return Lifted(values, directions, float(met.float().mean()), kept)


def add_rays(
    total: Float[Tensor, "n D"],
    weight: Float[Tensor, " n"],
    grid: SurfaceGrid,
    to_unit: Callable[[Float[Tensor, "m 3"]], Float[Tensor, "m 3"]],
    weights: Float[Tensor, "rays k 1"],
    positions: Float[Tensor, "rays k 3"],
    seen: Float[Tensor, "rays D"],
) -> None:
    """Add to the sums (in place) what rays say of the voxels that their samples lie in or near.

    Args:
        total: sum of weighted features of each voxel.
        weight: sum of the weights.
        grid: the voxels.
        to_unit: world positions to the unit cube.
        weights, positions: rendering weights and world positions of the samples.
        seen: feature of each ray's pixel.
    """
    unit = to_unit(positions.reshape(-1, 3)).cpu()
    flat = weights.reshape(-1)
    cell = cells(unit, grid.resolution)
    counts = (flat > LEAST_WEIGHT) & ~grid.snap.away.view(-1)[cell]
    ray = torch.arange(len(seen)).repeat_interleave(weights.shape[1])[counts]
    voxel = grid.snap.nearest.view(-1)[cell[counts]].long()
    share = flat[counts]
    weight.index_add_(0, voxel, share)
    total.index_add_(0, voxel, seen[ray] * share[:, None])


def reduced(
    features: Float[Tensor, "n D"], weights: Float[Tensor, " n"], width: int
) -> tuple[Float[Tensor, "n K"], Float[Tensor, "D K"], float]:
    """Features in fewer numbers: on the directions that hold most of them (uncentred PCA).

    Args:
        features: of any length.
        weights: how much each counts.
        width: at most so many numbers.

    Returns:
        Coefficients, the orthonormal directions, and the mean cosine of both kinds of features.
    """
    dim = features.shape[1]
    if dim <= width:
        return features, torch.eye(dim), 1.0
    scaled = F.normalize(features, dim=1).double()
    _, directions = torch.linalg.eigh(scaled.T @ (scaled * weights.double()[:, None]))
    directions = directions[:, -width:].flip(1).float()
    values = features @ directions
    cosine = values.norm(dim=1) / features.norm(dim=1).clamp_min(1e-9)
    return values, directions, float((cosine * weights).sum() / weights.sum().clamp_min(1e-9))
