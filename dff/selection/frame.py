"""Where the voxels of a surface grid lie in the world."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from dff.fields.contraction import to_unit_cube, uncontract
from dff.fields.feature_field import FeatureField
from dff.fields.radiance_field import RadianceField


@dataclass(frozen=True, eq=False)
class Frame:
    """From the unit cube, which the voxels divide, to the world.

    Attributes:
        aabb: (2, 3), scene box, lower and upper corner; used where space is not contracted.
        contracted: whether unbounded space was contracted into the cube.
    """

    aabb: Float[Tensor, "2 3"]
    contracted: bool

    @classmethod
    def of(cls, field: FeatureField | RadianceField) -> Frame:
        """Of any field of a scene: all of them divide the same cube."""
        return cls(field.aabb.detach().float().cpu(), field.contracted)

    def unit(self, world: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 3"]:
        """Positions in the unit cube of world positions."""
        return to_unit_cube(world, self.aabb.to(world), self.contracted)

    def world(self, unit: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 3"]:
        """World positions of positions in the unit cube: inverse of `unit`.

        Contracted, the cube's outermost thousandth stands for all that is beyond 1000.
        """
        if self.contracted:
            return uncontract((unit - 0.5) * 4)
        low, high = self.aabb.to(unit)
        return low + unit * (high - low)

    @property
    def sides(self) -> Float[Tensor, " 3"]:
        """World lengths of the cube's sides, where nothing is stretched."""
        return torch.full((3,), 4.0) if self.contracted else self.aabb[1] - self.aabb[0]

    def stretch(self, world: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch"]:
        """How much longer what is there is than its share of the cube says, at least 1.

        Contracted: ``n / (2 - 1 / n)`` across the way out, with ``n = max |x_i|`` (outwards it is
        ``n^2``); else 1.
        """
        if self.contracted:
            n = world.abs().amax(dim=-1).clamp_min(1.0)
            return n / (2 - 1 / n)
        return torch.ones_like(world[..., 0])


def voxel_corners(voxels: Tensor, resolution: int) -> Tensor:
    """Column, row and layer ``(n, 3)`` of voxels given by their number, x slowest."""
    flat = voxels.long()
    return torch.stack(
        [flat // resolution**2, flat // resolution % resolution, flat % resolution], dim=-1
    )
