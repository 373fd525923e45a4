"""The operations of a step, as data: their names, parameters, units and ranges.

Those of colour functions are in `dff.edits.recolours`. What operations do to samples is in
`dff.edits.layers` and `dff.edits.apply`. A new operation is a class here, a line in the union and
in `OPERATIONS`, and a case there.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from dff.edits.placement import Placed, Point, Turned
from dff.edits.recolours import (
    Channels,
    Colour,
    Curves,
    Greyscale,
    HueShift,
    SaturationScale,
    SetColor,
    Tint,
    ValueScale,
)
from dff.edits.selections import MovedSelection, Selection, StepSelection
from dff.edits.strict import FileName, Flag, Strict, bounded


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
    """Make what is selected more transparent: it stops ``factor`` times the light that it stopped.

    ``alpha' = alpha (1 - m (1 - s))`` with ``s = factor T / (1 - factor + factor T)``, where T is
    the light that what is selected lets through to a sample: along a ray,
    ``1 - prod (1 - alpha' m) = factor (1 - prod (1 - alpha m))``, however thick the thing is.
    Points that no ray leads to, in exports, have ``s = factor``.

    Attributes:
        factor: share of the opacity that stays, in [0, 1]; 0 deletes, 1 changes nothing.
    """

    type: Literal["opacity"] = "opacity"
    factor: Annotated[float, bounded(0, 1)]


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
        scene: its config.yml, relative to the document. Loading a scene can run code: it is read
            only below a folder that the user trusts (``dff render --trust FOLDER``).
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

    They fit the scene that they were trained in: what is of another one cannot be repainted.

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

# What changes how much light a thing stops.
OPACITIES = (Delete, Extract, Opacity)

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
