"""Where things stand on the table: seeded, and no two in each other.

Everything here is data and geometry; painting and casting rays is done elsewhere. The table top is
the plane ``z = 0``, z points up, lengths are decimetres.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial import ConvexHull

from dff.data.generated.materials import Look
from dff.data.generated.objects import ObjectMesh, make_object
from dff.data.generated.raycast import Geometry
from dff.edits.similarity import Similarity, rotation_from_degrees
from dff.errors import DffError

Array = NDArray[np.float64]
Matrix = tuple[tuple[float, ...], ...]


@dataclass(frozen=True)
class SceneObject:
    """One thing in a scene: what it is, its shape, its paint and its place.

    Attributes:
        instance: its number, 1 and up (0 is everything that is not a thing).
        name: one of `objects.object_names`.
        shape_seed, pattern_seed: fix its shape and the figure of its paint.
        look: its paint; ``look.colour`` is its named colour.
        rotation: 3 x 3, canonical to world.
        position: of its canonical origin in the world.
        scale: relative to the canonical size.
        detail: segments around its turned surfaces.
    """

    instance: int
    name: str
    shape_seed: int
    pattern_seed: int
    look: Look
    rotation: Matrix
    position: tuple[float, float, float]
    scale: float = 1.0
    detail: int = 20

    @property
    def phrase(self) -> str:
        """What a person would call it, such as "red apple"."""
        return f"{self.look.colour} {self.name}" if self.look.colour else self.name

    def geometry(self) -> Geometry:
        """Its triangles in the world; ``face_owner`` is the instance."""
        mesh = make_object(self.name, np.random.default_rng(self.shape_seed), self.detail)
        rotation = np.array(self.rotation)
        return Geometry(
            vertices=self.scale * mesh.vertices @ rotation.T + np.array(self.position),
            normals=mesh.normals @ rotation.T,
            local=mesh.vertices,
            faces=mesh.faces,
            face_owner=np.full(len(mesh.faces), self.instance),
            face_part=_global_parts(mesh),
        )

    def placed(self, placing: Similarity) -> SceneObject:
        """The thing moved, turned and scaled as a whole, in decimetres; its paint goes along."""
        x, y, z = placing.apply(torch.tensor(self.position, dtype=torch.float64)).tolist()
        rotation = placing.rotation.numpy() @ np.array(self.rotation)
        return replace(
            self,
            position=(x, y, z),
            rotation=tuple(tuple(map(float, row)) for row in rotation),
            scale=placing.scale * self.scale,
        )

    def placing(
        self, offset: tuple[float, float, float], turn: float = 0.0, scale: float = 1.0
    ) -> Similarity:
        """Turning and scaling about the middle of its base, so that it stays on the table.

        Args:
            offset: the shift, in decimetres.
            turn: degrees about the vertical, counter-clockwise seen from above.
            scale: relative to its size now, above 0.
        """
        points = self.geometry().vertices
        low, high = points.min(0), points.max(0)
        base = torch.tensor([*(low + high)[:2] / 2, low[2]], dtype=torch.float64)
        shift = torch.tensor(offset, dtype=torch.float64)
        return Similarity.about(base, rotation_from_degrees((0.0, 0.0, turn)), scale, shift)


def _global_parts(mesh: ObjectMesh) -> NDArray[np.int64]:
    from dff.data.generated.objects import PART_NAMES

    return np.array([PART_NAMES.index(part) for part in mesh.parts])[mesh.face_part]


def sample_pose(name: str, rng: np.random.Generator, calm: bool = False) -> Array:
    """(3, 3) rotation of a thing put on a table: any heading, sometimes lying or leaning.

    Args:
        calm: only the upright pose.
    """
    yaw = _rotation(2, rng.uniform(0, 2 * np.pi))
    if calm:
        return yaw
    chance = rng.random()
    tilt = np.eye(3)
    if name == "ball":
        tilt = _rotation(0, rng.uniform(0, 6.28)) @ _rotation(1, rng.uniform(0, 6.28))
    elif name == "apple" and chance < 0.6:
        tilt = _rotation(0, rng.normal() * 0.45)
    elif (name == "pear" and chance < 0.3) or (name == "bottle" and chance < 0.2):
        tilt = _rotation(0, np.pi / 2)
    elif name == "mug" and chance < 0.12:
        tilt = _rotation(1, np.pi / 2) if chance < 0.07 else _rotation(0, np.pi)
    elif name == "bowl" and chance < 0.1:
        tilt = _rotation(0, np.pi)
    elif (name == "book" and chance < 0.12) or (name == "donut" and chance < 0.08):
        tilt = _rotation(0, np.pi / 2)
    return yaw @ tilt


def _rotation(axis: int, angle: float) -> Array:
    c, s = np.cos(angle), np.sin(angle)
    u, v = (axis + 1) % 3, (axis + 2) % 3
    matrix = np.eye(3)
    matrix[u, u], matrix[u, v], matrix[v, u], matrix[v, v] = c, -s, s, c
    return matrix


def footprint(vertices: Array) -> Array:
    """(K, 2) convex outline of (V, 3) vertices seen from above, counter-clockwise."""
    flat = vertices[:, :2]
    return flat[ConvexHull(flat).vertices]


def outlines_touch(a: Array, b: Array, gap: float = 0.0) -> bool:
    """Whether two convex outlines of shapes (K, 2) and (L, 2) come closer than ``gap``.

    Separating axes: convex outlines are apart exactly if some edge normal of one of them has all of
    the other beyond it. With a gap the answer may err towards touching, at corners.
    """
    for outline in (a, b):
        edge = np.roll(outline, -1, 0) - outline
        normal = np.stack([edge[:, 1], -edge[:, 0]], 1)
        normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-12)
        pa, pb = normal @ a.T, normal @ b.T
        apart = np.maximum(pb.min(1) - pa.max(1), pa.min(1) - pb.max(1))
        if apart.max() >= gap:
            return False
    return True


def arrange(
    outlines: Sequence[Array],
    rng: np.random.Generator,
    *,
    spread: float,
    gap: float = 0.04,
    tries: int = 400,
) -> Array:
    """(n, 2) places for outlines so that no two touch.

    Args:
        outlines: convex outlines around the origin, one each of shape (K, 2).
        rng: source of the places.
        spread: standard deviation of the places; it grows until everything fits.
        gap: least distance between two outlines.
        tries: draws for one thing before the spread grows.

    Raises:
        DffError: when the things do not fit, which takes absurd sizes.
    """
    places: list[Array] = []
    reach = spread
    for outline in outlines:
        for attempt in range(tries * 10):
            if attempt and attempt % tries == 0:
                reach *= 1.3
            place = rng.normal(size=2) * reach
            if not any(
                outlines_touch(outline + place, other + at, gap)
                for other, at in zip(outlines, places, strict=False)
            ):
                places.append(place)
                break
        else:
            raise DffError("the things do not fit on the table; ask for fewer of them")
    return np.array(places).reshape(-1, 2)


def free_place(
    outline: Array, others: Sequence[Array], half: float, *, gap: float = 0.12, step: float = 0.1
) -> tuple[float, float]:
    """The shift that puts an outline as close to the middle of the table as there is room.

    Args:
        outline: (K, 2), convex.
        others: convex outlines that it must not touch.
        half: half the side of the table.
        gap: least distance to the others and to the table's edge.
        step: between the distances from the middle that are tried, in 24 directions each.

    Returns:
        (x, y).

    Raises:
        DffError: there is no room.
    """
    middle = (outline.min(0) + outline.max(0)) / 2
    for distance in np.arange(0, half, step):
        for turn in np.arange(24) * (np.pi / 12):
            shift = distance * np.array([np.cos(turn), np.sin(turn)]) - middle
            moved = outline + shift
            if np.abs(moved).max() <= half - gap and not any(
                outlines_touch(moved, other, gap) for other in others
            ):
                return float(shift[0]), float(shift[1])
    raise DffError("there is no free place left on the table; ask for fewer things")
