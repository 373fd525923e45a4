"""What the training views show, baked once: occupied voxels with their features and colours.

A query is then a matrix product over the voxels, and what belongs together is a question of
neighbours. Voxels divide the unit cube (contracted space), so that what is far away is coarser.
"""

from __future__ import annotations

import hashlib
import itertools
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from scipy.sparse import coo_matrix, csr_matrix
from scipy.sparse.csgraph import connected_components
from scipy.spatial import KDTree
from torch import Tensor

from dff.selection.surface_snap import SurfaceSnap, cells

RESOLUTION = 192
# Voxels whose corners touch are neighbours: sqrt(3) voxels from centre to centre.
NEIGHBOUR_DISTANCE = 1.75


@dataclass(frozen=True, eq=False)
class SurfaceGrid:
    """Occupied voxels.

    Attributes:
        snap: the voxels' numbers and mean positions, and for every place the nearest of them.
        hidden: (n, H), mean of the composited hidden features of the rays that met the voxel.
        rgb: (n, 3) in [0, 1], mean of their colours.
        rays: (n,), how many they were.
    """

    snap: SurfaceSnap
    hidden: Float[Tensor, "n H"]
    rgb: Float[Tensor, "n 3"]
    rays: Int[Tensor, " n"]

    @classmethod
    def build(
        cls,
        unit: Float[Tensor, "r 3"],
        world: Float[Tensor, "r 3"],
        hidden: Float[Tensor, "r H"],
        rgb: Float[Tensor, "r 3"],
        resolution: int = RESOLUTION,
    ) -> SurfaceGrid:
        """From what rays met.

        Args:
            unit: where, in the unit cube.
            world: the same in world units.
            hidden: composited hidden features of the rays.
            rgb: their colours, in [0, 1].
            resolution: voxels along one side.
        """
        snap = SurfaceSnap.build(unit, world, resolution)
        voxel = torch.searchsorted(snap.seen, cells(unit, resolution))
        rays = torch.bincount(voxel, minlength=len(snap.seen))

        def mean(values: Tensor) -> Tensor:
            total = torch.zeros(len(rays), values.shape[1]).index_add_(0, voxel, values.float())
            return total / rays[:, None].clamp(min=1)

        return cls(snap, mean(hidden), mean(rgb), rays)

    def __len__(self) -> int:
        return len(self.rays)

    @property
    def resolution(self) -> int:
        """Voxels along one side of the unit cube."""
        return self.snap.nearest.shape[0]

    @property
    def points(self) -> Float[Tensor, "n 3"]:
        """Mean world position of what was seen in each voxel."""
        return self.snap.points

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of the voxels and what they hold: selections belong to one grid."""
        digest = hashlib.sha256(str(self.resolution).encode())
        for part in (self.snap.seen, self.points, self.hidden):
            digest.update(part.contiguous().numpy().tobytes())
        return digest.hexdigest()

    @cached_property
    def tree(self) -> KDTree:
        """Of the world positions."""
        return KDTree(self.points.numpy())

    @cached_property
    def pairs(self) -> Int[np.ndarray, "m 2"]:
        """Numbers of neighbouring voxels, each pair once."""
        r = self.resolution
        corners = np.stack(np.unravel_index(self.snap.seen.numpy(), (r, r, r)), axis=1)
        return _touching(corners)

    @cached_property
    def ends(self) -> tuple[Int[Tensor, " m"], Int[Tensor, " m"]]:
        """First and second voxel of each of the `pairs`."""
        first, second = torch.from_numpy(self.pairs).long().unbind(dim=1)
        return first.contiguous(), second.contiguous()

    @cached_property
    def graph(self) -> csr_matrix:
        """(n, n), 1 where two voxels are neighbours."""
        ends = np.concatenate([self.pairs, self.pairs[:, ::-1]]).T
        ones = np.ones(ends.shape[1], dtype=np.int8)
        return csr_matrix((ones, tuple(ends)), shape=(len(self), len(self)))

    @cached_property
    def findings(self) -> dict[tuple, Any]:
        """What was found out about the voxels and is to be kept, by what it was found from."""
        return {}

    @cached_property
    def coarse(self) -> tuple[Int[Tensor, " n"], Int[np.ndarray, "m 2"]]:
        """Cells of two voxels' side: the number of each voxel's cell, and which cells touch."""
        half = self.resolution // 2 + 1
        corners = torch.stack(torch.unravel_index(self.snap.seen, (self.resolution,) * 3), 1) // 2
        flat = (corners[:, 0] * half + corners[:, 1]) * half + corners[:, 2]
        kinds, cell = torch.unique(flat, return_inverse=True)
        places = np.stack(np.unravel_index(kinds.numpy(), (half,) * 3), axis=1)
        return cell, _touching(places)

    @cached_property
    def spacing(self) -> float:
        """Median world distance of neighbouring voxels, weighted by the rays that met them."""
        if len(self.pairs) == 0:
            return 0.0
        a, b = self.ends
        distance = (self.points[a] - self.points[b]).norm(dim=1)
        order = distance.argsort()
        weight = torch.minimum(self.rays[a], self.rays[b])[order].cumsum(0)
        return float(distance[order[torch.searchsorted(weight, weight[-1] // 2)]])

    @cached_property
    def reach(self) -> Float[Tensor, " n"]:
        """World distance to which what is seen in each voxel may reach: three voxels."""
        if len(self) < 2:
            return torch.zeros(len(self))
        distance, _ = self.tree.query(self.points.numpy(), k=2)
        return 3 * torch.from_numpy(distance[:, 1]).float()

    def components(self, selected: Bool[Tensor, " n"]) -> Int[Tensor, " n"]:
        """Connected components of selected voxels.

        Returns:
            (n,), the component of each selected voxel, 0 being the largest (by rays met, then by
            the lowest voxel); -1 for the others.
        """
        chosen = selected.numpy()
        number = torch.from_numpy(components_of_graph(self.pairs, chosen)).long()
        result = torch.full((len(self),), -1, dtype=torch.long)
        if not chosen.any():
            return result
        kinds, inverse = torch.unique(number[selected], return_inverse=True)
        weight = torch.bincount(inverse, self.rays[selected].double(), minlength=len(kinds))
        order = torch.argsort(weight, descending=True, stable=True)
        rank = torch.empty_like(order)
        rank[order] = torch.arange(len(order))
        result[selected] = rank[inverse]
        return result

    def sampled(
        self, values: Float[Tensor, " n"], unit: Float[Tensor, "*batch 3"]
    ) -> Float[Tensor, "*batch"]:
        """Values on the voxels, trilinear between the occupied ones around each position.

        Empty voxels do not count: the weights of the occupied ones among the eight around a
        position are scaled to sum to 1; where all are empty, the nearest occupied one's value
        holds.

        Args:
            values: one for each voxel.
            unit: positions in the unit cube.
        """
        flat = unit.reshape(-1, 3).cpu()
        size = self.resolution
        low = (flat * size - 0.5).floor()
        part = flat * size - 0.5 - low
        total, weight = torch.zeros(len(flat)), torch.zeros(len(flat))
        nearest = self.snap.nearest.view(-1)
        for corner in itertools.product((0, 1), repeat=3):
            offset = torch.tensor(corner)
            place = (low.long() + offset).clamp(0, size - 1)
            cell = (place[:, 0] * size + place[:, 1]) * size + place[:, 2]
            voxel = nearest[cell].long()
            share = torch.where(offset.bool(), part, 1 - part).prod(dim=1)
            share = share * (self.snap.seen[voxel] == cell)
            total += share * values[voxel]
            weight += share
        alone = values[self.voxel_at(flat)]
        result = torch.where(weight > 1e-6, total / weight.clamp_min(1e-6), alone)
        return result.view(unit.shape[:-1])

    def voxel_at(self, unit: Float[Tensor, "*batch 3"]) -> Int[Tensor, "*batch"]:
        """Number of the occupied voxel nearest to each position in the unit cube."""
        cell = cells(unit.reshape(-1, 3).cpu(), self.resolution)
        return self.snap.nearest.view(-1)[cell].long().view(unit.shape[:-1])


def components_of_graph(
    pairs: Int[np.ndarray, "m 2"], chosen: Bool[np.ndarray, " n"]
) -> Int[np.ndarray, " n"]:
    """The number of the component of each node, joined by the pairs whose ends are both chosen."""
    edges = pairs[chosen[pairs[:, 0]] & chosen[pairs[:, 1]]]
    graph = coo_matrix((np.ones(len(edges), bool), tuple(edges.T)), shape=(len(chosen),) * 2)
    return connected_components(graph, directed=False)[1]


def _touching(corners: Int[np.ndarray, "n 3"]) -> Int[np.ndarray, "m 2"]:
    """Pairs of cells whose corners touch, each once."""
    if len(corners) == 0:
        return np.zeros((0, 2), dtype=np.int64)
    return KDTree(corners).query_pairs(NEIGHBOUR_DISTANCE, output_type="ndarray")
