"""Renders a described scene: pictures, depth and masks as a camera would give them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dff.data.generated.cameras import Camera
from dff.data.generated.description import SceneDescription
from dff.data.generated.objects import object_names
from dff.data.generated.patterns import Pattern, pattern_values, sample_pattern
from dff.data.generated.raycast import Geometry, Hits, RayCaster, interpolate, merge
from dff.data.generated.rule import Material, paint

Array = NDArray[np.float64]

BACKGROUND_CLASS, TABLE_CLASS, FIRST_CLASS = 0, 1, 2
_ROOM_OWNER, _TABLE_OWNER = -1, 0
_FLOOR, _WALL = 0, 1
_LIGHTS = 8


@dataclass(frozen=True)
class View:
    """What one camera sees.

    Attributes:
        image: (H, W, 3) uint8 sRGB, the mean of the samples of each pixel.
        depth: (H, W) float32 distance along the ray through the pixel's centre, in decimetres.
        semantics: (H, W) uint8 class at the pixel's centre; see `class_names`.
        instances: (H, W) uint8 number of the thing at the pixel's centre; 0 for none.
    """

    image: NDArray[np.uint8]
    depth: NDArray[np.float32]
    semantics: NDArray[np.uint8]
    instances: NDArray[np.uint8]


def class_names() -> tuple[str, ...]:
    """Names of the classes in a mask, by number."""
    return ("background", "table", *object_names())


def render_views(
    description: SceneDescription,
    cameras: Sequence[Camera],
    *,
    samples: int = 2,
    progress: Callable[[int, int], None] | None = None,
) -> Iterator[View]:
    """Renders views one after the other; the same input gives the same bytes.

    Args:
        description: the scene.
        cameras: where from.
        samples: rays per pixel along each side of it; 2 gives four a pixel.
        progress: called with (views done, views in all) after each.
    """
    stage = Stage(description)
    for k, camera in enumerate(cameras):
        yield stage.view(camera, samples)
        if progress is not None:
            progress(k + 1, len(cameras))


class Stage:
    """A scene ready to be traced: geometry, paint and ambient light of every vertex.

    Args:
        description: the scene.

    Attributes:
        caster: traces its geometry, the room's and the table's.
    """

    def __init__(self, description: SceneDescription) -> None:
        self._description = description
        parts = [room(description), table(description)]
        parts += [thing.geometry() for thing in description.objects]
        self.caster = RayCaster(merge(parts))
        self._open = self.caster.openness(32, np.random.default_rng(0), reach=2.5)
        # The room is coarse: its corners must not darken whole walls.
        self._open[: len(parts[0].vertices)] = 0.85
        self._class_of = np.zeros(256, np.uint8)
        self._class_of[0] = TABLE_CLASS
        for thing in description.objects:
            self._class_of[thing.instance] = FIRST_CLASS + object_names().index(thing.name)
        self._patterns = {
            thing.instance: sample_pattern(np.random.default_rng(thing.pattern_seed))
            for thing in description.objects
        }
        self._rows = {thing.instance: thing.look.table() for thing in description.objects}
        self._directions = _light_directions(description)

    def view(self, camera: Camera, samples: int) -> View:
        """What a camera sees, with ``samples`` rays per pixel along each side of it."""
        origin, directions = camera.rays()
        hits = self.caster.first_hits(np.broadcast_to(origin, directions.shape), directions)
        owner = np.where(hits.face >= 0, self.caster.geometry.face_owner[hits.face], _ROOM_OWNER)
        shape = (camera.height, camera.width)
        total = np.zeros((*shape, 3))
        for k in range(samples * samples):
            inside = ((k % samples + 0.5) / samples, (k // samples + 0.5) / samples)
            total += self.shade(*camera.rays(inside), k).reshape(*shape, 3)
        image = _to_srgb(total / samples**2)
        semantics = np.where(owner == _ROOM_OWNER, BACKGROUND_CLASS, self._class_of[owner])
        return View(
            image=(255 * image + 0.5).astype(np.uint8),
            depth=hits.distance.reshape(shape).astype(np.float32),
            semantics=semantics.reshape(shape).astype(np.uint8),
            instances=np.maximum(owner, 0).reshape(shape).astype(np.uint8),
        )

    def shade(self, origin: Array, directions: Array, sample: int) -> Array:
        """(N, 3) linear RGB seen along rays; samples of a pixel look at different lights."""
        geometry, light = self.caster.geometry, self._description.light
        hits = self.caster.first_hits(np.broadcast_to(origin, directions.shape), directions)
        hit = hits.face >= 0
        packed = np.concatenate([geometry.normals, geometry.local, self._open[:, None]], 1)
        values = interpolate(geometry, hits, packed)
        view, normal = directions[hit], values[:, :3]
        normal = normal / np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-9)
        normal = np.where((normal * view).sum(1, keepdims=True) > 0, -normal, normal)
        albedo, gloss = self._albedo(hits, values[:, 3:6])
        point = origin + hits.distance[hit][:, None] * view + 5e-3 * normal
        total = albedo * np.array(light.sky) * (values[:, 6:7] * (0.75 + 0.25 * normal[:, 2:]))
        key = np.array(light.key)
        for k in (sample % 4, sample % 4 + 4):
            toward = self._directions[k]
            facing = np.maximum(normal @ toward, 0.0)
            lit = facing > 0
            rays = np.broadcast_to(toward, point.shape)
            lit[lit] = ~self.caster.blocked(point[lit], rays[lit])
            middle = toward - view
            middle /= np.linalg.norm(middle, axis=1, keepdims=True)
            shine = np.maximum((normal * middle).sum(1), 0.0) ** 60 * gloss
            total += (lit / 2)[:, None] * key * (albedo * facing[:, None] + 0.5 * shine[:, None])
        result = np.zeros((len(directions), 3))
        result[hit] = total
        return result

    def _albedo(self, hits: Hits, local: Array) -> tuple[Array, Array]:
        """Linear albedo (M, 3) and gloss (M,) of the M rays that hit something."""
        geometry = self.caster.geometry
        face = hits.face[hits.face >= 0]
        owner, part = geometry.face_owner[face], geometry.face_part[face]
        colour, gloss = np.zeros((len(face), 3)), np.zeros(len(face))
        for instance, pattern in self._patterns.items():
            mine = owner == instance
            row = self._rows[instance][part[mine]]
            colour[mine] = paint(row, *pattern_values(pattern, local[mine]))
            gloss[mine] = row[:, -1]
        seed = self._description.seed
        mine = owner == _TABLE_OWNER
        colour[mine], gloss[mine] = planks(local[mine], seed), 0.05
        for kind in (_FLOOR, _WALL):
            mine = (owner == _ROOM_OWNER) & (part == kind)
            colour[mine] = _room_colour(local[mine], kind, seed)
        return _to_linear(colour), gloss


def table(description: SceneDescription, cells: int = 90, thick: float = 0.25) -> Geometry:
    """The table: a square top at z = 0, finely divided for its ambient light, on a slab."""
    half = description.table_half
    step = np.linspace(-half, half, cells + 1)
    gx, gy = np.meshgrid(step, step, indexing="ij")
    top = np.stack([gx, gy, np.zeros_like(gx)], -1).reshape(-1, 3)
    i, j = np.meshgrid(np.arange(cells), np.arange(cells), indexing="ij")
    a = (i * (cells + 1) + j).ravel()
    b, c = a + cells + 1, a + 1
    top_faces = np.concatenate([np.stack([a, b, b + 1], 1), np.stack([a, b + 1, c], 1)])
    sides = [
        _quad([x * half, -y * half], [x * half, y * half], -thick, 0.0)
        for x, y in ((1, 1), (-1, -1))
    ] + [
        _quad([y * half, x * half], [-y * half, x * half], -thick, 0.0)
        for x, y in ((1, 1), (-1, -1))
    ]
    upper = _as_geometry(top, np.array([0.0, 0.0, 1.0]), top_faces, _TABLE_OWNER, 0)
    return merge([upper, *(_quad_geometry(q, _TABLE_OWNER, 0) for q in sides)])


def room(description: SceneDescription, half: float = 13.0, floor: float = -5.0) -> Geometry:
    """A square room around the table, open at the top only out of sight."""
    ceiling = 12.0
    walls = [
        _quad([half, -half], [half, half], floor, ceiling),
        _quad([-half, half], [-half, -half], floor, ceiling),
        _quad([half, half], [-half, half], floor, ceiling),
        _quad([-half, -half], [half, -half], floor, ceiling),
    ]
    ground = np.array(
        [[-half, -half, floor], [half, -half, floor], [half, half, floor], [-half, half, floor]]
    )
    return merge(
        [
            _quad_geometry(ground, _ROOM_OWNER, _FLOOR),
            *(_quad_geometry(wall, _ROOM_OWNER, _WALL) for wall in walls),
        ]
    )


def _quad(a: Sequence[float], b: Sequence[float], low: float, high: float) -> Array:
    """(4, 3) corners of an upright rectangle over the line from a to b."""
    return np.array([[*a, low], [*b, low], [*b, high], [*a, high]], dtype=np.float64)


def _quad_geometry(corners: Array, owner: int, part: int) -> Geometry:
    normal = np.cross(corners[1] - corners[0], corners[2] - corners[0])
    normal /= np.linalg.norm(normal)
    return _as_geometry(corners, normal, np.array([[0, 1, 2], [0, 2, 3]]), owner, part)


def _as_geometry(
    vertices: Array, normal: Array, faces: NDArray[np.int64], owner: int, part: int
) -> Geometry:
    return Geometry(
        vertices=vertices,
        normals=np.tile(normal, (len(vertices), 1)),
        local=vertices,
        faces=faces,
        face_owner=np.full(len(faces), owner),
        face_part=np.full(len(faces), part),
    )


def planks(points: Array, seed: int) -> Array:
    """(N, 3) sRGB of a light wooden table top: boards along y, each of its own tone, with grain."""
    rng = np.random.default_rng([seed, 7])
    board = np.floor(points[:, 0] / 0.62).astype(int)
    tones = rng.uniform(-1.0, 1.0, 64)
    shift = rng.uniform(0, 50, 64)[board % 64]
    # Grain: noise stretched along the boards, with a slow wave that bends it.
    bend = 0.05 * np.sin(1.3 * points[:, 1] + shift)
    stretched = np.stack([points[:, 0] + bend, 0.07 * points[:, 1] + shift, points[:, 2]], 1)
    waves = rng.normal(size=(10, 4)) * np.array([26.0, 26.0, 20.0, 9.0])
    grain = np.cos(stretched @ waves[:, :3].T + waves[:, 3]).sum(1) / np.sqrt(5.0)
    gap = np.abs(points[:, 0] / 0.62 - board - 0.5) > 0.485
    value = 1 + 0.06 * tones[board % 64] + 0.045 * grain
    value = np.where(gap, 0.72 * value, value)
    return np.clip(np.array([0.80, 0.655, 0.475]) * value[:, None], 0, 1)


def _room_colour(points: Array, kind: int, seed: int) -> Array:
    rng = np.random.default_rng([seed, 11, kind])
    waves = rng.normal(size=(6, 4)) * np.array([0.8, 0.8, 0.8, 9.0])
    figure = rng.normal(size=(6, 4)) * np.array([3.0, 3.0, 3.0, 9.0])
    pattern = Pattern(waves, figure, hard=False)
    tones = (
        ((0.46, 0.50, 0.55), (0.36, 0.40, 0.46))
        if kind == _FLOOR
        else ((0.78, 0.80, 0.80), (0.64, 0.69, 0.72))
    )
    material = Material(tones[0], tones[1], 0.75, 0.25, threshold=0.15, gain=1.3)
    row = np.broadcast_to(np.array(material.row()), (len(points), len(material.row())))
    return paint(row, *pattern_values(pattern, points))


def _light_directions(description: SceneDescription) -> Array:
    """(8, 3) unit vectors spread over the disc of the key light."""
    key = np.array(description.light.direction)
    side = np.cross(key, [0.0, 0.0, 1.0])
    side /= np.linalg.norm(side)
    up = np.cross(side, key)
    k = np.arange(_LIGHTS)
    # Order so that the two lights of one sample lie across the disc from each other.
    turn = 2 * np.pi * (k % 4) / 4 + np.pi * (k // 4) + 0.4
    radius = description.light.softness * np.where(k // 4 == 0, 0.85, 0.45)
    offset = radius[:, None] * (np.cos(turn)[:, None] * side + np.sin(turn)[:, None] * up)
    directions = key + offset
    return directions / np.linalg.norm(directions, axis=1, keepdims=True)


def _to_linear(srgb: Array) -> Array:
    """The inverse of sRGB's transfer function (IEC 61966-2-1)."""
    return np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)


def _to_srgb(linear: Array) -> Array:
    """sRGB's transfer function (IEC 61966-2-1), clipped to [0, 1]."""
    linear = np.clip(linear, 0.0, 1.0)
    return np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
