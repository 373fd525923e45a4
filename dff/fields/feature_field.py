"""The feature field: view-independent ``f(x) = W h(x)`` on a hash grid of its own.

With several teachers each has its own ``W``.
"""

from __future__ import annotations

from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor, nn

from dff.fields.blocks import ResolvedImplementation, grid_encoding, mlp
from dff.fields.contraction import to_unit_cube
from dff.fields.hash_encoding import GridShape


class FeatureHead(nn.Module):
    """The linear decoder from hidden features to one teacher's.

    With a basis V of K orthonormal rows it is trained on coefficients, ``V f``, and its weight for
    queries is ``V^T W``: inner products with a query are then those within the subspace.

    Args:
        hidden_dim: H.
        feature_dim: the teacher's dimension D.
        components: K, or None for the features themselves.
    """

    basis: Tensor | None

    def __init__(self, hidden_dim: int, feature_dim: int, components: int | None = None) -> None:
        super().__init__()
        self.decoder = nn.Linear(hidden_dim, components or feature_dim, bias=False)
        empty = None if components is None else torch.zeros(components, feature_dim)
        self.register_buffer("basis", empty)

    @property
    def weight(self) -> Float[Tensor, "D H"]:
        """From hidden features to the teacher's own space."""
        weight = self.decoder.weight
        return weight if self.basis is None else self.basis.T.to(weight) @ weight

    def forward(self, hidden: Float[Tensor, "*batch H"]) -> Float[Tensor, "*batch K"]:
        """What is compared with the cache: features, or coefficients on the basis."""
        return self.decoder(hidden)


class FeatureField(nn.Module):
    """Hidden features ``h(x)`` and for each teacher a linear head ``W`` to its dimension.

    Because decoding is linear, a ray's hidden features are composited first and decoded once, and a
    query is folded into ``W``: the cost hardly depends on the teachers' dimensions. The heads share
    grid and MLP.

    Args:
        aabb: scene box, ``(2, 3)``.
        grid: its hash grid.
        hidden_dim: width of the MLP and of ``h``.
        contracted: contract unbounded space into a cube; otherwise the scene box alone counts.
        implementation: see `dff.fields.blocks`.
    """

    aabb: Tensor

    def __init__(
        self,
        aabb: Float[Tensor, "2 3"],
        grid: GridShape,
        hidden_dim: int,
        contracted: bool,
        implementation: ResolvedImplementation,
    ) -> None:
        super().__init__()
        self.register_buffer("aabb", aabb)
        self.contracted = contracted
        self.encoding = grid_encoding(grid, implementation)
        self.mlp = mlp(grid.out_dim, hidden_dim, hidden_dim, 1, implementation)
        self.hidden_dim = hidden_dim
        self.heads = nn.ModuleDict()

    def add_head(self, name: str, feature_dim: int, components: int | None = None) -> FeatureHead:
        """A new head for a teacher, in place of one it may have had."""
        head = FeatureHead(self.hidden_dim, feature_dim, components).to(self.aabb.device)
        self.heads[name] = head
        return head

    def head(self, name: str) -> FeatureHead:
        """A teacher's head.

        Raises:
            KeyError: the field was not distilled from that teacher.
        """
        return cast(FeatureHead, self.heads[name])

    def unit_positions(self, positions: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 3"]:
        """World positions in the unit cube that the grid covers."""
        return to_unit_cube(positions, self.aabb, self.contracted)

    def hidden_at(self, positions: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch hidden"]:
        """Hidden features at world positions; positions are detached (no gradient to poses)."""
        unit = self.unit_positions(positions.detach())
        hidden = torch.relu(self.mlp(self.encoding(unit.reshape(-1, 3))))
        return hidden.view(*positions.shape[:-1], self.hidden_dim).to(positions.dtype)

    def decode(
        self, hidden: Float[Tensor, "*batch hidden"], name: str
    ) -> Float[Tensor, "*batch d"]:
        """A teacher's features from hidden features, in its own space, not normalised."""
        return hidden @ self.head(name).weight.to(hidden).T

    def features_at(
        self, positions: Float[Tensor, "*batch 3"], name: str
    ) -> Float[Tensor, "*batch d"]:
        """A teacher's features at world positions, not normalised."""
        return self.decode(self.hidden_at(positions), name)
