"""What a selection says at points on a surface, and at the samples along rays."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from dff.fields.feature_field import FeatureField
from dff.selection.selection import Selection


@dataclass(frozen=True, eq=False)
class Placed:
    """Where a selection holds: its voxels say, and leave their rims to its query."""

    selection: Selection

    def __call__(
        self, unit: Float[Tensor, "*batch 3"]
    ) -> tuple[Float[Tensor, "*batch"], Bool[Tensor, "*batch"]]:
        """What the voxels say.

        Args:
            unit: positions in the unit cube.

        Returns:
            Soft mask in [0, 1], and where the query has to be asked instead: on rims alone.
        """
        selection = self.selection
        nowhere = torch.zeros(unit.shape[:-1], dtype=torch.bool, device=unit.device)
        if len(selection.grid) == 0:
            return nowhere.float(), nowhere
        if selection.exact is None:
            return selection.grid.sampled(selection.values, unit).to(unit), nowhere
        voxel = selection.grid.voxel_at(unit)
        return selection.values[voxel].to(unit), ~selection.settled[voxel].to(unit.device)


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
    values, asked = Placed(selection)(field.unit_positions(points.to(field.aabb)))
    values = values.to(hidden)
    if selection.exact is None:
        return values, values
    scorer = selection.exact.on(field)
    return scorer.scores(hidden), torch.where(asked, scorer.mask(hidden), values)
