"""What lies behind a surface belongs to it: points no photo shows take their features from nearby.

The inside of an apple is never seen, so the feature field says nothing sensible there; deleting the
apple would leave a ghost of its inside. Points away from every seen surface are therefore asked
about at the nearest seen one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from scipy.ndimage import distance_transform_edt
from torch import Tensor

GRID = 128
# Within this many voxels of a seen one a point is asked about where it is: the feature field is
# trained by every sample that weighs something, not only by the surface itself.
REACH = 1.75


@dataclass(frozen=True)
class SurfaceSnap:
    """Moves points that no photo shows to the nearest surface that one does.

    Attributes:
        nearest: (r, r, r), for each voxel of the unit cube the number of the nearest seen one.
        away: (r, r, r), whether points of the voxel move there.
        seen: (n,), voxel of each seen one, x slowest.
        points: (n, 3), mean world position of the surface in each seen voxel.
    """

    nearest: Int[Tensor, "r r r"]
    away: Bool[Tensor, "r r r"]
    seen: Int[Tensor, " n"]
    points: Float[Tensor, "n 3"]

    @classmethod
    def build(
        cls, unit: Float[Tensor, "n 3"], world: Float[Tensor, "n 3"], resolution: int = GRID
    ) -> SurfaceSnap:
        """From points on seen surfaces.

        Args:
            unit: positions in the unit cube.
            world: the same in world units.
            resolution: voxels along one side.
        """
        flat = cells(unit, resolution)
        seen, inverse = torch.unique(flat, return_inverse=True)
        count = torch.zeros(len(seen)).index_add_(0, inverse, torch.ones(len(flat)))
        points = torch.zeros(len(seen), 3).index_add_(0, inverse, world.float())
        points = points / count[:, None].clamp(min=1)
        empty = np.ones(resolution**3, dtype=bool)
        empty[seen.numpy()] = False
        number = np.full(resolution**3, -1, dtype=np.int32)
        number[seen.numpy()] = np.arange(len(seen), dtype=np.int32)
        size = (resolution,) * 3
        if len(seen) == 0:
            none = torch.zeros(size, dtype=torch.int32)
            return cls(none, torch.zeros(size, dtype=torch.bool), seen, points)
        distance, index = cast(
            tuple[np.ndarray, np.ndarray],
            distance_transform_edt(empty.reshape(size), return_indices=True),
        )
        nearest = torch.from_numpy(number.reshape(size)[tuple(index)])
        return cls(nearest, torch.from_numpy(distance > REACH), seen, points)

    def __call__(
        self, unit: Float[Tensor, "n 3"], world: Float[Tensor, "n 3"]
    ) -> Float[Tensor, "n 3"]:
        """World positions at which to ask about points.

        Args:
            unit: positions in the unit cube.
            world: the same in world units; returned unchanged near seen surfaces.
        """
        cell = cells(unit.cpu(), self.nearest.shape[0])
        away = self.away.view(-1)[cell]
        nearest = self.nearest.view(-1)[cell[away]].long()
        result = world.clone()
        result[away.to(world.device)] = self.points[nearest].to(world)
        return result


def cells(unit: Float[Tensor, "n 3"], resolution: int) -> Int[Tensor, " n"]:
    """Number of the voxel that each point of the unit cube lies in, x slowest."""
    cell = (unit * resolution).long().clamp(0, resolution - 1)
    return (cell[:, 0] * resolution + cell[:, 1]) * resolution + cell[:, 2]
