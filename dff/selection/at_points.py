"""What a selection says at points on a surface."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from dff.fields.feature_field import FeatureField
from dff.selection.selection import Selection


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
        Scores and soft mask, both in [0, 1]. Where the selection has a query, the field answers it
        and the voxels only say where; otherwise the voxels' values, trilinear in between, are both.
    """
    unit = field.unit_positions(points.to(field.aabb))
    if selection.exact is None:
        values = selection.grid.sampled(selection.values, unit).to(hidden)
        return values, values
    voxel = selection.grid.voxel_at(unit)
    scorer = selection.exact.on(field)
    mask = scorer.mask(hidden) * selection.reach[voxel].to(hidden)
    if selection.firm is not None:
        held = selection.firm[voxel].to(hidden.device)
        mask = torch.where(held, selection.values[voxel].to(hidden), mask)
    return scorer.scores(hidden), mask
