"""The proposal network: a small density field that tells the sampler where to look."""

from __future__ import annotations

from jaxtyping import Float
from nerfstudio.field_components.activations import trunc_exp
from torch import Tensor, nn

from dff.fields.blocks import ResolvedImplementation, grid_encoding, mlp
from dff.fields.contraction import to_unit_cube
from dff.fields.hash_encoding import GridShape
from dff.fields.visibility import DensityPrior


class ProposalField(nn.Module):
    """Density alone, from a coarse hash grid and a one-layer MLP.

    Args:
        aabb: scene box, ``(2, 3)``.
        grid: its hash grid.
        hidden_dim: width of the MLP.
        prior: initial density, which the network's output multiplies.
        contracted: contract unbounded space into a cube; otherwise the scene box alone counts.
        implementation: see `dff.fields.blocks`.
    """

    aabb: Tensor

    def __init__(
        self,
        aabb: Float[Tensor, "2 3"],
        grid: GridShape,
        hidden_dim: int,
        prior: DensityPrior,
        contracted: bool,
        implementation: ResolvedImplementation,
    ) -> None:
        super().__init__()
        self.register_buffer("aabb", aabb)
        self.contracted = contracted
        self.prior = prior
        self.grid = grid
        self.encoding = grid_encoding(grid, implementation)
        self.mlp = mlp(grid.out_dim, hidden_dim, 1, 1, implementation)

    def density_fn(self, positions: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 1"]:
        """Density in 1 / world unit at world positions (the name nerfstudio's sampler expects)."""
        unit = to_unit_cube(positions, self.aabb, self.contracted)
        inside = ((unit > 0.0) & (unit < 1.0)).all(dim=-1, keepdim=True)
        return self.density_in_cube(unit) * inside

    def density_in_cube(self, unit: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 1"]:
        """Density in 1 / world unit at positions in the unit cube."""
        raw = self.mlp(self.encoding(unit.reshape(-1, 3)))
        return self.prior(unit) * trunc_exp(raw.view(*unit.shape[:-1], 1).to(unit.dtype))
