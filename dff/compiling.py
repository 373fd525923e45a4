"""From documents to what the model can render: thresholds found, selections answered."""

from __future__ import annotations

from collections.abc import Callable

from jaxtyping import Float
from torch import Tensor

from dff.edits.compiled import CompiledEdits
from dff.edits.document import EditDocument, StepSelection
from dff.errors import DffError
from dff.fields.feature_field import FeatureField
from dff.query.threshold import EVEN_ODDS, otsu_threshold, select_threshold
from dff.selection.at_points import Placed
from dff.selection.selection import Selection
from dff.selection.surface_grid import SurfaceGrid


def choose_threshold(
    scores: Float[Tensor, " n"],
    weights: Float[Tensor, " n"] | None = None,
    mode: float | str | None = None,
) -> float:
    """The threshold that was asked for; by default Otsu's, but never below even odds.

    Below 0.5 something that was not asked for matches better, so selecting there would be wrong
    whatever the histogram looks like (as when the thing asked for is not in the scene at all).
    """
    if mode is not None:
        return select_threshold(scores, mode, weights)
    return max(EVEN_ODDS, otsu_threshold(scores, weights))


def compile_document(
    document: EditDocument,
    answer: Callable[[StepSelection], Selection],
    field: FeatureField | None,
    surface: SurfaceGrid,
) -> CompiledEdits:
    """The enabled steps of a document, with their selections answered.

    Args:
        document: stays as it is.
        answer: makes the selection that a step describes.
        field: of the scene.
        surface: what its photos show.

    Raises:
        DffError: the model has no features, or a step selects nothing.
    """
    steps = [(number, step) for number, step in enumerate(document.steps, 1) if step.enabled]
    if steps and field is None:
        raise DffError("this scene was trained without features: it cannot be edited by name")
    if not steps or field is None:
        return CompiledEdits((), ())
    selections = []
    for number, step in steps:
        selection = answer(step.selection)
        if selection.count == 0:
            raise DffError(f"step {number} selects nothing: {_why(selection)}")
        selections.append(selection)
    return CompiledEdits(
        tuple(None if s.exact is None else s.exact.on(field) for s in selections),
        tuple(step.operation for _, step in steps),
        surface.snap,
        tuple(Placed(selection) for selection in selections),
    )


def _why(selection: Selection) -> str:
    made = "; ".join(selection.made_by)
    if selection.scores is None or selection.exact is None or len(selection.scores) == 0:
        return made
    return f"{made}, the best score is {float(selection.scores.max()):.2f}"
