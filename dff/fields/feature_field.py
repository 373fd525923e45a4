"""The feature field: view-independent ``f(x) = W h(x)`` on a hash grid of its own."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from dff.fields.blocks import ResolvedImplementation, grid_encoding, mlp
from dff.fields.contraction import to_unit_cube
from dff.fields.hash_encoding import GridShape


class FeatureField(nn.Module):
    """Hidden features ``h(x)`` and the linear decoder ``W`` to the teacher's dimension.

    Because decoding is linear, a ray's hidden features are composited first and decoded once, and a
    text query is folded into ``W``: the cost hardly depends on the teacher's dimension.

    Args:
        aabb: scene box, ``(2, 3)``.
        grid: its hash grid.
        hidden_dim: width of the MLP and of ``h``.
        feature_dim: the teacher's dimension D.
        contracted: contract unbounded space into a cube; otherwise the scene box alone counts.
        implementation: ``tcnn`` or ``torch``.
    """

    aabb: Tensor

    def __init__(
        self,
        aabb: Float[Tensor, "2 3"],
        grid: GridShape,
        hidden_dim: int,
        feature_dim: int,
        contracted: bool,
        implementation: ResolvedImplementation,
    ) -> None:
        super().__init__()
        self.register_buffer("aabb", aabb)
        self.contracted = contracted
        self.encoding = grid_encoding(grid, implementation)
        self.mlp = mlp(grid.out_dim, hidden_dim, hidden_dim, 1, implementation)
        self.decoder = nn.Linear(hidden_dim, feature_dim, bias=False)

    @property
    def feature_dim(self) -> int:
        """The teacher's dimension D."""
        return self.decoder.out_features

    def set_feature_dim(self, feature_dim: int) -> None:
        """Start the decoder anew for a teacher of another dimension."""
        self.decoder = nn.Linear(
            self.decoder.in_features, feature_dim, bias=False, device=self.decoder.weight.device
        )

    def unit_positions(self, positions: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 3"]:
        """World positions in the unit cube that the grid covers."""
        return to_unit_cube(positions, self.aabb, self.contracted)

    def hidden_at(self, positions: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch hidden"]:
        """Hidden features at world positions; positions are detached (no gradient to poses)."""
        unit = self.unit_positions(positions.detach())
        hidden = torch.relu(self.mlp(self.encoding(unit.reshape(-1, 3))))
        size = (*positions.shape[:-1], self.decoder.in_features)
        return hidden.view(size).to(positions.dtype)

    def decode(self, hidden: Float[Tensor, "*batch hidden"]) -> Float[Tensor, "*batch d"]:
        """Teacher features from hidden features: ``W h``, not normalised."""
        return self.decoder(hidden)

    def features_at(self, positions: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch d"]:
        """Teacher features at world positions, not normalised."""
        return self.decode(self.hidden_at(positions))
