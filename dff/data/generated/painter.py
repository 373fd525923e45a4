"""Draws paint for picture buffers: one set of buffers, any number of differently coloured
pictures."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dff.data.generated.colours import any_colour, colour_names, sample_colour
from dff.data.generated.finishes import finish, material_names, material_of
from dff.data.generated.materials import sample_look
from dff.data.generated.objects import PART_NAMES, object_names
from dff.data.generated.patterns import FIGURES
from dff.data.generated.pictures import (
    BACKGROUND_SLOT,
    FIRST_SLOT,
    MAX_THINGS,
    SLOTS,
    TABLE_SLOT,
)
from dff.data.generated.rule import ROW_LENGTH, Material, plain

# Which table of looks: without the second figure, with it, or one for each material.
_CALM, _FIGURED, _FIRST_MATERIAL = 0, 1, 2

# How often a figure that can show a material does, on a thing and on a table.
USUALLY_SHOWN = (0.5, 0.25)


class Paint(NamedTuple):
    """Paint of B pictures.

    Attributes:
        rows: (B, SLOTS, ROW_LENGTH) material rows.
        colours: (B, 1 + MAX_THINGS) colour index of the table and of each thing, -1 where there is
            no one colour.
        materials: (B, 1 + MAX_THINGS) the same for the material's index, -1 where no word fits.
    """

    rows: NDArray[np.float32]
    colours: NDArray[np.int64]
    materials: NDArray[np.int64]


class Painter:
    """Draws paint for batches of buffers.

    Args:
        rng: source of the paint.
        variants: looks kept ready for each name, colour and material.
    """

    def __init__(self, rng: np.random.Generator, variants: int = 8) -> None:
        self._rng = rng
        names, colours, materials = object_names(), colour_names(), material_names()
        self._variants = variants
        # Third axis: 0 is a look from the world; 1 + c is painted in colour c.
        shape = (2 + len(materials), len(names), 1 + len(colours), variants)
        self._rows = np.zeros((*shape, len(PART_NAMES), ROW_LENGTH), np.float32)
        self._colour = np.full(shape, -1)
        for at in np.ndindex(shape):
            table, name, colour, _ = at
            look = sample_look(
                names[name],
                rng,
                (None, *colours)[colour],
                material=None if table < _FIRST_MATERIAL else materials[table - _FIRST_MATERIAL],
                figured=table == _FIGURED,
            )
            self._rows[at] = look.table()
            self._colour[at] = -1 if look.colour is None else colours.index(look.colour)
        shown = [material_of(figure) for figure in FIGURES]
        self._shown = np.array([-1 if m is None else materials.index(m) for m in shown])

    def paint(
        self,
        names: NDArray[np.int8],
        figures: NDArray[np.int8],
        shown_on: tuple[float, float] = USUALLY_SHOWN,
    ) -> Paint:
        """Chooses paint for B pictures.

        Args:
            names: (B, MAX_THINGS) as in `Buffers.names`.
            figures: (B, 1 + MAX_THINGS) as in `Buffers.figures`.
            shown_on: how often a figure that can show a material does, on a thing and on a table.
        """
        rng, batch, colours = self._rng, len(names), colour_names()
        natural = rng.random((batch, MAX_THINGS)) < np.where(rng.random((batch, 1)) < 0.5, 0.7, 0.1)
        # Few colours to a picture, so that neighbours often share one.
        palette = rng.integers(0, len(colours), (batch, 6))
        width = rng.integers(1, 7, (batch, 1))
        pick = (rng.random((batch, MAX_THINGS)) * width).astype(int)
        column = np.where(natural, 0, 1 + np.take_along_axis(palette, pick, 1))
        variant = rng.integers(0, self._variants, (batch, MAX_THINGS))
        code, figure = np.maximum(names, 0), np.maximum(figures[:, 1:], 0)
        shown = self._shown[figure]
        # Metal was lit as such and must be painted so; other figures may be left unseen.
        willing = ~natural & (rng.random((batch, MAX_THINGS)) < shown_on[0])
        used = (shown >= 0) & (willing | (figure == FIGURES.index("metal")))
        table = np.where(used, _FIRST_MATERIAL + shown, np.where(shown < 0, _FIGURED, _CALM))
        rows = np.zeros((batch, SLOTS, ROW_LENGTH), np.float32)
        chosen = self._rows[table, code, column, variant]
        rows[:, FIRST_SLOT:] = chosen.reshape(batch, -1, ROW_LENGTH)
        tints = np.full((batch, 1 + MAX_THINGS), -1)
        tints[:, 1:] = np.where(names >= 0, self._colour[table, code, column, variant], -1)
        made_of = np.full((batch, 1 + MAX_THINGS), -1)
        made_of[:, 1:] = np.where((names >= 0) & used, shown, -1)
        for b in range(batch):
            rows[b, BACKGROUND_SLOT] = _surface(rng)[0].row()
            shows = int(self._shown[max(int(figures[b, 0]), 0)])
            if shows >= 0 and rng.random() < shown_on[1]:
                material, colour = _table_finish(material_names()[shows], rng)
                made_of[b, 0] = shows
            else:
                material, colour = _surface(rng, figured=shows < 0)
            rows[b, TABLE_SLOT] = material.row()
            tints[b, 0] = -1 if colour is None else colours.index(colour)
        return Paint(rows, tints, made_of)


def _table_finish(material: str, rng: np.random.Generator) -> tuple[Material, str | None]:
    wished = None if rng.random() < 0.5 else str(rng.choice(colour_names()))
    return finish(material, wished, rng)


def _surface(rng: np.random.Generator, figured: bool = True) -> tuple[Material, str | None]:
    """Paint of a table or a wall, and its colour where it has one."""
    if rng.random() < 0.25:
        return plain(sample_colour("white", rng), rng.uniform(0, 0.3)), "white"
    colour = str(rng.choice(colour_names()))
    first = sample_colour(colour, rng)
    gloss = float(rng.uniform(0, 0.4))
    if rng.random() < 0.35:
        return plain(first, gloss), colour
    mild = rng.random() < 0.75
    if mild:
        factor = rng.uniform(0.7, 1.0)
        second = (first[0] * factor, first[1] * factor, first[2] * factor)
    else:
        second = any_colour(rng)
    weight = rng.random() if figured else 1.0
    row = Material(
        first, second, weight, 1 - weight, rng.uniform(0.3, 0.7), rng.uniform(1, 15), gloss
    )
    return row, colour if mild else None
