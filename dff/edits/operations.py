"""The operations of a step, as data: their names, parameters, units and ranges.

What they do to samples is in `dff.edits.apply`, what the colour functions compute in
`dff.edits.colour`. A new operation is a class here, a line in its union, and a case there.
"""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Annotated, Literal

from PIL import ImageColor
from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema, model_validator

from dff.edits.placement import Placed, Point, Turned
from dff.edits.selections import MovedSelection, Selection, StepSelection
from dff.edits.strict import FileName, Flag, Looks, Strict, bounded


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


class Delete(Strict):
    """Take what is selected away: ``alpha' = alpha (1 - m)``.

    Attributes:
        fill: close the hole that it leaves in what it stood on, from the hole's rim.
    """

    type: Literal["delete"] = "delete"
    fill: Flag = False


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


class Transform(Placed):
    """Move, turn and scale what is selected: its alpha is read through the inverse transform.

    ``alpha' = 1 - (1 - alpha(x) (1 - m(x))) (1 - alpha(T^-1 x) m(T^-1 x))``: densities add, colours
    mix by density. View directions turn with it, and the density of what is scaled by s is divided
    by s, so that it stays as opaque as it was.

    Attributes:
        fill: close the hole that it leaves where it was.
    """

    type: Literal["transform"] = "transform"
    fill: Flag = False


class Duplicate(Placed):
    """Copy what is selected: ``alpha' = 1 - (1 - alpha(x)) prod_k (1 - alpha(y_k) m(y_k))``.

    ``y_k = T^-k x`` for the copies k = 1 ... count: each is placed to the one before as the first
    is to the original.

    Attributes:
        count: copies, in [1, 100].
    """

    type: Literal["duplicate"] = "duplicate"
    count: Annotated[int, Field(strict=True, ge=1, le=100)] = 1


class Insert(Placed):
    """Bring what is selected in another trained scene: as `Duplicate`, alpha and m being its.

    The step's selection is made in that scene.

    Attributes:
        scene: its config.yml, in the document's folder or below a trusted one.
        at: where its pivot is put, in world units of this scene; none leaves the coordinates.
    """

    type: Literal["insert"] = "insert"
    scene: FileName
    at: Point | None = None


def _not_by_step(selection: StepSelection) -> StepSelection:
    if isinstance(selection, MovedSelection):
        raise ValueError("select by text, click, patch or file")
    return selection


class Replace(Turned):
    """Delete what is selected and put something else there, base on base, as large as it was.

    Attributes:
        by: what is put there, selected in this scene or in ``scene``.
        scene: as in `Insert`; none is this scene.
        scale: on top of making the longest sides of both bounding boxes alike.
        pivot: the point of the new thing that is put where that of the old one was.
        fill: close the hole that the old thing leaves.
    """

    type: Literal["replace"] = "replace"
    by: Annotated[Selection, AfterValidator(_not_by_step)]
    scene: FileName | None = None
    pivot: Literal["center", "base"] = "base"
    fill: Flag = False


class Background(Strict):
    """Put a colour, or nothing, in place of what is not selected: ``alpha' = alpha m``.

    What light is left then meets the colour; without one, pictures come out with alpha.

    Attributes:
        color: RGB in [0, 1]; none is transparent.
    """

    type: Literal["background"] = "background"
    color: Colour | None = None


class Repaint(Strict):
    """Give what is selected the colours that ``dff repaint`` trained: ``c' = (1 - m) c + m r(x)``.

    Attributes:
        file: what it wrote, in the document's folder.
    """

    type: Literal["repaint"] = "repaint"
    file: FileName


Recolor = Annotated[
    HueShift | SaturationScale | ValueScale | Tint | SetColor | Greyscale | Curves | Channels,
    Field(discriminator="function"),
]
Operation = Annotated[
    Delete
    | Extract
    | Opacity
    | Recolor
    | Transform
    | Duplicate
    | Insert
    | Replace
    | Background
    | Repaint,
    Field(discriminator="type"),
]

OPERATIONS: dict[str, type[Strict]] = {
    "delete": Delete,
    "extract": Extract,
    "opacity": Opacity,
    "transform": Transform,
    "duplicate": Duplicate,
    "insert": Insert,
    "replace": Replace,
    "background": Background,
    "repaint": Repaint,
}
RECOLOR_FUNCTIONS: dict[str, type[Strict]] = {
    "hue": HueShift,
    "saturation": SaturationScale,
    "value": ValueScale,
    "tint": Tint,
    "set": SetColor,
    "greyscale": Greyscale,
    "curves": Curves,
    "channels": Channels,
}
