"""Named colours, and how a thing of a given name and colour is painted.

Every surface is painted by one small rule: ``albedo = mix(first, second, v)`` with
``v = clip((blotch * n1 + figure * n2 - threshold) * gain, 0, 1)``, where ``n1`` and ``n2`` are two
pattern values in [0, 1] of the surface point (see `pattern_values`). The rule is linear in a short
row of numbers, so that a training loop repaints thousands of pictures by one table look-up.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dff.data.generated.objects import PART_NAMES
from dff.errors import DffError

Array = NDArray[np.float64]
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


ROW_LENGTH = 11


@dataclass(frozen=True)
class Look:
    """How a thing is painted: its named colour and a material for each of its parts."""

    colour: str
    parts: Mapping[str, Material]

    def material(self, part: str) -> Material:
        """The part's material; parts without one of their own are painted like the body."""
        return self.parts.get(part, self.parts["body"])

    def table(self) -> Array:
        """(len(PART_NAMES), ROW_LENGTH) rows in the order of `PART_NAMES`."""
        return np.array([self.material(part).row() for part in PART_NAMES])


def plain(colour: Colour, gloss: float = 0.2) -> Material:
    """One colour all over."""
    return Material(colour, colour, gloss=gloss)


def sample_look(
    name: str, rng: np.random.Generator, colour: str | None = None, patterned: float = 0.2
) -> Look:
    """A way to paint a thing.

    Args:
        name: what the thing is.
        rng: source of the variation.
        colour: its named colour; ``None`` takes one that such things have in the world.
        patterned: probability of a pattern where the name does not bring its own.
    """
    natural = colour is None
    if colour is None:
        colour = str(rng.choice(natural_colours(name)))
    body = _body(name, colour, rng, natural, patterned)
    parts = {"body": body}
    for part in _OTHER_PARTS.get(name, ()):
        parts[part] = _other_part(part, body, colour, rng, natural)
    return Look(colour, parts)


def natural_colours(name: str) -> tuple[str, ...]:
    """Colours such things have in the world, likely ones repeated; any where there is no rule."""
    return _NATURAL.get(name, colour_names())


_NATURAL: dict[str, tuple[str, ...]] = {
    "apple": ("red", "red", "red", "red", "green", "yellow"),
    "banana": ("yellow", "yellow", "yellow", "yellow", "yellow", "green"),
    "pear": ("green", "green", "yellow", "yellow", "brown"),
    "carrot": ("orange", "orange", "orange", "purple"),
    "donut": ("brown", "pink", "white", "brown"),
    "duck": ("yellow", "yellow", "yellow", "white", "brown"),
    "box": ("brown", "brown", "white", "gray", "red", "blue"),
    "bottle": ("green", "brown", "blue", "white", "red"),
}

_OTHER_PARTS: dict[str, tuple[str, ...]] = {
    "apple": ("stem", "leaf"),
    "banana": ("stem", "tip"),
    "pear": ("stem", "leaf"),
    "carrot": ("leaf",),
    "donut": ("dough",),
    "mug": ("inside", "handle"),
    "bowl": ("inside",),
    "bottle": ("label", "cap"),
    "book": ("pages",),
    "box": ("band", "lid"),
    "ball": ("panel",),
    "duck": ("beak", "eye"),
}


def _near(colour: Colour, rng: np.random.Generator, amount: float) -> Colour:
    """The same colour, a little lighter or darker."""
    factor = 1.0 + rng.uniform(-amount, amount)
    r, g, b = (float(np.clip(c * factor, 0.0, 1.0)) for c in colour)
    return (r, g, b)


def _body(
    name: str, colour: str, rng: np.random.Generator, natural: bool, patterned: float
) -> Material:
    first = sample_colour(colour, rng)
    gloss = float(rng.uniform(0.0, 0.6))
    if natural and name == "apple" and rng.random() < 0.75:
        other = "yellow" if colour == "red" else ("red" if rng.random() < 0.4 else "green")
        second = sample_colour(other, rng)
        weight = rng.uniform(0.3, 1.0)
        return Material(
            first, second, weight, 1 - weight, rng.uniform(0.6, 0.8), rng.uniform(1, 3), gloss
        )
    if natural and name == "banana" and rng.random() < 0.75:
        kind = rng.random()
        if kind < 0.6:
            second = hsv_to_rgb(rng.uniform(20, 38), rng.uniform(0.5, 0.8), rng.uniform(0.2, 0.5))
            return Material(
                first, second, 0.7, 0.3, rng.uniform(0.62, 0.8), rng.uniform(3, 10), gloss
            )
        second = hsv_to_rgb(rng.uniform(60, 85), rng.uniform(0.5, 0.9), rng.uniform(0.5, 0.85))
        return Material(first, second, 0.0, 1.0, rng.uniform(0.55, 0.8), rng.uniform(2, 4), gloss)
    if natural and name in ("pear", "carrot", "box", "donut") and rng.random() < 0.5:
        second = _near(first, rng, 0.35)
        return Material(first, second, 0.6, 0.4, rng.uniform(0.4, 0.6), rng.uniform(1, 6), gloss)
    if rng.random() < patterned:
        if rng.random() < 0.5:
            second = _near(first, rng, 0.3)
        else:
            second = sample_colour(str(rng.choice(colour_names())), rng)
        weight = float(rng.random() < 0.5)
        return Material(
            first, second, weight, 1 - weight, rng.uniform(0.62, 0.85), rng.uniform(3, 20), gloss
        )
    second = _near(first, rng, 0.12)
    return Material(first, second, 0.5, 0.5, 0.3, rng.uniform(0.5, 2.0), gloss)


def _other_part(
    part: str, body: Material, colour: str, rng: np.random.Generator, natural: bool
) -> Material:
    gloss = float(rng.uniform(0.0, 0.5))

    def any_colour() -> Colour:
        return sample_colour(str(rng.choice(colour_names())), rng)

    def brownish(low: float, high: float) -> Colour:
        return hsv_to_rgb(rng.uniform(20, 50), rng.uniform(0.3, 0.7), rng.uniform(low, high))

    accent = not natural and part in ("stem", "tip", "leaf", "dough", "eye", "beak")
    # Away from nature half of them follow the body, so that no name rests on an accent alone.
    if accent and rng.random() < 0.5:
        return Material(
            body.first, body.second, body.blotch, body.figure, body.threshold, body.gain, gloss
        )
    if part == "stem":
        if rng.random() < 0.4:
            green = hsv_to_rgb(rng.uniform(55, 95), rng.uniform(0.4, 0.8), rng.uniform(0.4, 0.75))
            return Material(green, brownish(0.3, 0.6), 1.0, 0.0, 0.4, 3.0, gloss)
        return plain(brownish(0.15, 0.55), gloss)
    if part == "tip":
        return plain(brownish(0.08, 0.35), gloss)
    if part == "leaf":
        return plain(sample_colour("green", rng), gloss)
    if part == "dough":
        tan = hsv_to_rgb(rng.uniform(26, 38), rng.uniform(0.4, 0.65), rng.uniform(0.55, 0.85))
        return Material(tan, _near(tan, rng, 0.25), 1.0, 0.0, 0.4, 2.0, gloss)
    if part == "eye":
        return plain((0.04, 0.04, 0.04), 0.8)
    if part == "beak":
        return plain(sample_colour(str(rng.choice(["orange", "red", "yellow"])), rng), gloss)
    if part == "pages":
        return plain(hsv_to_rgb(rng.uniform(35, 60), rng.uniform(0, 0.2), rng.uniform(0.8, 1)), 0)
    if part in ("inside", "handle"):
        chance = 0.6 if part == "handle" else 0.5
        if rng.random() < chance:
            return plain(body.first, gloss)
        return plain(sample_colour("white", rng) if rng.random() < 0.6 else any_colour(), gloss)
    if part == "label":
        return Material(
            sample_colour("white", rng) if rng.random() < 0.5 else any_colour(),
            any_colour(),
            0.0,
            1.0,
            rng.uniform(0.5, 0.8),
            rng.uniform(3, 20),
            gloss,
        )
    # band, lid, cap, panel
    if rng.random() < 0.25:
        return plain(_near(body.first, rng, 0.3), gloss)
    return plain(any_colour(), gloss)


@dataclass(frozen=True)
class Pattern:
    """Two scalar figures over space, each given by a handful of plane waves.

    Attributes:
        blotch_waves: (K, 4) wave vectors and phases of the soft, cloudy one.
        figure_waves: (L, 4) the same for the second; a single wave gives stripes.
        hard: whether the second is cut to bands (stripes, checks) rather than left soft.
    """

    blotch_waves: Array
    figure_waves: Array
    hard: bool


def sample_pattern(rng: np.random.Generator, flat: bool = False) -> Pattern:
    """A random pattern for a thing about 1 unit across (``flat``: for a table, in x and y)."""

    def waves(count: int, low: float, high: float) -> Array:
        direction = rng.normal(size=(count, 3))
        if flat:
            direction[:, 2] = 0.0
        direction /= np.linalg.norm(direction, axis=1, keepdims=True)
        frequency = rng.uniform(low, high, (count, 1))
        return np.concatenate([direction * frequency, rng.uniform(0, 6.283, (count, 1))], 1)

    blotch = waves(7, 4.0, 14.0)
    kind = rng.random()
    if kind < 0.3:
        figure = waves(1, 6.0, 30.0)
    elif kind < 0.5:
        figure = waves(2, 6.0, 20.0)
        axis = np.eye(3)[rng.permutation(2 if flat else 3)[:2]]
        figure[:, :3] = axis * np.linalg.norm(figure[:1, :3])
    elif kind < 0.75:
        figure = waves(9, 25.0, 60.0)
    else:
        figure = waves(1, 1.5, 3.0)
    return Pattern(blotch, figure, bool(rng.random() < 0.5))


def pattern_values(pattern: Pattern, points: Array) -> tuple[Array, Array]:
    """The two pattern values in [0, 1] at (N, 3) points: two arrays of shape (N,)."""

    def field(waves: Array) -> Array:
        phase = points @ waves[:, :3].T + waves[:, 3]
        # The sum of K cosines has standard deviation sqrt(K / 2).
        return np.cos(phase).sum(1) / np.sqrt(len(waves) / 2.0)

    blotch = 0.5 + 0.5 * np.tanh(0.9 * field(pattern.blotch_waves))
    figure = field(pattern.figure_waves)
    figure = 0.5 + 0.5 * np.tanh((6.0 if pattern.hard else 0.9) * figure)
    return blotch, figure


def paint(row: Array, n1: Array, n2: Array) -> Array:
    """(N, 3) sRGB albedo of (N, ROW_LENGTH) material rows at (N,) pattern values n1 and n2."""
    mix = (row[:, 6] * n1 + row[:, 7] * n2 - row[:, 8]) * row[:, 9]
    return row[:, :3] + row[:, 3:6] * np.clip(mix, 0.0, 1.0)[:, None]
