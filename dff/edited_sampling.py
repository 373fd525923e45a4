"""Asking selections only where something is, and letting the sampler see the edits."""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from dff.edits.compiled import CompiledEdits
from dff.fields.feature_field import FeatureField
from dff.rendering import alphas_from_density

# Dozens of samples that stop less light than this change no 8-bit pixel, whatever is done to them.
VISIBLE_ALPHA = 1e-4
# Proposals only say where to look, so that thin fog need not be asked about.
VISIBLE_PROPOSAL_ALPHA = 1e-2


def masks_where(
    feature_field: FeatureField,
    positions: Float[Tensor, "*batch 3"],
    visible: Bool[Tensor, "*batch"],
    edits: CompiledEdits,
) -> list[Float[Tensor, "*batch"]]:
    """Soft mask of every step at the visible positions, zero elsewhere.

    Args:
        feature_field: asked once, for those visible positions that have to be.
        positions: world positions.
        visible: which of them count.
        edits: whose selections are asked.
    """
    points = positions[visible]
    unit = feature_field.unit_positions(points)

    def hidden_where(asked: Bool[Tensor, " n"]) -> Float[Tensor, "k H"]:
        there = points[asked]
        return feature_field.hidden_at(
            there if edits.snap is None else edits.snap(unit[asked], there)
        )

    masks = []
    for values in edits.masks(unit, hidden_where):
        mask = torch.zeros(visible.shape, dtype=values.dtype, device=values.device)
        mask[visible] = values
        masks.append(mask)
    return masks


def edited_density_fn(
    density_fn: Callable[[Float[Tensor, "*batch 3"]], Float[Tensor, "*batch 1"]],
    feature_field: FeatureField,
    edits: CompiledEdits,
) -> Callable[[Float[Tensor, "*rays samples 3"]], Float[Tensor, "*rays samples 1"]]:
    """A density function for the proposal sampler that sees what edits do to opacity.

    Density times the share of alpha that the steps leave: not the exact edit, but proposals need
    only be large where light is stopped.
    """

    def edited(positions: Float[Tensor, "*rays samples 3"]) -> Float[Tensor, "*rays samples 1"]:
        density = density_fn(positions)
        gaps = (positions[..., 1:, :] - positions[..., :-1, :]).norm(dim=-1, keepdim=True)
        deltas = torch.cat([gaps, gaps[..., -1:, :]], dim=-2)
        visible = alphas_from_density(density, deltas)[..., 0] > VISIBLE_PROPOSAL_ALPHA
        masks = masks_where(feature_field, positions, visible, edits)
        kept = edits.kept_share(masks)
        return torch.where(visible[..., None], density * kept, density)

    return edited
