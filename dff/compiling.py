"""From words and documents to what the model can render: thresholds found, queries folded."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from dff.edits.compiled import CompiledEdits
from dff.edits.document import EditDocument
from dff.errors import DffError
from dff.fields.feature_field import FeatureField
from dff.query.text import TextQuery, embed_query
from dff.query.threshold import EVEN_ODDS, otsu_threshold, select_threshold
from dff.selection.field_selection import FieldSelection
from dff.selection.surface_grid import SurfaceGrid
from dff.teachers import Teacher

TeacherOf = Callable[[TextQuery], Teacher]


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


def compile_query(
    query: TextQuery,
    teacher_of: TeacherOf,
    field: FeatureField,
    surface: SurfaceGrid,
    softness: float = 0.0,
) -> FieldSelection:
    """A text query as a selection; its threshold is chosen on the surface where none is given.

    Args:
        query: what to look for.
        teacher_of: the teacher that answers a query.
        field: distilled from it.
        surface: what the photos show.
        softness: half the width of the mask's soft rim, in units of score.
    """
    teacher = teacher_of(query)
    weight = field.head(teacher.name).weight
    selection = FieldSelection.make(embed_query(teacher, query), weight, EVEN_ODDS, softness)
    threshold = query.threshold
    if not isinstance(threshold, (int, float)):
        threshold = choose_threshold(selection.scores(surface.hidden), surface.rays, threshold)
    return dataclasses.replace(selection, threshold=threshold)


def compile_document(
    document: EditDocument, teacher_of: TeacherOf, field: FeatureField | None, surface: SurfaceGrid
) -> CompiledEdits:
    """The enabled steps of a document, with their selections resolved.

    Raises:
        DffError: the model has no features, or a step selects nothing.
    """
    steps = [(number, step) for number, step in enumerate(document.steps, 1) if step.enabled]
    if steps and field is None:
        raise DffError("this scene was trained without features: it cannot be edited by name")
    if not steps or field is None:
        return CompiledEdits((), ())
    selections, regions = [], []
    with torch.no_grad():
        seen = field.hidden_at(surface.snap.points.to(field.aabb))
    for number, step in steps:
        selection = compile_query(
            step.selection.query(), teacher_of, field, surface, step.selection.softness
        )
        best = float(selection.scores(surface.hidden).max())
        if best < selection.threshold:
            raise DffError(
                f"step {number} selects nothing: {', '.join(step.selection.text)!r} scores at most "
                f"{best:.2f}, its threshold is {selection.threshold:.2f}"
            )
        selections.append(selection)
        regions.append(surface.snap.without_specks(selection.mask(seen).cpu() > 0))
    operations = tuple(step.operation for _, step in steps)
    return CompiledEdits(tuple(selections), operations, surface.snap, tuple(regions))
