"""From steps to layers: what an edited scene consists of, and where each part of it now lies.

A scene begins as one layer, all of its matter where it was trained. A step that moves or copies a
selection parts it off as a layer of its own, with a pose; a step that deletes or paints acts on
every layer that holds what it selects. So selections go with the matter: what is called an apple
stays one wherever a step has put it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from dff.edits.apply import SampleOperation
from dff.edits.operations import (
    OPACITIES,
    Background,
    Delete,
    Duplicate,
    Extract,
    Insert,
    Operation,
    Repaint,
    Replace,
    Transform,
)
from dff.edits.placement import Extent, Turned
from dff.edits.similarity import Similarity
from dff.selection.refine import SELECTED

# Below this share nothing is left of a voxel.
NOTHING = 1e-3


@dataclass(frozen=True, eq=False)
class Ball:
    """Where a selection can hold at all, in the coordinates of its matter."""

    center: Float[Tensor, " 3"]
    radius: float

    def holds(self, points: Float[Tensor, "*batch 3"]) -> Bool[Tensor, "*batch"]:
        """Which points lie in it."""
        # By coordinate: torch sums over an axis of three several times slower.
        x, y, z = (points[..., k] - middle for k, middle in enumerate(self.center.tolist()))
        return x * x + y * y + z * z <= self.radius * self.radius


@dataclass(frozen=True, eq=False)
class Chosen:
    """What a step selects, answered.

    Attributes:
        matter: number of the scene it was selected in; 0 is the edited one.
        mask: which of that matter's masks it is.
        values: (n,), soft mask of the matter's voxels in [0, 1].
        points: (n, 3), where they are, in the matter's own coordinates.
        reach: (n,), how far each voxel reaches, in the same units.
    """

    matter: int
    mask: int
    values: Float[Tensor, " n"]
    points: Float[Tensor, "n 3"]
    reach: Float[Tensor, " n"]

    def ball_of(self, left: Float[Tensor, " n"]) -> Ball | None:
        """Around what is left of voxels; None when that is most of the scene."""
        there = left > NOTHING
        if not there.any():
            return Ball(torch.zeros(3), 0.0)
        points = self.points[there]
        center = (points.amin(dim=0) + points.amax(dim=0)) / 2
        radius = float(((points - center).norm(dim=1) + self.reach[there]).max())
        extent = float((self.points - self.points.median(dim=0).values).norm(dim=1).median())
        return Ball(center, radius) if radius < 2 * extent else None


class Region(Protocol):
    """A part of space in the coordinates of a matter."""

    @property
    def ball(self) -> Ball:
        """Around all of it."""
        ...

    def holds(self, points: Float[Tensor, "n 3"]) -> Bool[Tensor, " n"]:
        """Which points lie in it."""
        ...


@dataclass(frozen=True)
class Brought:
    """Everything that an earlier step brought where it is: its number among the steps."""

    step: int


@dataclass(frozen=True, eq=False)
class Act:
    """One operation on the samples of a layer.

    Attributes:
        step: number of the step it comes from.
        operation: what is done: it changes alphas or colours.
        mask: which of the matter's masks says where; None is all of the layer, or a region.
        ball: outside of it the mask is 0; None: it may hold anywhere.
        region: where, instead of a mask.
    """

    step: int
    operation: SampleOperation | Repaint
    mask: int | None
    ball: Ball | None = None
    region: Region | None = None


@dataclass(frozen=True, eq=False)
class Layer:
    """A part of the edited scene.

    Attributes:
        matter: number of the scene that it is made of.
        acts: what happens to its samples, in order.
        pose: from the matter's coordinates to the world; None leaves them.
        brought_by: numbers of the steps that brought it where it is.
        ball: outside of it, in the matter's coordinates, there is nothing; None: anywhere.
        left: (n,), share of each voxel of the matter that is in this layer; None for no voxels.
    """

    matter: int
    acts: tuple[Act, ...] = ()
    pose: Similarity | None = None
    brought_by: frozenset[int] = frozenset()
    ball: Ball | None = None
    left: Float[Tensor, " n"] | None = None

    @property
    def fades(self) -> tuple[Act, ...]:
        """Its acts that change how much light is stopped."""
        return tuple(act for act in self.acts if isinstance(act.operation, OPACITIES))

    def acted(self, act: Act) -> Layer:
        """With one more act."""
        return dataclasses.replace(self, acts=(*self.acts, act))

    def moved(self, similarity: Similarity, step: int) -> Layer:
        """Elsewhere."""
        pose = similarity if self.pose is None else similarity.after(self.pose)
        return dataclasses.replace(self, pose=pose, brought_by=self.brought_by | {step})

    def share(self, part: Chosen | Brought) -> Float[Tensor, " n"] | None:
        """Share of each voxel that is in this layer and selected; None when nothing can be."""
        if isinstance(part, Brought):
            return self.left if part.step in self.brought_by else None
        if part.matter != self.matter or self.left is None:
            return None
        share = self.left * part.values
        return share if bool((share > NOTHING).any()) else None

    def holds(self, part: Chosen | Brought) -> bool:
        """Whether any of a selection is in this layer."""
        if isinstance(part, Brought):
            return part.step in self.brought_by
        return self.share(part) is not None

    def inside(self, part: Chosen | Brought, step: int) -> Layer | None:
        """What of it is selected."""
        if not self.holds(part):
            return None
        if isinstance(part, Brought):
            return self
        left = self.share(part)
        assert left is not None
        act = Act(step, Extract(), part.mask, part.ball_of(part.values))
        return dataclasses.replace(self.acted(act), left=left, ball=part.ball_of(left))

    def outside(self, part: Chosen | Brought, step: int) -> Layer | None:
        """What of it is not."""
        if not self.holds(part):
            return self
        if isinstance(part, Brought):
            return None
        assert self.left is not None
        left = self.left * (1 - part.values)
        if self.ball is not None and not bool((left > NOTHING).any()):
            return None  # a part that was parted off before, and now all of it is gone
        act = Act(step, Delete(), part.mask, part.ball_of(part.values))
        return dataclasses.replace(self.acted(act), left=left)


@dataclass(frozen=True, eq=False)
class Step:
    """A step with its selection answered.

    Attributes:
        operation: what is done.
        part: where.
        by: what an insertion or replacement brings.
        filling: number of the matter that closes the hole it leaves, and the region that is
            cleared for it; None for none.
    """

    operation: Operation
    part: Chosen | Brought
    by: Chosen | None = None
    filling: tuple[int, Region] | None = None


def plan_layers(points: Sequence[Float[Tensor, "n 3"]], steps: Sequence[Step]) -> tuple[Layer, ...]:
    """What the scene consists of after all steps, in their order.

    Args:
        points: for each matter, where its voxels are; the first is the edited scene's.
        steps: what is done.
    """
    layers = [Layer(0, left=torch.ones(len(points[0])))]
    for number, step in enumerate(steps):
        layers = _after(layers, number, step, points)
    return tuple(layers)


def _after(
    layers: list[Layer], number: int, step: Step, points: Sequence[Float[Tensor, "n 3"]]
) -> list[Layer]:
    """The layers after one more step."""
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
        return [*layers, *_copies(inside, operation, number, _extent(layers, part, points))]
    if isinstance(operation, (Delete, Transform, Replace)):
        outside = [rest for layer in layers if (rest := layer.outside(part, number)) is not None]
        if step.filling is not None:
            outside = _filled(outside, number, *step.filling)
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
    if isinstance(part, Brought):
        act = Act(number, operation, None)
    else:
        act = Act(number, operation, part.mask, part.ball_of(part.values))
    return [layer.acted(act) if layer.holds(part) else layer for layer in layers]


def _filled(layers: Sequence[Layer], number: int, matter: int, region: Region) -> list[Layer]:
    """With a filling, and what was never seen there taken away."""
    clear = Act(number, Delete(), None, region.ball, region)
    cleared = [
        layer.acted(clear) if layer.matter == 0 and layer.pose is None else layer
        for layer in layers
    ]
    return [*cleared, Layer(matter, brought_by=frozenset({number}), ball=region.ball)]


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


def changes_opacity(layers: Sequence[Layer]) -> bool:
    """Whether light is stopped elsewhere than in the scene as it was trained."""
    return len(layers) != 1 or bool(layers[0].fades)
