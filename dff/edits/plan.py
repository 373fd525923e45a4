"""From steps to layers: what an edited scene consists of, and where each part of it now lies.

A scene begins as one layer, all of its matter where it was trained. A step that moves or copies a
selection parts it off as a layer of its own, with a pose; a step that deletes or paints acts on
every layer that holds what it selects. So selections go with the matter: what is called an apple
stays one wherever a step has put it. What closes a hole goes with the surface around it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from dff.edits.layers import MOSTLY, Act, Brought, Chosen, Layer, Region, Rim
from dff.edits.operations import (
    Background,
    Delete,
    Duplicate,
    Extract,
    Insert,
    Operation,
    Replace,
    Transform,
)
from dff.edits.placement import Extent, Turned
from dff.edits.similarity import Similarity
from dff.errors import DffError
from dff.selection.refine import SELECTED

# Copies of copies are soon more than any machine holds.
MOST_LAYERS = 1000


class Hole(Region, Protocol):
    """Where a thing that is taken away stood, in the coordinates of the edited scene."""

    @property
    def rim(self) -> Bool[Tensor, " n"]:
        """Which of the scene's voxels are the surface around it."""
        ...


@dataclass(frozen=True, eq=False)
class Step:
    """A step with its selection answered.

    Attributes:
        operation: what is done.
        part: where.
        by: what an insertion or replacement brings.
        filling: number of the matter that closes the hole it leaves, and the hole, which is
            cleared for it; None for none.
        place: what to call it in an error.
    """

    operation: Operation
    part: Chosen | Brought
    by: Chosen | None = None
    filling: tuple[int, Hole] | None = None
    place: str = "a step"


def plan_layers(points: Sequence[Float[Tensor, "n 3"]], steps: Sequence[Step]) -> tuple[Layer, ...]:
    """What the scene consists of after all steps, in their order.

    Args:
        points: for each matter, where its voxels are; the first is the edited scene's.
        steps: what is done.

    Raises:
        DffError: that makes too many parts.
    """
    layers = [Layer(0, left=torch.ones(len(points[0])))]
    for number in range(len(steps)):
        layers = _after(layers, number, steps, points)
    return tuple(layers)


def _after(
    layers: list[Layer],
    number: int,
    steps: Sequence[Step],
    points: Sequence[Float[Tensor, "n 3"]],
) -> list[Layer]:
    """The layers after one more step."""
    step = steps[number]
    operation, part = step.operation, step.part
    if isinstance(operation, Insert):
        assert isinstance(part, Chosen)
        extent = _extent([_whole(part)], part, points)
        return layers if extent is None else [*layers, _brought(part, extent, operation, number)]
    inside = [found for layer in layers if (found := layer.inside(part, number)) is not None]
    if isinstance(operation, (Extract, Background)):
        return inside
    if not inside:
        return layers
    if isinstance(operation, Duplicate):
        count = len(layers) + operation.count * len(inside)
        if count > MOST_LAYERS:
            raise DffError(
                f"{step.place}: the scene would consist of {count} parts, and may of "
                f"{MOST_LAYERS}: make fewer copies"
            )
        return [*layers, *_copies(inside, operation, number, _extent(layers, part, points))]
    if isinstance(operation, (Delete, Transform, Replace)):
        outside = [rest for layer in layers if (rest := layer.outside(part, number)) is not None]
        if step.filling is not None:
            outside = _filled(outside, number, steps, *step.filling)
        if isinstance(operation, Delete):
            return outside
        extent = _extent(layers, part, points)
        if extent is None:
            return layers
        if isinstance(operation, Transform):
            similarity = extent.similarity(operation)
            if similarity.is_identity:
                return layers
            return [*outside, *(layer.moved(similarity, number) for layer in inside)]
        assert step.by is not None
        new = _extent([_whole(step.by)], step.by, points)
        new_layer = [] if new is None else [_brought(step.by, new, operation, number, extent)]
        return [*outside, *new_layer]
    return [layer.with_done(operation, part, number) for layer in layers]


def _filled(
    layers: Sequence[Layer], number: int, steps: Sequence[Step], matter: int, hole: Hole
) -> list[Layer]:
    """With a filling wherever the surface around the hole now is, done to it what was done there.

    What was never seen in the hole is taken away.
    """
    rim = Rim(number, hole.rim)
    clear = Act(number, Delete(), None, hole.ball, hole)
    kept, fillings = [], []
    for layer in layers:
        if layer.matter == 0 and layer.left is not None and rim.of(layer.left) >= MOSTLY:
            filling = Layer(
                matter, pose=layer.pose, brought_by=layer.brought_by, ball=hole.ball, fills=rim
            )
            for act in layer.acts:
                if not isinstance(act.operation, (Delete, Extract)):
                    filling = filling.with_done(act.operation, steps[act.step].part, act.step)
            fillings.append(filling)
            layer = layer.acted(clear)
        kept.append(layer)
    return [*kept, *fillings]


def _copies(
    parts: Sequence[Layer], operation: Duplicate, number: int, extent: Extent | None
) -> list[Layer]:
    """Each placed to the one before as the first is to the original."""
    if extent is None:
        return []
    similarity = extent.similarity(operation)
    copies, pose = [], similarity
    for _ in range(operation.count):
        copies += [layer.moved(pose, number) for layer in parts]
        pose = similarity.after(pose)
    return copies


def _whole(by: Chosen) -> Layer:
    """All that is selected, where it is."""
    return Layer(by.matter, left=by.values)


def _brought(
    by: Chosen, extent: Extent, operation: Insert | Replace, number: int, old: Extent | None = None
) -> Layer:
    """A layer of what is inserted, posed."""
    left = by.values
    act = Act(number, Extract(), by.mask, by.ball_of(by.values))
    layer = Layer(by.matter, (act,), None, frozenset(), by.ball_of(left), left)
    return layer.moved(_similarity(extent, operation, old), number)


def _similarity(extent: Extent, operation: Turned, old: Extent | None) -> Similarity:
    """From where something was selected to where it is put."""
    if isinstance(operation, Insert):
        similarity = extent.similarity(operation)
        if operation.at is None:
            return similarity
        offset = torch.tensor(operation.at, dtype=torch.float64) - extent.pivot(operation)
    else:
        assert old is not None
        fit = float((old.high - old.low).max() / (extent.high - extent.low).max().clamp_min(1e-9))
        scaled = operation.model_copy(update={"scale": operation.scale * fit})
        similarity = extent.similarity(scaled)
        offset = old.pivot(operation) - extent.pivot(operation)
    shift = Similarity(torch.eye(3, dtype=torch.float64), 1.0, offset)
    return shift.after(similarity)


def _extent(
    layers: Sequence[Layer],
    part: Chosen | Brought,
    points: Sequence[Float[Tensor, "n 3"]],
) -> Extent | None:
    """Where what is selected lies now; None when nothing is."""
    found = []
    for layer in layers:
        share = layer.share(part)
        if share is None:
            continue
        there = points[layer.matter][share >= SELECTED]
        found.append(there if layer.pose is None else layer.pose.apply(there))
    together = torch.cat(found) if found else torch.zeros(0, 3)
    return Extent.of(together) if len(together) else None
