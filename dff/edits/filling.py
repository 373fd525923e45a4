"""What closes the hole under a deleted thing, as matter: a slab under a map of heights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from dff.edits.layers import Ball

# In voxels of the surface grid: how thick the filling is, how high above it is cleared, over what
# height its density rises from nothing to all (a hard border would show the samples), and how much
# higher than its surface that lies, so that half the light of a ray is gone at the surface.
DEPTH, CLEARED, RISE, RAISED = 6.0, 3.0, 0.25, 0.083
# Optical depth of one voxel of the filling: what is left shines through.
OPAQUE = 8.0


@dataclass(frozen=True, eq=False)
class Filling:
    """A slab under a height map, as matter (see `dff.edits.compiled.Matter`).

    Attributes:
        origin: (3,), world position of the corner of cell (0, 0) on the plane.
        axes: (3, 3), rows: along the map's rows, along its columns, out of the surface.
        cell: side of a cell in world units.
        voxel: side of a voxel of the surface grid that it was made by.
        height: (r, c), of the surface over the plane, in world units.
        rgb: (r, c, 3), its colour in [0, 1].
        there: (r, c), 1 in the hole and on its rim, 0 elsewhere.
        rim: (n,), which voxels of the surface grid are the surface around the hole.
    """

    origin: Float[Tensor, " 3"]
    axes: Float[Tensor, "3 3"]
    cell: float
    voxel: float
    height: Float[Tensor, "r c"]
    rgb: Float[Tensor, "r c 3"]
    there: Float[Tensor, "r c"]
    rim: Bool[Tensor, " n"]

    @property
    def ball(self) -> Ball:
        """Around all of it."""
        sides = torch.tensor(self.height.shape).to(self.origin) * self.cell
        middle = self.origin + (sides / 2) @ self.axes[:2]
        radius = float((sides / 2).norm()) + float(self.height.abs().max()) + DEPTH * self.voxel
        return Ball(middle, radius)

    def holds(self, points: Float[Tensor, "n 3"]) -> Bool[Tensor, " n"]:
        """Where the hole is: what the scene has there was never seen."""
        local, values = self._looked_up(points)
        above = local[:, 2] - values[:, 0]
        near = (above > -DEPTH * self.voxel) & (above < CLEARED * self.voxel)
        return near & (values[:, 1] > 0.5)

    def _looked_up(
        self, positions: Float[Tensor, "n 3"]
    ) -> tuple[Float[Tensor, "n 3"], Float[Tensor, "n 5"]]:
        """Positions on the plane and above it; height, whether there is anything, and colour."""
        local = (positions - self.origin.to(positions)) @ self.axes.to(positions).T
        maps = torch.cat([self.height[..., None], self.there[..., None], self.rgb], dim=-1)
        return local, _bilinear(maps.to(positions), local[:, :2] / self.cell)

    def density(
        self, positions: Float[Tensor, "n 3"]
    ) -> tuple[Float[Tensor, "n 1"], Float[Tensor, "n 3"]]:
        """Density in 1 / world unit, and the colour."""
        local, values = self._looked_up(positions)
        below = values[:, 0] + RAISED * self.voxel - local[:, 2]
        inside = (below / (RISE * self.voxel) + 0.5).clamp(0, 1) * (below < DEPTH * self.voxel)
        density = OPAQUE / self.voxel * inside * (values[:, 1] > 0.5)
        return density[:, None], values[:, 2:]

    def colour(
        self,
        code: Float[Tensor, "n 3"],
        directions: Float[Tensor, "rays 3"],
        ray: Int[Tensor, " n"],
    ) -> Float[Tensor, "n 3"]:
        """The same from everywhere."""
        return code

    def proposal(self, level: int, positions: Float[Tensor, "n 3"]) -> Float[Tensor, "n 1"]:
        """As its density is."""
        return self.density(positions)[0]

    def masks(
        self, which: Sequence[int], positions: Float[Tensor, "n 3"], exactly: bool
    ) -> list[Float[Tensor, " n"]]:
        """No query selects in it."""
        return [positions.new_zeros(len(positions)) for _ in which]


def _bilinear(maps: Float[Tensor, "r c k"], cells: Float[Tensor, "n 2"]) -> Float[Tensor, "n k"]:
    """Values between the centres of cells; positions in cells, and zero outside the map."""
    size = torch.tensor(maps.shape[:2]).to(cells)
    grid = (2 * cells / size - 1).flip(-1)[None, None]
    picture = maps.movedim(-1, 0)[None]
    found = F.grid_sample(picture, grid, align_corners=False, padding_mode="border")
    outside = ((cells < 0) | (cells > size)).any(dim=-1)
    return found[0, :, 0].T.masked_fill(outside[:, None], 0.0)
