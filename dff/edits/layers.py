"""What an edited scene consists of: layers, and what happens to each."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from dff.edits.apply import SampleOperation
from dff.edits.operations import OPACITIES, Delete, Extract, Repaint
from dff.edits.similarity import Similarity

# Below this share nothing is left of a voxel.
NOTHING = 1e-3
# Rays that come within as many radii of a ball may have points in it.
CLOSE = 1.01
# Share of the rim of a filling from which on it is selected with the surface that it continues.
MOSTLY = 0.5


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

    def among(self, points: Float[Tensor, "n 3"], per_ray: int | None = None) -> Int[Tensor, " k"]:
        """Numbers of the points that lie in it, ascending.

        Args:
            points: any; where ``per_ray`` is given, ray by ray, as many on each and in their order
                along it, so that rays that pass by are not looked at point by point.
            per_ray: points of each ray.
        """
        if per_ray is None:
            return self.holds(points).nonzero()[:, 0]
        rays = points.view(-1, per_ray, 3)
        met = self._meets(rays[:, 0], rays[:, -1]).nonzero()[:, 0]
        ray, place = self.holds(rays[met]).nonzero().unbind(dim=1)
        return met[ray] * per_ray + place

    def _meets(
        self, start: Float[Tensor, "rays 3"], end: Float[Tensor, "rays 3"]
    ) -> Bool[Tensor, " rays"]:
        """Which segments come to it, or so near that rounding could tell otherwise."""
        along, to_center = end - start, self.center.to(start) - start
        length = along.square().sum(dim=1).clamp_min(torch.finfo(start.dtype).tiny)
        part = ((to_center * along).sum(dim=1) / length).clamp(0.0, 1.0)
        distance = (to_center - part[:, None] * along).square().sum(dim=1)
        return distance <= (CLOSE * self.radius) ** 2

    def moved(self, pose: Similarity) -> Ball:
        """Where a pose takes it."""
        return Ball(pose.apply(self.center), pose.scale * self.radius)


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
class Rim:
    """What a filling closes a hole in.

    Attributes:
        step: number of the step that left the hole.
        voxels: (n,), which of the edited scene's voxels are the surface around it.
    """

    step: int
    voxels: Bool[Tensor, " n"]

    def of(self, values: Float[Tensor, " n"]) -> float:
        """Mean of the voxels' values around the hole."""
        return float(values[self.voxels].mean()) if bool(self.voxels.any()) else 0.0

    def is_in(self, part: Chosen) -> bool:
        """Whether most of the surface around the hole is selected."""
        return part.matter == 0 and self.of(part.values) >= MOSTLY


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
        fills: what it closes a hole in, for a filling: it goes with the surface that it continues.
    """

    matter: int
    acts: tuple[Act, ...] = ()
    pose: Similarity | None = None
    brought_by: frozenset[int] = frozenset()
    ball: Ball | None = None
    left: Float[Tensor, " n"] | None = None
    fills: Rim | None = None

    @property
    def made_by(self) -> frozenset[int]:
        """Numbers of the steps without which it would not be there."""
        return self.brought_by if self.fills is None else self.brought_by | {self.fills.step}

    @property
    def fades(self) -> tuple[Act, ...]:
        """Its acts that change how much light is stopped."""
        return tuple(act for act in self.acts if isinstance(act.operation, OPACITIES))

    def acted(self, act: Act) -> Layer:
        """With one more act."""
        return dataclasses.replace(self, acts=(*self.acts, act))

    def with_done(
        self, operation: SampleOperation | Repaint, part: Chosen | Brought, step: int
    ) -> Layer:
        """With an operation on samples done to what of it is selected."""
        if not self.holds(part):
            return self
        if self.fills is not None and isinstance(operation, Repaint):
            return self  # paint is of the scene's own colours
        if isinstance(part, Brought) or self.fills is not None:
            return self.acted(Act(step, operation, None))
        return self.acted(Act(step, operation, part.mask, part.ball_of(part.values)))

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
        if self.fills is not None:
            return self.fills.is_in(part)
        return self.share(part) is not None

    def inside(self, part: Chosen | Brought, step: int) -> Layer | None:
        """What of it is selected."""
        if not self.holds(part):
            return None
        if isinstance(part, Brought) or self.fills is not None:
            return self
        left = self.share(part)
        assert left is not None
        act = Act(step, Extract(), part.mask, part.ball_of(part.values))
        return dataclasses.replace(self.acted(act), left=left, ball=part.ball_of(left))

    def outside(self, part: Chosen | Brought, step: int) -> Layer | None:
        """What of it is not."""
        if not self.holds(part):
            return self
        if isinstance(part, Brought) or self.fills is not None:
            return None
        assert self.left is not None
        left = self.left * (1 - part.values)
        if self.ball is not None and not bool((left > NOTHING).any()):
            return None  # a part that was parted off before, and now all of it is gone
        act = Act(step, Delete(), part.mask, part.ball_of(part.values))
        return dataclasses.replace(self.acted(act), left=left)


def changes_opacity(layers: Sequence[Layer]) -> bool:
    """Whether light is stopped elsewhere than in the scene as it was trained."""
    return len(layers) != 1 or bool(layers[0].fades)
