"""Named colours: what people call them, and how to draw one at random."""

from __future__ import annotations

import numpy as np

from dff.errors import DffError

Colour = tuple[float, float, float]

# Hue in degrees, saturation and value in [0, 1], of sRGB. Wide enough to be a word, with gaps
# between neighbours so that no colour could be called by two of them.
_HSV: dict[str, tuple[tuple[float, float], tuple[float, float], tuple[float, float]]] = {
    "red": ((-12, 7), (0.72, 1.0), (0.5, 0.95)),
    "orange": ((19, 33), (0.78, 1.0), (0.85, 1.0)),
    "yellow": ((45, 60), (0.6, 1.0), (0.82, 1.0)),
    "green": ((78, 155), (0.42, 1.0), (0.3, 0.82)),
    "blue": ((200, 240), (0.55, 1.0), (0.4, 0.95)),
    "purple": ((264, 290), (0.42, 0.9), (0.35, 0.8)),
    "pink": ((318, 348), (0.22, 0.55), (0.88, 1.0)),
    "brown": ((14, 32), (0.5, 0.8), (0.26, 0.52)),
    "black": ((0, 360), (0.0, 0.25), (0.03, 0.14)),
    "white": ((0, 360), (0.0, 0.07), (0.9, 1.0)),
    "gray": ((0, 360), (0.0, 0.08), (0.38, 0.62)),
}


def colour_names() -> tuple[str, ...]:
    """The colours that things come in, in a fixed order."""
    return tuple(_HSV)


def sample_colour(name: str, rng: np.random.Generator) -> Colour:
    """An sRGB colour in [0, 1] that people would call ``name``.

    Raises:
        DffError: for a colour that is not in `colour_names`.
    """
    if name not in _HSV:
        raise DffError(f"no colour is called '{name}'; known: {', '.join(_HSV)}")
    hue, saturation, value = (rng.uniform(*limits) for limits in _HSV[name])
    return hsv_to_rgb(hue, saturation, value)


def hsv_to_rgb(hue: float, saturation: float, value: float) -> Colour:
    """sRGB in [0, 1] of a hue in degrees and saturation and value in [0, 1]."""
    # f(n) = V - V S max(0, min(k, 4 - k, 1)) with k = (n + H / 60) mod 6, for n = 5, 3, 1.
    channels = []
    for n in (5, 3, 1):
        k = (n + hue / 60.0) % 6.0
        channels.append(value - value * saturation * max(0.0, min(k, 4 - k, 1.0)))
    return (channels[0], channels[1], channels[2])


def near(colour: Colour, rng: np.random.Generator, amount: float) -> Colour:
    """The same colour, a little lighter or darker."""
    factor = 1.0 + rng.uniform(-amount, amount)
    r, g, b = (float(np.clip(c * factor, 0.0, 1.0)) for c in colour)
    return (r, g, b)


def any_colour(rng: np.random.Generator) -> Colour:
    """A colour of any name, every name as likely."""
    return sample_colour(str(rng.choice(colour_names())), rng)


def contrasting(colour: Colour, rng: np.random.Generator, least: float = 0.35) -> Colour:
    """A colour of any name at least ``least`` away in sRGB: half of them white or black."""
    while True:
        chance = rng.random()
        name = "white" if chance < 0.35 else "black" if chance < 0.5 else None
        other = any_colour(rng) if name is None else sample_colour(name, rng)
        if np.linalg.norm(np.subtract(other, colour)) >= least:
            return other
