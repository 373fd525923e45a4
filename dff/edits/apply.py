"""What steps do to the samples along rays, as pure functions.

A sample's alpha is the share of light it stops, ``alpha = 1 - exp(-sigma delta)``. Editing alpha
rather than density means that a mask of 1 removes a sample exactly, at any density.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from dff.edits.colour import recolour
from dff.edits.operations import Delete, Extract, Opacity, Recolor

Alphas = Float[Tensor, "*batch samples 1"]
Colours = Float[Tensor, "*batch samples 3"]
Mask = Float[Tensor, "*batch samples"]
Rays = Int[Tensor, " samples"]

SampleOperation = Delete | Extract | Opacity | Recolor


def apply_operations(
    alphas: Alphas,
    rgb: Colours,
    operations: Sequence[SampleOperation],
    masks: Sequence[Mask | None],
    ray: Rays | None = None,
) -> tuple[Alphas, Colours]:
    """Apply operations to samples, in order.

    With soft mask m, per sample:

    * delete: ``alpha' = alpha (1 - m)``
    * extract: ``alpha' = alpha m``
    * opacity: ``alpha' = alpha (1 - m (1 - s))``, ``s = factor T / (1 - factor + factor T)``, with
      ``T = prod_{j before} (1 - alpha_j m_j)``, the light that what is selected lets through to
      here along the ray: together its samples stop ``factor`` times what they stopped
    * recolor: ``c' = (1 - m) c + m g(c)``

    Where m is 0, delete, opacity and recolor leave a sample bit for bit as it was, and so does
    extract where m is 1.

    Args:
        alphas: (..., S, 1) in [0, 1].
        rgb: (..., S, 3) in [0, 1].
        operations: what to do, in the order of the document.
        masks: one per operation, (..., S) in [0, 1]; None for a step that is switched off.
        ray: the number of the ray that each sample lies on, ascending, and on a ray from near to
            far, for samples that are given as (S, ...); without, T is 1 at every sample.

    Returns:
        New alphas and colours; the very tensors given when no operation touched them.

    Raises:
        ValueError: when there is not one mask per operation.
    """
    for operation, mask in zip(operations, masks, strict=True):
        if mask is None:
            continue
        m = mask.to(alphas.dtype)[..., None]
        if isinstance(operation, Delete):
            alphas = alphas * (1 - m)
        elif isinstance(operation, Extract):
            alphas = alphas * m
        elif isinstance(operation, Opacity):
            alphas = alphas * (1 - m * (1 - _share_left(operation.factor, alphas * m, ray)))
        else:
            m = mask.to(rgb.dtype)[..., None]
            mixed = (1 - m) * rgb + m * recolour(rgb, operation)
            rgb = torch.where(m > 0, mixed, rgb)
    return alphas, rgb


def _share_left(factor: float, alphas: Alphas, ray: Rays | None) -> Alphas | float:
    """Share of each of a thing's alphas that stays, where ``factor`` of its opacity is to stay."""
    if ray is None or factor == 1.0:
        return factor
    passed = own_transmittance(alphas[..., 0], ray)[..., None]
    return factor * passed / (1.0 - factor + factor * passed)


def own_transmittance(alphas: Float[Tensor, " samples"], ray: Rays) -> Float[Tensor, " samples"]:
    """Light that reaches each sample past the samples before it on its own ray, in [0, 1].

    Args:
        alphas: in [0, 1].
        ray: the number of each sample's ray, ascending.
    """
    # Summed over all rays at once, of which a float would lose the small differences.
    depth = -torch.log1p(-alphas.double().clamp(max=1.0 - 1e-9))
    before = torch.cumsum(depth, dim=0) - depth
    first = torch.ones_like(ray, dtype=torch.bool)
    first[1:] = ray[1:] != ray[:-1]
    start = before[first][torch.cumsum(first, dim=0) - 1]
    return torch.exp(start - before).clamp(max=1.0).to(alphas.dtype)
