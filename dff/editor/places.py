"""Where things are, for the handles by which they are moved."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from dff.compiling import Source
from dff.edits.compiled import CompiledEdits
from dff.edits.document import EditStep
from dff.edits.operations import Insert
from dff.edits.placement import Extent, Turned
from dff.edits.references import referred
from dff.edits.similarity import Similarity
from dff.field_matter import FieldMatter
from dff.selection.refine import SELECTED
from dff.selection.surface_grid import SurfaceGrid

Place = tuple[float, float, float]
# World units below which no handle could be pulled towards the point that stays.
LEAST_REACH = 1e-3


@dataclass(frozen=True, eq=False)
class Placing:
    """What a step places, and how.

    Attributes:
        extent: where it is in the coordinates of the scene that it is of.
        pose: from those to where it is now.
    """

    extent: Extent
    pose: Similarity

    @property
    def middle(self) -> Place:
        """Of what is placed, now, in world units."""
        return _place(self.pose.apply(self.extent.center))

    def stays(self, operation: Turned) -> Place:
        """The point, as it is now, that stays where it is while what is placed is scaled."""
        if isinstance(operation.pivot, tuple) and not isinstance(operation, Insert):
            # It is one of the world already, which only the shift moves.
            moved = torch.tensor(operation.pivot) + torch.tensor(operation.translate)
            return _place(moved)
        return _place(self.pose.apply(self.extent.pivot(operation)))

    def reach(self, operation: Turned) -> float:
        """How far what is placed reaches from its middle where its step's scale is 1."""
        half = float((self.extent.high - self.extent.low).max()) / 2
        return max(half * self.pose.scale / operation.scale, LEAST_REACH)


def place_of(
    source: Source, steps: Sequence[EditStep], edits: CompiledEdits, index: int
) -> Place | None:
    """Where the middle of what a step places is now, in world units; None: nowhere.

    Args:
        source: answers what steps select.
        steps: of the document.
        edits: the document, compiled.
        index: of the step.
    """
    placing = placing_of(source, steps, edits, index)
    return None if placing is None else placing.middle


def placing_of(
    source: Source, steps: Sequence[EditStep], edits: CompiledEdits, index: int
) -> Placing | None:
    """What a step places, and how; None: nothing. See `place_of`."""
    if not 0 <= index < len(steps) or not steps[index].enabled:
        return None
    number = sum(step.enabled for step in steps[:index])
    for layer in edits.layers:
        # Without a pose it is what fills the hole.
        if number not in layer.brought_by or layer.pose is None or layer.left is None:
            continue
        matter = edits.matters[layer.matter]
        assert isinstance(matter, FieldMatter)
        extent = _extent(matter.places[0].selection.grid, layer.left)
        if extent is not None:
            return Placing(extent, layer.pose)
    return _unmoved(source, steps, edits, index)


def _unmoved(
    source: Source, steps: Sequence[EditStep], edits: CompiledEdits, index: int
) -> Placing | None:
    """The same for a step that leaves what it selects where it was."""
    meant = referred(steps, index)
    if meant is not None:
        return placing_of(source, steps, edits, meant)
    step = steps[index]
    if isinstance(step.operation, Insert):
        return None
    selection = source.answer(step.selection)
    extent = _extent(selection.grid, selection.values)
    if extent is None:
        return None
    shift = getattr(step.operation, "translate", (0.0, 0.0, 0.0))
    still = torch.eye(3, dtype=torch.float64)
    return Placing(extent, Similarity(still, 1.0, torch.tensor(shift, dtype=torch.float64)))


def _extent(grid: SurfaceGrid, values: Float[Tensor, " n"]) -> Extent | None:
    """About whose middle steps turn what is selected; None where nothing is."""
    points = grid.points[values >= SELECTED]
    return Extent.of(points) if len(points) else None


def _place(point: Float[Tensor, " 3"]) -> Place:
    x, y, z = point.tolist()
    return x, y, z
