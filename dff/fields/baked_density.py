"""A proposal network's density, read off a grid instead of computed.

Where to sample is asked several times as often as what is there, mostly in empty space, and a
trained network no longer changes: the logarithm of its density at the vertices of its finest level,
between which it is interpolated, tells the sampler the same at a fraction of the cost.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, cast

import torch
from jaxtyping import Float
from torch import Tensor, nn

from dff.fields.blocks import ResolvedImplementation
from dff.fields.contraction import to_unit_cube
from dff.fields.hash_encoding import GridShape
from dff.fields.hash_encoding_cpu import interpolate_cpu
from dff.fields.proposal_field import ProposalField

FINEST = 128
"""Cells along a side; a network that knows smaller things is asked itself."""
EMPTIEST = 1e-6
"""Least density that the grid tells from none, in 1 / world unit."""


class BakedDensity:
    """Density of a proposal network whose weights do not change any more.

    Baked when it is first asked, and anew after other weights were loaded: a fifth of a second, and
    9 MB, for 128 cells along a side.

    Args:
        field: the network, for which `suits` holds.
    """

    def __init__(self, field: ProposalField) -> None:
        self.field = field
        self.shape = GridShape((finest_level(field),), 24, 1)
        # Together, as other threads may ask meanwhile: of which weights, and the table.
        self._baked: tuple[tuple[Any, ...], Tensor] | None = None

    @staticmethod
    def suits(field: ProposalField) -> bool:
        """Whether a grid of `FINEST` cells along a side holds all that the network can know."""
        return finest_level(field) <= FINEST

    @property
    def table(self) -> Float[Tensor, "rows 1"]:
        """Logarithms of the densities at the vertices, x running fastest."""
        tensors = (*self.field.parameters(), *self.field.buffers())
        state = (self.field.aabb.device, *(tensor._version for tensor in tensors))
        baked = self._baked
        if baked is None or baked[0] != state:
            baked = self._baked = state, _baked(self.field, self.shape.resolutions[0])
        return baked[1]

    def __call__(self, positions: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 1"]:
        """Density in 1 / world unit at world positions; without gradient, unless in training."""
        if self.field.training:
            return self.field.density_fn(positions)
        unit = to_unit_cube(positions.detach(), self.field.aabb, self.field.contracted)
        logarithms = interpolate_cpu(unit.reshape(-1, 3), self.table, self.shape)
        density = logarithms.exp_().view(*positions.shape[:-1], 1)
        if self.field.contracted:
            return density  # all of space lies inside
        return density * ((unit > 0.0) & (unit < 1.0)).all(dim=-1, keepdim=True)


def densities_off_grids(
    networks: Iterable[nn.Module], implementation: ResolvedImplementation
) -> list[Callable[[Tensor], Tensor]]:
    """What tells the sampler where to look, once the proposal networks' weights are final.

    Off grids on a CPU; implementations for a GPU are fast themselves.
    """
    off_cpu = implementation not in ("cpu", "torch")
    return [
        field.density_fn if off_cpu or not BakedDensity.suits(field) else BakedDensity(field)
        for field in (cast(ProposalField, network) for network in networks)
    ]


def finest_level(field: ProposalField) -> int:
    """Cells along a side of the finest level of a network's grid."""
    return field.grid.resolutions[-1]


@torch.no_grad()
def _baked(field: ProposalField, resolution: int) -> Float[Tensor, "rows 1"]:
    line = torch.linspace(0.0, 1.0, resolution + 1, device=field.aabb.device)
    y, x = torch.meshgrid(line, line, indexing="ij")
    # A layer at a time: the whole would hold the encodings of two million points.
    layers = [
        field.density_in_cube(torch.stack([x, y, torch.full_like(x, float(z))], dim=-1))
        for z in line
    ]
    return torch.stack(layers).view(-1, 1).clamp_min(EMPTIEST).log()
