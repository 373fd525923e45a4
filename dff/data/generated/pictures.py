"""Randomised pictures for training a teacher: geometry is cast once, paint is chosen later.

A picture is kept as five bytes a pixel: which surface is seen (a *slot*: background, table, or part
p of thing i), how much light falls on it, how much is mirrored, and two pattern values. A
`painter.Painter` turns such buffers into any number of differently coloured pictures.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dff.data.generated.layout import SceneObject, arrange, footprint, sample_pose
from dff.data.generated.materials import sample_look
from dff.data.generated.objects import PART_NAMES, object_names
from dff.data.generated.patterns import FIGURES, Pattern, pattern_values, sample_pattern
from dff.data.generated.raycast import Geometry, RayCaster, interpolate, merge

Array = NDArray[np.float64]
Bytes = NDArray[np.uint8]

MAX_THINGS = 6
BACKGROUND_SLOT, TABLE_SLOT, FIRST_SLOT = 0, 1, 2
SLOTS = FIRST_SLOT + MAX_THINGS * len(PART_NAMES)
LIGHT_RANGE = 2.0


@dataclass(frozen=True)
class Buffers:
    """One picture before it is painted.

    Attributes:
        planes: (5, H, W) uint8: slot, light, mirror, first and second pattern value. Light is
            stored as ``255 sqrt(light / LIGHT_RANGE)``, mirrored light likewise in [0, 1].
            Where a thing is of metal, light is what it mirrors of its surroundings instead.
        names: (MAX_THINGS,) index into `object_names` of each thing, -1 where there is none.
        figures: (1 + MAX_THINGS,) index into `FIGURES` of the table's pattern and each thing's, -1
            where there is no thing.
    """

    planes: Bytes
    names: NDArray[np.int8]
    figures: NDArray[np.int8]


def table_geometry(half: float, cells: int, owner: int = 0, part: int = 0) -> Geometry:
    """A square table top ``|x|, |y| <= half`` at z = 0, finer towards its middle."""
    t = np.linspace(-1, 1, cells + 1)
    x = half * (0.3 * t + 0.7 * t**3)
    gx, gy = np.meshgrid(x, x, indexing="ij")
    points = np.stack([gx, gy, np.zeros_like(gx)], -1).reshape(-1, 3)
    i, j = np.meshgrid(np.arange(cells), np.arange(cells), indexing="ij")
    a = (i * (cells + 1) + j).ravel()
    b, c = a + cells + 1, a + 1
    d = b + 1
    faces = np.concatenate([np.stack([a, b, d], 1), np.stack([a, d, c], 1)])
    return Geometry(
        vertices=points,
        normals=np.tile([0.0, 0.0, 1.0], (len(points), 1)),
        local=points,
        faces=faces,
        face_owner=np.full(len(faces), owner),
        face_part=np.full(len(faces), part),
    )


def render_buffers(
    names: list[str], rng: np.random.Generator, views: int = 3, size: int = 192
) -> list[Buffers]:
    """Puts the named things on a table and looks at them from a few sides.

    Args:
        names: at most `MAX_THINGS` names.
        rng: source of shapes, places, cameras and lights.
        views: pictures of this one layout.
        size: height and width in pixels.
    """
    things = _things(names, rng)
    geometry = merge(
        [table_geometry(rng.uniform(2.5, 8.0), 44)] + [thing.geometry() for thing in things]
    )
    caster = RayCaster(geometry)
    openness = caster.openness(14, rng)
    codes = np.full(MAX_THINGS, -1, np.int8)
    codes[: len(names)] = [object_names().index(name) for name in names]
    patterns = [sample_pattern(rng, flat=True)] + [sample_pattern(rng) for _ in names]
    figures = np.full(1 + MAX_THINGS, -1, np.int8)
    figures[: len(patterns)] = [FIGURES.index(pattern.figure) for pattern in patterns]
    sky = sample_pattern(rng, figure="soft")
    result = []
    for _ in range(views):
        origin, directions = _camera(things, rng, size)
        planes = _trace(caster, openness, patterns, sky, origin, directions, rng)
        result.append(Buffers(planes.reshape(5, size, size), codes, figures))
    return result


def _things(names: list[str], rng: np.random.Generator) -> list[SceneObject]:
    # The paint is chosen later; any will do here.
    look = sample_look("ball", np.random.default_rng(0))
    loose, outlines, drops = [], [], []
    for k, name in enumerate(names):
        thing = SceneObject(
            instance=k + 1,
            name=name,
            shape_seed=int(rng.integers(2**31)),
            pattern_seed=0,
            look=look,
            rotation=tuple(map(tuple, sample_pose(name, rng))),
            position=(0.0, 0.0, 0.0),
            scale=float(rng.uniform(0.75, 1.25)),
            detail=int(rng.integers(16, 25)),
        )
        points = thing.geometry().vertices
        loose.append(thing)
        outlines.append(footprint(points))
        drops.append(-points[:, 2].min())
    places = arrange(outlines, rng, spread=rng.uniform(0.4, 1.1), gap=rng.uniform(0.0, 0.15))
    return [
        SceneObject(
            **{
                **{f: getattr(thing, f) for f in thing.__dataclass_fields__},
                "position": (float(x), float(y), float(drop)),
            }
        )
        for thing, (x, y), drop in zip(loose, places, drops, strict=True)
    ]


def _camera(things: list[SceneObject], rng: np.random.Generator, size: int) -> tuple[Array, Array]:
    """Camera centre (3,) and (size * size, 3) unit ray directions."""
    chosen = things[int(rng.integers(len(things)))]
    points = chosen.geometry().vertices
    low, high = points.min(0), points.max(0)
    extent = float(np.linalg.norm(high - low) * 0.8)
    target = (low + high) / 2 + rng.normal(size=3) * extent * [0.22, 0.22, 0.1]
    half = np.tan(np.radians(rng.uniform(28, 65)) / 2)
    # The chosen thing fills this share of the picture's width.
    share = rng.uniform(0.3, 0.8)
    away = extent / (share * 2 * half)
    # Low views as well as high ones, but few straight down.
    lift = np.radians(rng.uniform(8, 72))
    turn = rng.uniform(0, 2 * np.pi)
    back = np.array([np.cos(lift) * np.cos(turn), np.cos(lift) * np.sin(turn), np.sin(lift)])
    origin = target + away * back
    origin[2] = max(origin[2], 0.15)
    forward = target - origin
    forward /= np.linalg.norm(forward)
    right = np.cross(forward, [0, 0, 1.0])
    right /= np.linalg.norm(right)
    up = np.cross(right, forward)
    roll = rng.normal() * 0.1
    right, up = np.cos(roll) * right + np.sin(roll) * up, np.cos(roll) * up - np.sin(roll) * right
    s = (np.arange(size) + 0.5) / size * 2 - 1
    x, y = np.meshgrid(s, -s)
    directions = forward + half * (x.reshape(-1, 1) * right + y.reshape(-1, 1) * up)
    return origin, directions / np.linalg.norm(directions, axis=1, keepdims=True)


def _trace(
    caster: RayCaster,
    openness: Array,
    patterns: list[Pattern],
    sky: Pattern,
    origin: Array,
    directions: Array,
    rng: np.random.Generator,
) -> Bytes:
    geometry = caster.geometry
    hits = caster.first_hits(np.broadcast_to(origin, directions.shape), directions)
    hit = hits.face >= 0
    packed = np.concatenate([geometry.normals, geometry.local, openness[:, None]], 1)
    values = interpolate(geometry, hits, packed)
    normal, local, open_ = values[:, :3], values[:, 3:6], values[:, 6]
    normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-9)
    view = directions[hit]
    normal = np.where((normal * view).sum(1, keepdims=True) > 0, -normal, normal)
    owner = geometry.face_owner[hits.face[hit]]
    part = geometry.face_part[hits.face[hit]]
    metal = np.isin(owner, [k for k, pattern in enumerate(patterns) if pattern.figure == "metal"])
    point = origin + hits.distance[hit][:, None] * view
    surface = _Surface(point, normal, view, local, open_, owner == 0, metal)
    light, mirror = _light(caster, surface, rng)

    n1, n2 = np.zeros(len(owner)), np.zeros(len(owner))
    for k, pattern in enumerate(patterns):
        mine = owner == k
        if mine.any():
            n1[mine], n2[mine] = pattern_values(pattern, local[mine] * (1.0 if k else 0.6))
    planes = np.zeros((5, len(hit)), np.uint8)
    slot = np.where(surface.table, TABLE_SLOT, FIRST_SLOT + (owner - 1) * len(PART_NAMES) + part)
    planes[0, hit] = slot
    planes[1, hit] = np.clip(255 * np.sqrt(light / LIGHT_RANGE), 0, 255)
    planes[2, hit] = np.clip(255 * np.sqrt(np.clip(mirror, 0, 1)), 0, 255)
    planes[3, hit], planes[4, hit] = 255 * n1, 255 * n2
    away = ~hit
    b1, b2 = pattern_values(sky, directions[away] * rng.uniform(0.2, 1.2))
    slope = rng.normal(size=3) * 0.3
    shade = np.clip(rng.uniform(0.3, 1.2) * (1 + directions[away] @ slope), 0.05, 1.6)
    planes[1, away] = 255 * np.sqrt(shade / LIGHT_RANGE)
    planes[3, away], planes[4, away] = 255 * b1, 255 * b2
    return planes


@dataclass(frozen=True, eq=False)
class _Surface:
    """What M rays hit.

    Attributes:
        point, normal: (M, 3), where, and the unit normal on the viewer's side.
        view: (M, 3), unit directions of the rays.
        local: (M, 3), the point in the thing's own coordinates.
        openness: (M,), share of the sky that reaches it, in [0, 1].
        table, metal: (M,), whether it is the table's, and of metal.
    """

    point: Array
    normal: Array
    view: Array
    local: Array
    openness: Array
    table: NDArray[np.bool_]
    metal: NDArray[np.bool_]


def _light(caster: RayCaster, at: _Surface, rng: np.random.Generator) -> tuple[Array, Array]:
    """Light (M,) on surfaces, and what they mirror (M,), both linear.

    A key light with a soft edge, the sky, and sometimes a fill light from elsewhere.
    """
    lift, turn = np.radians(rng.uniform(22, 85)), rng.uniform(0, 2 * np.pi)
    key = np.array([np.cos(lift) * np.cos(turn), np.cos(lift) * np.sin(turn), np.sin(lift)])
    strength = 0.0 if rng.random() < 0.12 else rng.uniform(0.25, 1.1)
    ambient = rng.uniform(0.25, 0.8) if strength else rng.uniform(0.7, 1.1)
    soft = rng.uniform(0.02, 0.4)
    toward = key + rng.normal(size=at.normal.shape) * soft * 0.5
    toward /= np.linalg.norm(toward, axis=1, keepdims=True)
    bumped = at.normal.copy()
    if rng.random() < 0.5:
        bumped[at.table] += _bumps(at.local[at.table], rng)
        bumped /= np.linalg.norm(bumped, axis=1, keepdims=True)
    facing = np.maximum((bumped * key).sum(1), 0.0)
    lit = facing > 0
    lit[lit] = ~caster.blocked(at.point[lit] + 5e-3 * at.normal[lit], toward[lit])
    light = ambient * at.openness * (0.7 + 0.3 * bumped[:, 2]) + strength * facing * lit
    if rng.random() < 0.4:
        fill = rng.normal(size=3)
        fill[2] = abs(fill[2])
        fill /= np.linalg.norm(fill)
        light += rng.uniform(0.1, 0.4) * np.maximum((bumped * fill).sum(1), 0) * at.openness
    seen = _mirrored(at.normal[at.metal], at.view[at.metal], key, rng)
    light[at.metal] = seen * (0.25 + 0.75 * at.openness[at.metal]) * max(1.2 * strength, 0.8)
    middle = key - at.view
    middle /= np.linalg.norm(middle, axis=1, keepdims=True)
    mirror = (
        max(strength, 0.2)
        * lit
        * np.maximum((at.normal * middle).sum(1), 0.0) ** rng.uniform(15, 150)
    )
    return light, mirror


def _mirrored(normal: Array, view: Array, key: Array, rng: np.random.Generator) -> Array:
    """(N,) light that polished metal with these normals mirrors towards the viewer.

    The surroundings are a floor, a dark rim at the horizon, a ceiling that brightens upwards, the
    key light and a few windows; a rough surface sees them blurred.
    """
    way = view - 2 * (normal * view).sum(1, keepdims=True) * normal
    blur = rng.uniform(0.05, 0.3)
    up = way[:, 2]
    above = 0.5 + 0.5 * np.tanh(up / blur)
    floor, ceiling = rng.uniform(0.25, 0.8), rng.uniform(0.35, 0.8)
    light = floor * (1 - above) + (ceiling + 0.5 * np.maximum(up, 0)) * above
    light *= 1 - rng.uniform(0.3, 0.8) * np.exp(-(((up - 0.05) / (0.6 * blur + 0.08)) ** 2))
    for k in range(int(rng.integers(2, 5))):
        window = key if k == 0 else rng.normal(size=3)
        window = window / np.linalg.norm(window)
        sharp = rng.uniform(4.0, 40.0)
        light += rng.uniform(0.4, 1.3) * np.exp(sharp * (way @ window - 1))
    return light


def _bumps(points: Array, rng: np.random.Generator) -> Array:
    """(N, 3) tilt of the normal of an embossed or woven cloth."""
    pitch, depth = rng.uniform(25, 70), rng.uniform(0.1, 0.6)
    turn = rng.uniform(0, np.pi)
    u = points[:, 0] * np.cos(turn) + points[:, 1] * np.sin(turn)
    v = points[:, 1] * np.cos(turn) - points[:, 0] * np.sin(turn)
    # Slope of h = sin(pitch u) sin(pitch v), which is a lattice of dimples.
    du = depth * np.cos(pitch * u) * np.sin(pitch * v)
    dv = depth * np.sin(pitch * u) * np.cos(pitch * v)
    x, y = du * np.cos(turn) - dv * np.sin(turn), du * np.sin(turn) + dv * np.cos(turn)
    return np.stack([x, y, np.zeros_like(x)], 1)
