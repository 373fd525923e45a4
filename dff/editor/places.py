"""Where things are, for the handles by which they are moved."""

from __future__ import annotations

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor

from dff.compiling import Source
from dff.edits.compiled import CompiledEdits
from dff.edits.document import EditStep
from dff.edits.operations import Insert
from dff.edits.placement import Extent
from dff.edits.references import referred
from dff.field_matter import FieldMatter
from dff.selection.refine import SELECTED
from dff.selection.surface_grid import SurfaceGrid

Place = tuple[float, float, float]


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
    if not 0 <= index < len(steps) or not steps[index].enabled:
        return None
    number = sum(step.enabled for step in steps[:index])
    for layer in edits.layers:
        # Without a pose it is what fills the hole.
        if number not in layer.brought_by or layer.pose is None or layer.left is None:
            continue
        matter = edits.matters[layer.matter]
        assert isinstance(matter, FieldMatter)
        middle = _middle(matter.places[0].selection.grid, layer.left)
        if middle is not None:
            x, y, z = layer.pose.apply(middle[None])[0].tolist()
            return x, y, z
    return _unmoved(source, steps, edits, index)


def _unmoved(
    source: Source, steps: Sequence[EditStep], edits: CompiledEdits, index: int
) -> Place | None:
    """The same for a step that leaves what it selects where it was."""
    meant = referred(steps, index)
    if meant is not None:
        return place_of(source, steps, edits, meant)
    step = steps[index]
    if isinstance(step.operation, Insert):
        return None
    selection = source.answer(step.selection)
    middle = _middle(selection.grid, selection.values)
    if middle is None:
        return None
    x, y, z = middle.tolist()
    tx, ty, tz = getattr(step.operation, "translate", (0.0, 0.0, 0.0))
    return x + tx, y + ty, z + tz


def _middle(grid: SurfaceGrid, values: Float[Tensor, " n"]) -> Float[Tensor, " 3"] | None:
    """The point about which steps turn what is selected; None where nothing is."""
    points = grid.points[values >= SELECTED]
    return Extent.of(points).center if len(points) else None
