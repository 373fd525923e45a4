"""Evaluating the feature field only where it is seen, and letting the sampler see the edits."""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from dff.edits.compiled import CompiledEdits, PointMover
from dff.fields.feature_field import FeatureField
from dff.rendering import alphas_from_density

# Dozens of samples that stop less light than this change no 8-bit pixel, whatever is done to them.
VISIBLE_ALPHA = 1e-4


def hidden_where(
    feature_field: FeatureField,
    positions: Float[Tensor, "*batch 3"],
    visible: Bool[Tensor, "*batch"],
    snap: PointMover | None = None,
) -> Float[Tensor, "*batch H"]:
    """Hidden features at the visible positions, zero (which every selection leaves out) elsewhere.

    Args:
        feature_field: asked once, for the visible positions alone.
        positions: world positions.
        visible: which of them count.
        snap: moves positions before they are asked about.
    """
    asked = positions[visible]
    if snap is not None:
        asked = snap(feature_field.unit_positions(asked), asked)
    found = feature_field.hidden_at(asked)
    hidden = torch.zeros(
        (*visible.shape, found.shape[-1]), dtype=found.dtype, device=positions.device
    )
    hidden[visible] = found
    return hidden


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
        visible = alphas_from_density(density, deltas)[..., 0] > VISIBLE_ALPHA
        hidden = hidden_where(feature_field, positions, visible, edits.snap)
        unit = feature_field.unit_positions(positions)
        return density * edits.kept_share(edits.masks(hidden, unit))

    return edited
