"""The sigmoid of colours, from whose ends training finds its way back."""

from __future__ import annotations

from typing import Any, cast

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

# The sigmoid's own at inputs of 5.3 either way, about one 8-bit level from its ends.
LEAST_SLOPE = 0.005


def colour_sigmoid(raw: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 3"]:
    """Colours in (0, 1): the sigmoid, to the last bit; its gradient is never less than
    `LEAST_SLOPE`.

    Early steps are large, and drive the rarer channel of a rare colour (the blue of one red thing)
    to where the sigmoid is all but flat, at inputs of -10. By its own slope of 1e-5 it would stay
    there for the whole training, black where it should be dark.
    """
    return cast(Tensor, _ColourSigmoid.apply(raw))


class _ColourSigmoid(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, raw: Tensor) -> Tensor:
        colours = torch.sigmoid(raw)
        ctx.save_for_backward(colours)
        return colours

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        (colours,) = ctx.saved_tensors
        return grad * (colours * (1 - colours)).clamp_min(LEAST_SLOPE)
