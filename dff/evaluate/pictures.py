"""How alike two pictures are."""

from __future__ import annotations

import math

from jaxtyping import Bool, Float
from torch import Tensor


def psnr(
    image: Float[Tensor, "h w c"],
    reference: Float[Tensor, "h w c"],
    where: Bool[Tensor, "h w"] | None = None,
) -> float:
    """Peak signal-to-noise ratio in dB, ``-10 log10(mean squared error)``, for values in [0, 1].

    Args:
        image, reference: of the same size.
        where: pixels that count; all of them by default.

    Returns:
        dB; infinite for equal pictures, NaN where no pixel counts.
    """
    error = (image.double() - reference.double()).square()
    if where is not None:
        error = error[where]
    if error.numel() == 0:
        return math.nan
    mean = float(error.mean())
    return math.inf if mean == 0.0 else -10.0 * math.log10(mean)
