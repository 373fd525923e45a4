"""The colour functions of a step, as data; what they compute is in `dff.edits.colour`."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Annotated, Literal

from PIL import ImageColor
from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema, model_validator

from dff.edits.strict import Flag, Looks, Strict, bounded


def parse_colour(value: object) -> object:
    """Turn ``#rrggbb``, ``#rgb`` or a CSS colour name into a list of three numbers in [0, 1].

    Anything else is handed on to the check of the field as it is.
    """
    if not isinstance(value, str):
        return value
    text = value.strip().lower()
    if not re.fullmatch(r"#([0-9a-f]{3}|[0-9a-f]{6})", text) and text not in ImageColor.colormap:
        raise ValueError(
            f"{value[:40]!r} is no colour: write [r, g, b] with numbers from 0 to 1, #rrggbb, "
            "or a CSS colour name"
        )
    red, green, blue = ImageColor.getrgb(text)[:3]
    return [red / 255, green / 255, blue / 255]


Channel = Annotated[float, bounded(0, 1)]
Colour = Annotated[
    tuple[Channel, Channel, Channel],
    Looks("[r, g, b], #rrggbb or a CSS colour name"),
    BeforeValidator(parse_colour),
    WithJsonSchema(
        {
            "anyOf": [
                {
                    "type": "array",
                    "items": {"type": "number", "minimum": 0, "maximum": 1},
                    "minItems": 3,
                    "maxItems": 3,
                },
                {
                    "type": "string",
                    "description": "#rrggbb, #rgb or a CSS colour name",
                    "pattern": r"^\s*(#([0-9a-fA-F]{3}|[0-9a-fA-F]{6})|[a-zA-Z]+)\s*$",
                },
            ]
        },
        mode="validation",
    ),
]


def _rising(points: tuple[tuple[float, float], ...]) -> tuple[tuple[float, float], ...]:
    for before, after in pairwise(points):
        if after[0] - before[0] < SMALLEST_STEP:
            raise ValueError(
                f"the points must go from left to right, x at least {SMALLEST_STEP:g} apart: "
                f"{after[0]:g} follows {before[0]:g}"
            )
    return points


# Closer together, a curve is a jump, and its slopes are no numbers any more.
SMALLEST_STEP = 1e-4
Curve = Annotated[
    tuple[Annotated[tuple[Channel, Channel], Looks("a point [x, y]")], ...],
    Looks("2 to 32 points [x, y]"),
    Field(min_length=2, max_length=32),
    AfterValidator(_rising),
]


class _Recolor(Strict):
    """Change the colour of what is selected: ``c' = (1 - m) c + m g(c)``, g by its name."""

    type: Literal["recolor"] = "recolor"


class HueShift(_Recolor):
    """Turn the hue, keeping saturation and value.

    Attributes:
        degrees: how far, in [-360, 360]; red turned by 120 is green, by 240 blue.
    """

    function: Literal["hue"] = "hue"
    degrees: Annotated[float, bounded(-360, 360)]


class SaturationScale(_Recolor):
    """Multiply the saturation, which stays at most 1.

    Attributes:
        factor: in [0, 10]; 0 gives grey of the same value, 1 changes nothing.
    """

    function: Literal["saturation"] = "saturation"
    factor: Annotated[float, bounded(0, 10)]


class ValueScale(_Recolor):
    """Multiply the value (brightness), which stays at most 1.

    Attributes:
        factor: in [0, 10]; 0 gives black, 1 changes nothing.
    """

    function: Literal["value"] = "value"
    factor: Annotated[float, bounded(0, 10)]


class Tint(_Recolor):
    """Mix with a colour: ``g(c) = (1 - strength) c + strength color``.

    Attributes:
        color: what is mixed in, RGB in [0, 1].
        strength: in [0, 1]; 0 changes nothing, 1 paints flat.
    """

    function: Literal["tint"] = "tint"
    color: Colour
    strength: Annotated[float, bounded(0, 1)] = 0.5


class SetColor(_Recolor):
    """Give a colour and keep the shading: ``g(c) = min(gain V(c), 1) color``.

    V is the value of HSV, the largest of the three channels, so light and shadow stay where they
    are whatever the old hue was.

    Attributes:
        color: the new colour in full light, RGB in [0, 1].
        gain: brightness, in [0, 10]; above 1 for things that were dark.
    """

    function: Literal["set"] = "set"
    color: Colour
    gain: Annotated[float, bounded(0, 10)] = 1.0


class Greyscale(_Recolor):
    """Mix with the luminance (Rec. 709 weights): ``g(c) = (1 - strength) c + strength Y(c)``.

    Attributes:
        strength: in [0, 1]; 0 changes nothing, 1 leaves no colour.
    """

    function: Literal["greyscale"] = "greyscale"
    strength: Annotated[float, bounded(0, 1)] = 1.0


class Channels(_Recolor):
    """Give red, green and blue each the old value of another: ``g(c) = (c_i, c_j, c_k)``.

    Attributes:
        order: which old channels the new red, green and blue are; ``rgb`` changes nothing,
            ``gbr`` makes red things blue.
    """

    function: Literal["channels"] = "channels"
    order: Literal["rgb", "rbg", "grb", "gbr", "brg", "bgr"]


class Curves(_Recolor):
    """Put channels through tone curves: ``g(c)_k = A(C_k(c_k))``, as in image editors.

    Attributes:
        all: A, for all three channels, after their own.
        red, green, blue: C_k, for one channel. A curve is 2 to 32 points [x, y], from left to
            right, both numbers from 0 (black) to 1 (full); beside its ends it is level. None
            changes nothing.
        smooth: the curve bends through its points (a monotone cubic, which overshoots none of
            them); otherwise straight lines join them.
    """

    function: Literal["curves"] = "curves"
    all: Curve | None = None
    red: Curve | None = None
    green: Curve | None = None
    blue: Curve | None = None
    smooth: Flag = True

    @model_validator(mode="after")
    def _some_curve(self) -> Curves:
        if self.all is self.red is self.green is self.blue is None:
            raise ValueError("give at least one curve: all, red, green or blue")
        return self
