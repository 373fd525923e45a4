"""Silence the deprecation warnings that nerfstudio 1.1.5 sets off on newer versions of torch."""

from __future__ import annotations

import warnings

# They come once per call site, from code that neither we nor the user can change.
NOISE = (
    "Using a non-tuple sequence for multidimensional indexing",
    "Converting a tensor with requires_grad=True to a scalar",
    r"`torch\.jit\.script` is deprecated",
    r"`torch\.cuda\.amp\.custom_(fwd|bwd)",
)


def quiet_nerfstudio() -> None:
    """Add filters for those warnings alone; everything else is still shown."""
    for message in NOISE:
        warnings.filterwarnings("ignore", message=message)
