"""Regions: neighbouring voxels that look alike, joined step by step into ever larger ones.

Of touching regions those two whose mean looks are nearest join first, down to a given cosine
(agglomeration by centroids where neighbours alone may join). The parts of a thing are more alike
than the thing and what it stands on, so that a thing of two colours becomes one region before it is
lost in the table; and things that look the same but do not touch stay apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from torch import Tensor

from dff.selection.surface_grid import SurfaceGrid

# Cosines of mean looks down to which regions join, from the finest to the coarsest level.
LEVELS = (0.95, 0.9, 0.85, 0.8, 0.75)
# A region that holds more than this share of the scene is no thing.
LARGEST_SHARE = 0.5
# Cosine from which on two are the same: they need not wait until they are each other's nearest.
IDENTICAL = 0.999


@dataclass(frozen=True, eq=False)
class Regions:
    """A scene's regions at every level.

    Attributes:
        numbers: (l, n), region of each voxel at each of the `LEVELS`; each is a union of some of
            the level before.
        rays: (n,), how many rays met each voxel.
        ground: a voxel of the largest region of the finest level, on which things stand.
    """

    numbers: Int[Tensor, "l n"]
    rays: Int[Tensor, " n"]
    ground: int

    @classmethod
    def of(cls, grid: SurfaceGrid, spaces: Sequence[Float[Tensor, "n K"]]) -> Regions:
        """Join voxels; the same ones are joined once.

        Args:
            grid: the voxels; at least one.
            spaces: their unit features by each teacher; the one that doubts most decides.
        """
        key = (cls, *map(id, spaces))
        if key not in grid.findings:
            # With the spaces, so that no other tensor takes their place in memory.
            grid.findings[key] = (cls._of(grid, spaces), tuple(spaces))
        return grid.findings[key][0]

    @classmethod
    def _of(cls, grid: SurfaceGrid, spaces: Sequence[Float[Tensor, "n K"]]) -> Regions:
        weight = grid.rays.numpy().astype(np.float32)[:, None]
        sums = [space.numpy() * weight for space in spaces]
        region, edges = np.arange(len(grid)), grid.pairs.astype(np.int64)
        numbers = []
        for level in LEVELS:
            group = _joined(sums, edges, level)
            while group is not None:
                sums = [_summed(each, group) for each in sums]
                region, edges = group[region], _between(group[edges])
                group = _joined(sums, edges, level)
            numbers.append(torch.from_numpy(region.astype(np.int64)))
        held = torch.bincount(numbers[0], grid.rays.double())
        ground = int((numbers[0] == held.argmax()).int().argmax())
        return cls(torch.stack(numbers), grid.rays, ground)

    def holding(self, voxel: int) -> list[Bool[Tensor, " n"]]:
        """The regions around a voxel, from the coarsest level to the finest."""
        return [level == level[voxel] for level in reversed(self.numbers)]

    def thing(self, voxel: int) -> Bool[Tensor, " n"] | None:
        """The largest region around a voxel that may be a thing.

        None where there is none: the voxel is of what everything else stands on.
        """
        most = LARGEST_SHARE * float(self.rays.sum())
        for region in self.holding(voxel):
            if not region[self.ground] and float(self.rays[region].sum()) <= most:
                return region
        return None


def _joined(
    sums: Sequence[Float[np.ndarray, "r K"]], edges: Int[np.ndarray, "m 2"], level: float
) -> Int[np.ndarray, " r"] | None:
    """New number of each region after all that are each other's nearest have joined.

    None where no two that touch are as alike as the level.
    """
    cosine = np.full(len(edges), np.inf, np.float32)
    for each in sums:
        mean = each / np.maximum(np.linalg.norm(each, axis=1, keepdims=True), 1e-12)
        product = np.einsum("ij,ij->i", mean[edges[:, 0]], mean[edges[:, 1]])
        cosine = np.minimum(cosine, product)
    alike = np.nonzero(cosine >= level)[0]
    if len(alike) == 0:
        return None
    order = alike[np.argsort(-cosine[alike], kind="stable")]
    edges, cosine = edges[order], cosine[order]
    count, rank = len(sums[0]), np.arange(len(edges))
    nearest = np.full(count, len(edges))
    for end in (0, 1):
        np.minimum.at(nearest, edges[:, end], rank)
    mutual = (nearest[edges[:, 0]] == rank) & (nearest[edges[:, 1]] == rank)
    joining = edges[mutual | (cosine >= IDENTICAL)]
    graph = coo_matrix((np.ones(len(joining), bool), tuple(joining.T)), shape=(count, count))
    return connected_components(graph, directed=False)[1]


def _summed(
    values: Float[np.ndarray, "r K"], group: Int[np.ndarray, " r"]
) -> Float[np.ndarray, "s K"]:
    entries = (np.ones(len(group), values.dtype), (group, np.arange(len(group))))
    return coo_matrix(entries).tocsr() @ values


def _between(ends: Int[np.ndarray, "m 2"]) -> Int[np.ndarray, "k 2"]:
    """Pairs of different regions, each once."""
    ends = np.sort(ends[ends[:, 0] != ends[:, 1]], axis=1).astype(np.int64)
    count = int(ends.max(initial=0)) + 1
    flat = np.unique(ends[:, 0] * count + ends[:, 1])
    return np.stack([flat // count, flat % count], axis=1)
