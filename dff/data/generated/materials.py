"""How a thing of a given name, colour and material is painted, part by part."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from dff.data.generated.colours import (
    Colour,
    any_colour,
    colour_names,
    contrasting,
    hsv_to_rgb,
    near,
    sample_colour,
)
from dff.data.generated.finishes import finish
from dff.data.generated.objects import PART_NAMES
from dff.data.generated.rule import Material, plain

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Look:
    """How a thing is painted.

    Attributes:
        colour: its named colour; ``None`` where there is no one colour to name.
        parts: a material for each of its parts.
        material: what it is called to be made of, if there is a word for it.
    """

    colour: str | None
    parts: Mapping[str, Material]
    material: str | None = None

    def part(self, name: str) -> Material:
        """The part's paint; parts without one of their own are painted like the body."""
        return self.parts.get(name, self.parts["body"])

    def table(self) -> Array:
        """(len(PART_NAMES), ROW_LENGTH) rows in the order of `PART_NAMES`."""
        return np.array([self.part(name).row() for name in PART_NAMES])


def sample_look(
    name: str,
    rng: np.random.Generator,
    colour: str | None = None,
    patterned: float = 0.2,
    *,
    material: str | None = None,
    figured: bool = True,
) -> Look:
    """A way to paint a thing.

    Args:
        name: what the thing is.
        rng: source of the variation.
        colour: its named colour; ``None`` takes one that such things have in the world.
        patterned: probability of a pattern where the name does not bring its own.
        material: what it is made of, where there is to be a word for it; its own colour may then
            take the place of the one wished for.
        figured: whether paint without a material may show the second figure of a pattern.
    """
    natural = colour is None
    if colour is None:
        colour = str(rng.choice(natural_colours(name)))
    if material is None:
        named: str | None = colour
        body = _body(name, colour, rng, natural, patterned)
        if not figured:
            body = replace(body, blotch=body.blotch + body.figure, figure=0.0)
    else:
        body, named = finish(material, colour, rng)
    parts = {"body": body}
    for part in _OTHER_PARTS.get(name, ()):
        if material is not None and part in _OF_ONE_PIECE and rng.random() < 0.75:
            continue
        parts[part] = _other_part(part, body, rng, natural)
    return Look(named, parts, material)


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
    "bear": ("brown", "brown", "brown", "white", "black", "pink"),
    "mushroom": ("red", "brown", "brown", "white"),
    "lamp": ("white", "white", "yellow", "red", "green", "blue"),
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
    "book": ("pages", "label"),
    "box": ("band", "lid", "inside"),
    "ball": ("panel",),
    "duck": ("beak", "eye"),
    "car": ("window", "wheel", "cap"),
    "bear": ("belly", "eye"),
    "lamp": ("stand", "inside"),
    "mushroom": ("stalk",),
}

# Parts that are of the body's material more often than not.
_OF_ONE_PIECE = ("inside", "handle", "dough", "stalk", "belly", "stand", "tip", "stem")

# Parts that nature colours, and that elsewhere may follow the body.
_ACCENTS = ("stem", "tip", "leaf", "dough", "beak", "stalk", "belly")


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
        second = near(first, rng, 0.35)
        return Material(first, second, 0.6, 0.4, rng.uniform(0.4, 0.6), rng.uniform(1, 6), gloss)
    if rng.random() < patterned:
        second = near(first, rng, 0.3) if rng.random() < 0.5 else any_colour(rng)
        weight = float(rng.random() < 0.5)
        return Material(
            first, second, weight, 1 - weight, rng.uniform(0.62, 0.85), rng.uniform(3, 20), gloss
        )
    second = near(first, rng, 0.12)
    return Material(first, second, 0.5, 0.5, 0.3, rng.uniform(0.5, 2.0), gloss)


def _other_part(part: str, body: Material, rng: np.random.Generator, natural: bool) -> Material:
    gloss = float(rng.uniform(0.0, 0.5))

    def brownish(low: float, high: float) -> Colour:
        return hsv_to_rgb(rng.uniform(20, 50), rng.uniform(0.3, 0.7), rng.uniform(low, high))

    # Away from nature some of them follow the body, so that no name rests on an accent alone.
    if not natural and part in _ACCENTS and rng.random() < 0.3:
        return replace(body, gloss=gloss)
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
        return Material(tan, near(tan, rng, 0.25), 1.0, 0.0, 0.4, 2.0, gloss)
    if part == "stalk":
        return plain(hsv_to_rgb(rng.uniform(30, 50), rng.uniform(0, 0.3), rng.uniform(0.7, 1)), 0)
    if part == "belly":
        tan = hsv_to_rgb(rng.uniform(25, 40), rng.uniform(0.1, 0.45), rng.uniform(0.75, 1.0))
        return plain(tan if rng.random() < 0.7 else contrasting(body.first, rng), gloss)
    if part == "wheel":
        return plain(hsv_to_rgb(0, 0, rng.uniform(0.04, 0.2)), gloss)
    if part == "window":
        return plain(hsv_to_rgb(rng.uniform(180, 230), rng.uniform(0, 0.4), rng.uniform(0.1, 0.6)))
    if part == "stand":
        return plain(body.first if rng.random() < 0.2 else any_colour(rng), gloss)
    if part == "panel":
        return plain(contrasting(body.first, rng), gloss)
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
        return plain(sample_colour("white", rng) if rng.random() < 0.6 else any_colour(rng), gloss)
    if part == "label":
        return Material(
            sample_colour("white", rng) if rng.random() < 0.5 else any_colour(rng),
            any_colour(rng),
            0.0,
            1.0,
            rng.uniform(0.5, 0.8),
            rng.uniform(3, 20),
            gloss,
        )
    # band, lid, cap
    if rng.random() < 0.25:
        return plain(near(body.first, rng, 0.3), gloss)
    return plain(any_colour(rng), gloss)
