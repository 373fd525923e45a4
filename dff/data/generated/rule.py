"""The one rule that every surface is painted by.

``albedo = mix(first, second, v)`` with
``v = clip((blotch * n1 + figure * n2 - threshold) * gain, 0, 1)``, where ``n1`` and ``n2`` are two
pattern values in [0, 1] of the surface point (see `patterns`). The rule is linear in a short row of
numbers, so that a training loop repaints thousands of pictures by one table look-up.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dff.data.generated.colours import Colour

Array = NDArray[np.float64]
ROW_LENGTH = 11


@dataclass(frozen=True)
class Material:
    """Paint of one part; see the rule at the top of the module. Colours are sRGB in [0, 1]."""

    first: Colour
    second: Colour
    blotch: float = 0.0
    figure: float = 0.0
    threshold: float = 0.5
    gain: float = 0.0
    gloss: float = 0.2

    def row(self) -> tuple[float, ...]:
        """The 11 numbers of the rule: first, second - first, blotch, figure, threshold, gain,
        gloss."""
        step = tuple(b - a for a, b in zip(self.first, self.second, strict=True))
        rule = (self.blotch, self.figure, self.threshold, self.gain, self.gloss)
        return (*self.first, *step, *rule)


def plain(colour: Colour, gloss: float = 0.2) -> Material:
    """One colour all over."""
    return Material(colour, colour, gloss=gloss)


def paint(row: Array, n1: Array, n2: Array) -> Array:
    """(N, 3) sRGB albedo of (N, ROW_LENGTH) material rows at (N,) pattern values n1 and n2."""
    mix = (row[:, 6] * n1 + row[:, 7] * n2 - row[:, 8]) * row[:, 9]
    return row[:, :3] + row[:, 3:6] * np.clip(mix, 0.0, 1.0)[:, None]
