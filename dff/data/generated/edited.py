"""The truth of edits: a generated scene as an edit document changes it, and as the world would.

Two truths, because light is baked into what was photographed. A thing that is moved in the world
takes its cast shadow along and is lit anew; one that is moved by an edit leaves its shadow where it
fell, and brings the light that fell on it. Turning the hue of a thing's paint turns that of what
one sees under white light only. What an edit says is therefore rendered with the *kept light*:
shapes are those of the edited scene, and each surface sends the light that the photos show it
sending, its hue turned where the edit says so. Where no photo shows a surface, such as the table
under a thing that is taken away, there is no light to keep: it has its own paint, in the edited
world's light, dimmed as that of the nearest places is that photos show.
The other truth, the edited world itself, is `dff.data.generated.render.render_views` of
`TrueEdit.after`; how far the two are apart is what no edit of baked light can reach.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial import KDTree

from dff.data.generated.cameras import Camera
from dff.data.generated.description import SceneDescription
from dff.data.generated.raycast import RayCaster
from dff.data.generated.render import Stage, View
from dff.edits.similarity import Similarity

Array = NDArray[np.float64]

# How far before a surface the light on it is looked up, in decimetres.
_BEFORE = 4e-3


@dataclass(frozen=True, eq=False)
class Carried:
    """A thing that brings its light along.

    Attributes:
        instance: its number in the edited scene.
        lit_in: the scene in which it was photographed.
        placing: from there to the edited scene, in decimetres.
        thirds: of a turn that the hue of its light is turned by: channels are exchanged.
    """

    instance: int
    lit_in: SceneDescription
    placing: Similarity
    thirds: int = 0


@dataclass(frozen=True, eq=False)
class TrueEdit:
    """An edit of a generated scene.

    Attributes:
        before: the scene as it was photographed.
        after: the world with the edit made.
        carried: things of `after` whose light is not that of their place in `before`.
        touched: numbers of the things in `before` and `after` that the edit is about.
    """

    before: SceneDescription
    after: SceneDescription
    carried: tuple[Carried, ...]
    touched: tuple[int, ...]

    @classmethod
    def hue(cls, before: SceneDescription, instance: int, degrees: int) -> TrueEdit:
        """A thing's hue turned by a multiple of 120; see `SceneDescription.hue_turned`."""
        after = before.hue_turned(instance, degrees)
        light = Carried(instance, before, still(), degrees // 120)
        return cls(before, after, (light,), (instance,))

    @classmethod
    def delete(cls, before: SceneDescription, instance: int) -> TrueEdit:
        """A thing taken away."""
        return cls(before, before.without(instance), (), (instance,))

    @classmethod
    def move(cls, before: SceneDescription, instance: int, placing: Similarity) -> TrueEdit:
        """A thing put elsewhere."""
        after = before.placed(instance, placing)
        return cls(before, after, (Carried(instance, before, placing),), (instance,))

    @classmethod
    def duplicate(cls, before: SceneDescription, instance: int, placing: Similarity) -> TrueEdit:
        """A second one of a thing; the first stays as it is."""
        copy = before.next_number
        after = before.duplicated(instance, placing)
        return cls(before, after, (Carried(copy, before, placing),), (instance, copy))

    @classmethod
    def insert(
        cls, before: SceneDescription, source: SceneDescription, instance: int, placing: Similarity
    ) -> TrueEdit:
        """A thing of another scene; it was lit there."""
        new = before.next_number
        after = before.with_thing(source.find(instance).placed(placing))
        return cls(before, after, (Carried(new, source, placing),), (new,))


def still() -> Similarity:
    """What leaves everything where it is."""
    eye = torch.eye(3, dtype=torch.float64)
    return Similarity(eye, 1.0, torch.zeros(3, dtype=torch.float64))


def render_kept_light(
    edit: TrueEdit, cameras: Sequence[Camera], photographed: Sequence[Camera], samples: int = 2
) -> Iterator[View]:
    """Renders an edited scene with the light that its surfaces were photographed in.

    Args:
        edit: what is changed.
        cameras: where it is seen from.
        photographed: where the photos were taken from.
        samples: as `dff.data.generated.render.render_views` has them; a scene in which nothing is
            changed looks the same there and here.
    """
    stage = _KeptLight(edit, photographed)
    for camera in cameras:
        yield stage.view(camera, samples)


class _KeptLight(Stage):
    """The edited scene, each of whose rays asks for light where its surface was photographed."""

    def __init__(self, edit: TrueEdit, photographed: Sequence[Camera]) -> None:
        super().__init__(edit.after)
        self._before = Stage(edit.before)
        self._photographed = photographed
        self._carried = [(c, c.placing.inverse(), Stage(c.lit_in)) for c in edit.carried]

    def shade(self, origin: Array, directions: Array, sample: int) -> Array:
        """See `Stage.shade`."""
        hits = self.caster.first_hits(np.broadcast_to(origin, directions.shape), directions)
        hit = hits.face >= 0
        light = np.zeros((len(directions), 3))
        points = origin + hits.distance[hit][:, None] * directions[hit]
        along = directions[hit]
        owner = self.caster.geometry.face_owner[hits.face[hit]]
        found = np.zeros((len(points), 3))
        resting = np.ones(len(points), bool)
        for carried, back, stage in self._carried:
            mine = owner == carried.instance
            there = back.apply(torch.from_numpy(points[mine])).numpy()
            turned = back.turn(torch.from_numpy(along[mine])).numpy()
            seen = stage.shade(there - _BEFORE * turned, turned, sample)
            found[mine] = np.roll(seen, carried.thirds, axis=1)
            resting &= ~mine
        starts = points - _BEFORE * along
        shown = resting & seen_from(self._before.caster, starts, self._photographed)
        found[shown] = self._before.shade(starts[shown], along[shown], sample)
        for one in np.unique(owner[resting & ~shown]):
            there, around = resting & ~shown & (owner == one), shown & (owner == one)
            world = super().shade(starts[there], along[there], sample)
            if around.any():
                near = np.flatnonzero(around)[nearest(points[there], points[around])]
                chosen, place = np.unique(near, return_inverse=True)
                lit = super().shade(starts[chosen], along[chosen], sample)
                lit = lit[place.reshape(near.shape)].sum(axis=1)
                world = world * found[near].sum(axis=1) / np.maximum(lit, 1e-6)
            found[there] = world
        light[hit] = found
        return light


def nearest(points: Array, others: Array, count: int = 8) -> NDArray[np.int64]:
    """(N, k) which of (M, 3) others are nearest to (N, 3) points, k being at most ``count``."""
    _, found = KDTree(others).query(points, k=min(count, len(others)))
    return np.asarray(found).reshape(len(points), -1)


def seen_from(caster: RayCaster, points: Array, cameras: Sequence[Camera]) -> NDArray[np.bool_]:
    """(N,) whether any camera has (N, 3) points in its picture, with nothing in between."""
    hidden = np.arange(len(points))
    for camera in cameras:
        if not len(hidden):
            break
        pose = np.array(camera.pose)
        towards = pose[:3, 3] - points[hidden]
        distance = np.linalg.norm(towards, axis=1)
        ahead = towards @ pose[:3, 2] > 0
        x, y = camera.project(points[hidden]).T
        inside = (x >= 0) & (x < camera.width) & (y >= 0) & (y < camera.height)
        free = ~caster.blocked(points[hidden], towards / distance[:, None], distance)
        hidden = hidden[~(ahead & inside & free)]
    seen = np.ones(len(points), bool)
    seen[hidden] = False
    return seen
