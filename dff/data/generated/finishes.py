"""Materials with a word of their own: wood, metal, marble and patterned cloth.

Each needs a figure to show (see `patterns`): a surface is only ever called "wooden" where its
pattern is grain, and "metal" where its light was mirrored rather than scattered.
"""

from __future__ import annotations

import numpy as np

from dff.data.generated.colours import (
    Colour,
    any_colour,
    contrasting,
    hsv_to_rgb,
    near,
    sample_colour,
)
from dff.data.generated.rule import Material

_FIGURE_OF: dict[str, str] = {
    "wooden": "grain",
    "metal": "metal",
    "marble": "veins",
    "striped": "stripes",
    "spotted": "spots",
    "checked": "checks",
}


def material_names() -> tuple[str, ...]:
    """The materials that things come in, in a fixed order."""
    return tuple(_FIGURE_OF)


def material_of(figure: str) -> str | None:
    """The material that a figure can show, if any."""
    return next((m for m, f in _FIGURE_OF.items() if f == figure), None)


def finish(
    material: str, colour: str | None, rng: np.random.Generator
) -> tuple[Material, str | None]:
    """Paint of a surface of that material, and the one colour it has, if it has one.

    Args:
        material: one of `material_names`.
        colour: the colour wished for; ``None`` takes what such a material has by nature.
        rng: source of the variation.
    """
    return _FINISH[material](colour, rng)


def _wooden(colour: str | None, rng: np.random.Generator) -> tuple[Material, str | None]:
    if colour is None or colour == "brown" or rng.random() < 0.4:
        if rng.random() < 0.35 or colour == "brown":
            first, named = sample_colour("brown", rng), "brown"
        else:
            # Too light and yellow to be called brown.
            first = hsv_to_rgb(rng.uniform(27, 38), rng.uniform(0.3, 0.55), rng.uniform(0.62, 0.88))
            named = None
    else:
        first, named = sample_colour(colour, rng), colour
    second = _scaled(first, rng.uniform(0.5, 0.72))
    if max(first) < 0.2:
        second = _scaled(first, rng.uniform(2.0, 3.0), 0.06)
    gain = rng.uniform(1.3, 2.4)
    return Material(first, second, 0.1, 0.9, 0.3, gain, float(rng.uniform(0, 0.3))), named


def _metal(colour: str | None, rng: np.random.Generator) -> tuple[Material, str | None]:
    if colour is None or rng.random() < 0.25:
        kind = rng.random()
        if kind < 0.5:
            first = hsv_to_rgb(rng.uniform(0, 360), rng.uniform(0, 0.06), rng.uniform(0.6, 0.85))
            named = "gray"
        elif kind < 0.75:
            first = hsv_to_rgb(rng.uniform(42, 52), rng.uniform(0.5, 0.7), rng.uniform(0.85, 1.0))
            named = "yellow"
        else:
            first = hsv_to_rgb(rng.uniform(12, 22), rng.uniform(0.4, 0.55), rng.uniform(0.8, 0.95))
            named = None
    else:
        first, named = sample_colour(colour, rng), colour
    second = near(first, rng, 0.1)
    return Material(first, second, 1.0, 0.0, 0.3, 1.0, float(rng.uniform(0.3, 0.9))), named


def _marble(colour: str | None, rng: np.random.Generator) -> tuple[Material, str | None]:
    named = colour or str(rng.choice(["white", "white", "gray", "black", "green", "pink"]))
    first = sample_colour(named, rng)
    light = max(first) > 0.55 and rng.random() < 0.8
    second = _scaled(first, rng.uniform(0.35, 0.6)) if light else _scaled(first, 1.3, 0.3)
    gain = rng.uniform(1.3, 2.2)
    return Material(first, second, 0.2, 0.8, 0.2, gain, float(rng.uniform(0.1, 0.7))), named


def _two_coloured(colour: str | None, rng: np.random.Generator) -> tuple[Material, str | None]:
    """Stripes and checks: half the surface in another colour, or in a shade of the same."""
    first = any_colour(rng) if colour is None else sample_colour(colour, rng)
    named = None
    second = contrasting(first, rng)
    if colour is not None and rng.random() < 0.35:
        named = colour
        second = _scaled(first, 0.5) if max(first) > 0.4 else _scaled(first, 1.2, 0.25)
    gain = rng.uniform(4.0, 20.0)
    return Material(first, second, 0.0, 1.0, 0.5, gain, float(rng.uniform(0, 0.4))), named


def _spotted(colour: str | None, rng: np.random.Generator) -> tuple[Material, str | None]:
    named = colour or "white"
    first = sample_colour(named, rng)
    second = contrasting(first, rng)
    gain = rng.uniform(4.0, 20.0)
    return Material(first, second, 0.0, 1.0, 0.5, gain, float(rng.uniform(0, 0.4))), named


def _scaled(colour: Colour, factor: float, lift: float = 0.0) -> Colour:
    r, g, b = (float(np.clip(c * factor + lift, 0.0, 1.0)) for c in colour)
    return (r, g, b)


_FINISH = {
    "wooden": _wooden,
    "metal": _metal,
    "marble": _marble,
    "striped": _two_coloured,
    "spotted": _spotted,
    "checked": _two_coloured,
}
