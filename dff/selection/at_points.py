"""What a selection says at points on a surface, and at the samples along rays."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from dff.fields.feature_field import FeatureField
from dff.selection.exact import ExactScorer
from dff.selection.selection import Selection


@dataclass(frozen=True)
class Everywhere:
    """What a selection without a query says of features: nothing; its voxels decide."""

    def mask(self, hidden: Float[Tensor, "*batch H"]) -> Float[Tensor, "*batch"]:
        """Ones."""
        return torch.ones_like(hidden[..., 0])


@dataclass(frozen=True, eq=False)
class Placed:
    """Where a selection holds: its voxels, and on their rims what its query says."""

    selection: Selection

    def __call__(
        self, unit: Float[Tensor, "*batch 3"], mask: Float[Tensor, "*batch"]
    ) -> Float[Tensor, "*batch"]:
        """Soft mask at positions.

        Args:
            unit: positions in the unit cube.
            mask: what the query, or `Everywhere`, says there.
        """
        selection = self.selection
        if len(selection.grid) == 0:
            return torch.zeros_like(mask)
        if selection.exact is None:
            return mask * selection.grid.sampled(selection.values, unit).to(mask)
        voxel = selection.grid.voxel_at(unit)
        settled = selection.settled[voxel].to(mask.device)
        return torch.where(settled, selection.values[voxel].to(mask), mask)

    def open_at(self, unit: Float[Tensor, "*batch 3"]) -> Bool[Tensor, "*batch"]:
        """Where the query has to be asked: on rims alone."""
        selection = self.selection
        if selection.exact is None or len(selection.grid) == 0:
            return torch.zeros(unit.shape[:-1], dtype=torch.bool, device=unit.device)
        return ~selection.settled[selection.grid.voxel_at(unit)].to(unit.device)


def asking(selection: Selection, field: FeatureField) -> ExactScorer | Everywhere:
    """What to ask of the features at a point, before `Placed` says where."""
    return Everywhere() if selection.exact is None else selection.exact.on(field)


def mask_at(
    selection: Selection,
    field: FeatureField,
    hidden: Float[Tensor, "*batch H"],
    points: Float[Tensor, "*batch 3"],
) -> tuple[Float[Tensor, "*batch"], Float[Tensor, "*batch"]]:
    """A selection at surface points.

    Args:
        selection: of the scene that the field belongs to.
        field: of that scene.
        hidden: hidden features there, composited or of the point itself.
        points: world positions.

    Returns:
        Scores and soft mask, both in [0, 1]. Where the selection has a query, the voxels
        decide, and on their rims the query does; otherwise the voxels' values, trilinear in
        between, are both.
    """
    unit = field.unit_positions(points.to(field.aabb))
    asked = asking(selection, field)
    values = Placed(selection)(unit, asked.mask(hidden))
    return (asked.scores(hidden) if isinstance(asked, ExactScorer) else values), values
