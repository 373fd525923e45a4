"""The operations of a step, as data: their names, parameters, units and ranges.

What they do to samples is in `dff.edits.apply`, what the colour functions compute in
`dff.edits.colour`. A new operation is a class here, a line in its union, and a case there.
"""

from __future__ import annotations

import re
from typing import Annotated, Literal

from PIL import ImageColor
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field


class Strict(BaseModel):
    """Data from a document: unknown fields are refused and values never change after checking."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def bounded(low: float, high: float) -> object:
    """A field for a finite number in [low, high]; text and true/false are no numbers."""
    return Field(strict=True, ge=low, le=high, allow_inf_nan=False)


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
    BeforeValidator(parse_colour),
]


class Delete(Strict):
    """Take what is selected away: ``alpha' = alpha (1 - m)``."""

    type: Literal["delete"] = "delete"


class Extract(Strict):
    """Keep only what is selected: ``alpha' = alpha m``."""

    type: Literal["extract"] = "extract"


class Opacity(Strict):
    """Make what is selected more transparent: ``alpha' = alpha (1 - m (1 - factor))``.

    Attributes:
        factor: share of the alpha that stays, in [0, 1]; 0 deletes, 1 changes nothing.
    """

    type: Literal["opacity"] = "opacity"
    factor: Annotated[float, bounded(0, 1)]


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


Recolor = Annotated[
    HueShift | SaturationScale | ValueScale | Tint | SetColor | Greyscale,
    Field(discriminator="function"),
]
Operation = Annotated[
    Delete | Extract | Opacity | Recolor,
    Field(discriminator="type"),
]

OPERATIONS: dict[str, type[Strict]] = {"delete": Delete, "extract": Extract, "opacity": Opacity}
RECOLOR_FUNCTIONS: dict[str, type[Strict]] = {
    "hue": HueShift,
    "saturation": SaturationScale,
    "value": ValueScale,
    "tint": Tint,
    "set": SetColor,
    "greyscale": Greyscale,
}
