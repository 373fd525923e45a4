"""What steps do to the samples along rays, as pure functions.

A sample's alpha is the share of light it stops, ``alpha = 1 - exp(-sigma delta)``. Editing alpha
rather than density means that a mask of 1 removes a sample exactly, at any density.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from dff.edits.colour import recolour
from dff.edits.operations import Delete, Extract, Opacity, Recolor

Alphas = Float[Tensor, "*batch samples 1"]
Colours = Float[Tensor, "*batch samples 3"]
Mask = Float[Tensor, "*batch samples"]

SampleOperation = Delete | Extract | Opacity | Recolor


def apply_operations(
    alphas: Alphas,
    rgb: Colours,
    operations: Sequence[SampleOperation],
    masks: Sequence[Mask | None],
) -> tuple[Alphas, Colours]:
    """Apply operations to samples, in order.

    With soft mask m, per sample:

    * delete: ``alpha' = alpha (1 - m)``
    * extract: ``alpha' = alpha m``
    * opacity: ``alpha' = alpha (1 - m (1 - factor))``
    * recolor: ``c' = (1 - m) c + m g(c)``

    Where m is 0, delete, opacity and recolor leave a sample bit for bit as it was, and so does
    extract where m is 1.

    Args:
        alphas: (..., S, 1) in [0, 1].
        rgb: (..., S, 3) in [0, 1].
        operations: what to do, in the order of the document.
        masks: one per operation, (..., S) in [0, 1]; None for a step that is switched off.

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
            alphas = alphas * (1 - m * (1 - operation.factor))
        else:
            m = mask.to(rgb.dtype)[..., None]
            mixed = (1 - m) * rgb + m * recolour(rgb, operation)
            rgb = torch.where(m > 0, mixed, rgb)
    return alphas, rgb
