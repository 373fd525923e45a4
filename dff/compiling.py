"""From documents to what the model can render: thresholds found, selections answered."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from dff.edits.compiled import CompiledEdits, Matter, Paint, no_edits
from dff.edits.document import EditDocument
from dff.edits.filling import Filling
from dff.edits.layers import Brought, Chosen
from dff.edits.operations import Background, Insert, Operation, Repaint, Replace
from dff.edits.plan import Step, plan_layers
from dff.edits.references import other_scenes, referred
from dff.edits.selections import StepSelection
from dff.errors import DffError
from dff.field_matter import FieldMatter
from dff.query.threshold import EVEN_ODDS, otsu_threshold, select_threshold
from dff.selection.at_points import Placed
from dff.selection.selection import Selection


@dataclass(frozen=True, eq=False)
class Source:
    """A trained scene that steps select in.

    Attributes:
        matter: its fields, without selections.
        answer: makes the selection that a step describes.
    """

    matter: FieldMatter
    answer: Callable[[StepSelection], Selection]


@dataclass(frozen=True, eq=False)
class Surroundings:
    """What a step of a document may draw on.

    Attributes:
        source: opens another trained scene by the name that the document gives it; the edited one
            for None.
        paint: opens a repainting by the name of its file.
        fill: makes what closes the hole that a selection leaves; None where nothing can.
        notice: told what does nothing, in one line.
    """

    source: Callable[[str | None], Source]
    paint: Callable[[str], Paint]
    fill: Callable[[Selection], Filling | None]
    notice: Callable[[str], None]


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


@dataclass
class _Compiling:
    """One compilation: which scenes and selections have been asked for so far.

    Attributes:
        around: by the index of a step.
        sources: scenes by the names that are used in surroundings, and which matters they are.
    """

    around: Callable[[int], Surroundings]
    sources: dict[tuple[Surroundings, str | None], tuple[int, Source]] = field(default_factory=dict)
    opened: list[FieldMatter] = field(default_factory=list)
    selections: list[list[Selection]] = field(default_factory=list)
    fillings: list[Filling] = field(default_factory=list)
    paints: dict[int, Paint] = field(default_factory=dict)

    def source(self, around: Surroundings, scene: str | None) -> tuple[int, Source]:
        """A scene by the name that a step gives it, and its number; 0 is the edited one."""
        if (around, scene) not in self.sources:
            source = around.source(scene)
            if scene is not None or not self.opened:
                self.opened.append(source.matter)
                self.selections.append([])
            number = 0 if scene is None else len(self.opened) - 1
            self.sources[around, scene] = number, source
        return self.sources[around, scene]

    def chosen(
        self, around: Surroundings, scene: str | None, described: StepSelection, place: str
    ) -> Chosen:
        """A selection, answered in one of the scenes."""
        matter, source = self.source(around, scene)
        selection = source.answer(described)
        if selection.count == 0:
            around.notice(f"{place} selects nothing: {_why(selection)}")
        self.selections[matter].append(selection)
        mask = len(self.selections[matter]) - 1
        grid = selection.grid
        return Chosen(matter, mask, selection.values, grid.points, grid.reach)

    def step(self, document: EditDocument, index: int, planned: Mapping[int, int]) -> Step:
        """A step with its selections answered.

        Args:
            document: what it is in.
            index: of the step, from 0; it is switched on.
            planned: for each step up to it that is switched on, its number among those.
        """
        step, place = document.steps[index], f"step {index + 1}"
        operation, around = step.operation, self.around(index)
        if isinstance(operation, Repaint):
            self.paints[planned[index]] = around.paint(operation.file)
        meant = referred(document.steps, index)
        part: Chosen | Brought
        if meant is None:
            scene = operation.scene if isinstance(operation, Insert) else None
            part = self.chosen(around, scene, step.selection, place)
        else:
            part = Brought(planned[meant])
        by = None
        if isinstance(operation, Replace):
            by = self.chosen(around, operation.scene, operation.by, f"{place}, 'by',")
        filling = None
        if getattr(operation, "fill", False) and isinstance(part, Chosen):
            made = around.fill(self.selections[0][part.mask])
            if made is None:
                around.notice(f"{place}: nothing around the hole says how to fill it")
            else:
                filling = (len(self.fillings), made)
                self.fillings.append(made)
        return Step(operation, part, by, filling, place)


def compile_document(
    document: EditDocument, around: Callable[[int], Surroundings]
) -> CompiledEdits:
    """The enabled steps of a document, with their selections answered.

    Args:
        document: stays as it is.
        around: what a step may draw on, by its index; steps of one folder share theirs. No scene is
            opened where no step is switched on.

    Raises:
        DffError: a selection cannot be made, what one selects was brought by a step that is off, or
            a step repaints what was brought from another scene.
    """
    numbers: dict[int, int] = {}
    for index, step in enumerate(document.steps):
        if step.enabled:
            numbers[index] = len(numbers)
    if not numbers:
        return no_edits()
    _check_brought(document, numbers)
    _check_repainted(document, numbers)
    compiling = _Compiling(around)
    compiling.source(around(next(iter(numbers))), None)
    planned = [_planned(compiling, document, index, numbers) for index in numbers]
    sources = len(compiling.opened)
    planned = [
        step
        if step.filling is None
        else dataclasses.replace(step, filling=(sources + step.filling[0], step.filling[1]))
        for step in planned
    ]
    matters: list[Matter] = [
        _with_selections(matter, selections)
        for matter, selections in zip(compiling.opened, compiling.selections, strict=True)
    ]
    points = [s[0].grid.points if s else torch.zeros(0, 3) for s in compiling.selections]
    operations = tuple(step.operation for step in planned)
    return CompiledEdits(
        plan_layers(points, planned),
        (*matters, *compiling.fillings),
        operations,
        _background(operations),
        compiling.paints,
    )


def _check_brought(document: EditDocument, numbers: Mapping[int, int]) -> None:
    """Refuse steps of which the one that brought what they select is switched off."""
    for index in numbers:
        meant = referred(document.steps, index)
        if meant is not None and meant not in numbers:
            raise DffError(
                f"step {index + 1} selects what step {meant + 1} brought, but that one is switched "
                "off: switch it on, or this one off too"
            )


def _check_repainted(document: EditDocument, numbers: Mapping[int, int]) -> None:
    """Refuse to paint things of other scenes: a paint knows one scene's geometry and places."""
    scenes = other_scenes(document.steps)
    for index in numbers:
        if isinstance(document.steps[index].operation, Repaint) and scenes[index] is not None:
            raise DffError(
                f"step {index + 1} repaints things of another scene ({scenes[index]}), but a "
                "repainting fits only the scene that it was made in: recolor them instead"
            )


def _planned(
    compiling: _Compiling, document: EditDocument, index: int, numbers: Mapping[int, int]
) -> Step:
    """A step with its selections answered; what is wrong says which step it is."""
    try:
        return compiling.step(document, index, numbers)
    except DffError as error:
        raise DffError(f"step {index + 1}: {error}") from error


def _with_selections(matter: FieldMatter, selections: Sequence[Selection]) -> FieldMatter:
    features = matter.feature_field
    assert features is not None
    return dataclasses.replace(
        matter,
        places=tuple(Placed(selection) for selection in selections),
        scorers=tuple(None if s.exact is None else s.exact.on(features) for s in selections),
    )


def _background(
    operations: Sequence[Operation],
) -> tuple[float, float, float] | Literal["transparent"] | None:
    """What the last step that sets one sets."""
    for operation in reversed(operations):
        if isinstance(operation, Background):
            return operation.color or "transparent"
    return None


def _why(selection: Selection) -> str:
    made = "; ".join(selection.made_by)
    if selection.scores is None or selection.exact is None or len(selection.scores) == 0:
        return made
    return f"{made}, the best score is {float(selection.scores.max()):.2f}"
