"""Everyday things as small triangle meshes in a canonical pose.

A canonical mesh stands (or lies) on the plane ``z = 0`` the way a person would put it on a table,
centred over the origin, in decimetres: an apple is about 0.8 across. Each builder takes a numpy
random generator, so that two apples differ as two apples do. Part 0 of every mesh is the one whose
colour people name ("a red apple"); stems, pages, caps and the like are parts of their own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dff.data.generated.shells import (
    Shell,
    block,
    ellipsoid,
    leaf_shell,
    stem_shell,
    tube,
    turn,
    turned,
    vertex_normals,
)
from dff.errors import DffError

Array = NDArray[np.float64]
_DETAIL = 20


@dataclass(frozen=True)
class ObjectMesh:
    """A triangle mesh whose faces know which part they belong to.

    Attributes:
        vertices: (V, 3) positions; doubled along creases, so that one normal per vertex is enough.
        normals: (V, 3) unit shading normals.
        faces: (F, 3) vertex indices, counter-clockwise seen from outside.
        face_part: (F,) index into ``parts``.
        parts: names of the parts; ``parts[0]`` carries the object's named colour.
    """

    vertices: Array
    normals: Array
    faces: NDArray[np.int64]
    face_part: NDArray[np.int64]
    parts: tuple[str, ...]


def object_names() -> tuple[str, ...]:
    """Names that `make_object` can build, in a fixed order."""
    return tuple(_BUILDERS)


def make_object(name: str, rng: np.random.Generator, detail: int = _DETAIL) -> ObjectMesh:
    """Builds one thing in its canonical pose.

    Args:
        name: one of `object_names`.
        rng: source of the variation within the name.
        detail: segments around a turned shape; 20 is enough for a teacher, 48 looks round.

    Raises:
        DffError: for a name that there is no builder for.
    """
    if name not in _BUILDERS:
        raise DffError(f"no generated object is called '{name}'; known: {', '.join(_BUILDERS)}")
    shells = _BUILDERS[name](rng, max(8, int(detail)))
    parts = tuple(dict.fromkeys(shell.part for shell in shells))
    vertices, normals, faces, face_part, offset = [], [], [], [], 0
    for shell in shells:
        vertices.append(shell.vertices)
        normals.append(vertex_normals(shell))
        faces.append(shell.faces + offset)
        face_part.append(np.full(len(shell.faces), parts.index(shell.part)))
        offset += len(shell.vertices)
    points = np.concatenate(vertices)
    low, high = points.min(0), points.max(0)
    shift = np.array([(low[0] + high[0]) / 2, (low[1] + high[1]) / 2, low[2]])
    return ObjectMesh(
        vertices=points - shift,
        normals=np.concatenate(normals),
        faces=np.concatenate(faces),
        face_part=np.concatenate(face_part),
        parts=parts,
    )


def _apple(rng: np.random.Generator, detail: int) -> list[Shell]:
    t = np.linspace(np.pi, 0, detail)
    squash, taper = rng.uniform(0.84, 1.0), rng.uniform(0.06, 0.2)
    r = np.sin(t) * (1 + taper * np.cos(t))
    z = squash * np.cos(t)
    z -= rng.uniform(0.22, 0.38) * np.exp(-((r / 0.3) ** 2)) * (t < np.pi / 2)
    z += rng.uniform(0.08, 0.2) * np.exp(-((r / 0.25) ** 2)) * (t > np.pi / 2)
    profile = 0.42 * np.stack([r, z], 1)
    top = float(profile[-1, 1])
    shells = [turned(profile, detail, "body", rng.uniform(0.0, 0.035))]
    if rng.random() < 0.9:
        length = rng.uniform(0.13, 0.26)
        shells.append(stem_shell([0, 0, top - 0.02], length, rng.uniform(-0.1, 0.1), 0.022))
    if rng.random() < 0.3:
        shells.append(leaf_shell([0, 0, top + 0.06], rng.uniform(0.25, 0.4), rng.uniform(0, 6.28)))
    return shells


def _pear(rng: np.random.Generator, detail: int) -> list[Shell]:
    t = np.linspace(0, 1, detail)
    neck = rng.uniform(0.34, 0.5)
    belly = np.sqrt(np.clip(1 - ((t - 0.33) / 0.33) ** 2, 0, 1)) * (t < 0.33)
    upper = neck + (1 - neck) * 0.5 * (1 + np.cos(np.pi * np.clip((t - 0.33) / 0.42, 0, 1)))
    cap = np.sqrt(np.clip(1 - np.clip((t - 0.8) / 0.2, 0, 1) ** 2, 0, 1))
    r = np.where(t < 0.33, belly, upper * cap)
    height = rng.uniform(1.08, 1.3)
    profile = np.stack([0.4 * r, height * t], 1)
    profile[0, 0] = profile[-1, 0] = 0.0
    shells = [turned(profile, detail, "body", rng.uniform(0, 0.02))]
    shells.append(
        stem_shell([0, 0, height - 0.02], rng.uniform(0.15, 0.3), rng.uniform(-0.15, 0.15), 0.02)
    )
    return shells


def _banana(rng: np.random.Generator, detail: int) -> list[Shell]:
    sweep = rng.uniform(1.15, 2.0)
    length = rng.uniform(1.5, 1.9)
    radius = length / sweep
    steps = max(14, detail)
    a = np.linspace(-0.5, 0.5, steps) * sweep
    # Straighter towards the stem, as bananas are.
    a = a * (1 - 0.12 * np.linspace(0, 1, steps))
    path = np.stack([radius * np.sin(a), radius * (1 - np.cos(a)), np.zeros(steps)], 1)
    u = np.linspace(0, 1, steps)
    fat = rng.uniform(0.17, 0.22)
    stem_from = rng.uniform(0.76, 0.86)
    body = np.clip(np.minimum((u + 0.03) / 0.2, (stem_from + 0.04 - u) / 0.2), 0, 1)
    r = fat * np.maximum(np.sin(0.5 * np.pi * body) ** 0.8, 0.3)
    ridges = rng.uniform(0.02, 0.07)
    tip, stem = round(0.05 * steps) + 1, round(stem_from * steps)
    sides = max(10, detail // 2)
    shells = [
        tube(path[tip - 1 : stem + 1], r[tip - 1 : stem + 1], sides, "body", ridges),
        tube(path[:tip], r[:tip] * 0.99, sides, "tip", ridges),
        tube(path[stem - 1 :], r[stem - 1 :] * 0.97, sides, "stem", ridges),
        tube(path[-2:] + [0.03, 0.01, 0], r[-2:] * 1.08, sides, "tip"),
    ]
    pose = rng.random()
    tilt = rng.uniform(-0.15, 0.5) if pose < 0.7 else rng.uniform(0.5, 1.5)
    return [turn(shell, 0, tilt) for shell in shells]


def _carrot(rng: np.random.Generator, detail: int) -> list[Shell]:
    length, fat = rng.uniform(1.3, 1.7), rng.uniform(0.17, 0.25)
    t = np.linspace(0, 1, 14)
    r = fat * (0.12 + 0.88 * t ** rng.uniform(0.55, 0.9)) * (1 + 0.03 * np.sin(37 * t))
    r[-1] *= 0.75
    bend = rng.uniform(-0.12, 0.12)
    path = np.stack([length * (t - 1), bend * (1 - t) ** 2, np.zeros_like(t)], 1)
    shells = [tube(path, r, max(10, detail // 2), "body")]
    for _ in range(int(rng.integers(4, 8))):
        reach = rng.uniform(0.35, 0.7)
        yaw, pitch = rng.uniform(-0.6, 0.6), rng.uniform(-0.15, 0.7)
        direction = np.array([np.cos(yaw) * np.cos(pitch), np.sin(yaw), np.sin(pitch)])
        s = np.linspace(0, 1, 5)[:, None]
        leaf = np.array([-0.03, 0, 0]) + s * reach * direction + s**2 * np.array([0, 0, -0.08])
        shells.append(tube(leaf, np.array([0.03, 0.03, 0.055, 0.06, 0.02]), 6, "leaf"))
    # Lies on its side: the leaves may touch the table, but not pass through it.
    lowered = [
        Shell(
            np.column_stack([x.vertices[:, :2], np.maximum(x.vertices[:, 2], -fat)]),
            x.faces,
            x.part,
        )
        for x in shells
    ]
    return lowered


def _donut(rng: np.random.Generator, detail: int) -> list[Shell]:
    major, minor = rng.uniform(0.32, 0.4), rng.uniform(0.15, 0.2)
    flat = rng.uniform(0.8, 1.0)
    sides = max(12, detail * 2 // 3)

    def ring(start: float, stop: float, swell: float, part: str) -> Shell:
        phi = np.linspace(start, stop, sides)
        profile = np.stack(
            [major + swell * minor * np.cos(phi), flat * swell * minor * np.sin(phi)], 1
        )
        return turned(profile, detail * 3 // 2, part)

    drip = rng.uniform(-0.35, 0.15)
    return [
        ring(drip, np.pi - drip, 1.04, "body"),
        ring(np.pi - drip - 0.05, 2 * np.pi + drip + 0.05, 1.0, "dough"),
    ]


def _mug(rng: np.random.Generator, detail: int) -> list[Shell]:
    height, radius = rng.uniform(0.8, 1.1), rng.uniform(0.36, 0.46)
    foot = radius * rng.uniform(0.8, 1.0)
    wall = 0.045
    t = np.linspace(0, 1, 8)
    outer = np.stack([foot + (radius - foot) * t, height * t], 1)
    bottom = np.array([[0, 0], [foot, 0]])
    inner = np.stack([radius - wall - (radius - foot) * t, height - (height - wall) * t], 1)
    floor = np.array([[foot - wall, wall], [0, wall]])
    rim = np.array([[radius, height], [radius - wall / 2, height + 0.02], [radius - wall, height]])
    a = np.linspace(-1.5, 1.5, 10)
    reach, tall = rng.uniform(0.24, 0.34), height * rng.uniform(0.28, 0.36)
    middle = height * rng.uniform(0.46, 0.58)
    path = np.stack(
        [radius - 0.05 + reach * np.cos(a), np.zeros_like(a), middle + tall * np.sin(a)], 1
    )
    thick = rng.uniform(0.045, 0.07)
    return [
        turned(outer, detail, "body"),
        turned(bottom, detail, "body"),
        turned(rim, detail, "body"),
        tube(path, np.full(10, thick), 8, "handle"),
        turned(inner, detail, "inside"),
        turned(floor, detail, "inside"),
    ]


def _bowl(rng: np.random.Generator, detail: int) -> list[Shell]:
    radius, height = rng.uniform(0.6, 0.8), rng.uniform(0.36, 0.55)
    wall, power = 0.045, rng.uniform(0.45, 0.7)
    foot = radius * rng.uniform(0.35, 0.5)
    t = np.linspace(0, 1, 10)
    r = foot + (radius - foot) * t**power
    outer = np.stack([r, 0.05 + height * t], 1)
    stand = np.array([[0, 0], [foot, 0], [foot, 0.05]])
    inner = np.stack([(r - wall)[::-1], 0.05 + wall + (height - wall) * t[::-1]], 1)
    inner = np.concatenate([inner, [[0, 0.05 + wall]]])
    rim = np.array(
        [
            [radius, 0.05 + height],
            [radius - wall / 2, 0.07 + height],
            [radius - wall, 0.05 + height],
        ]
    )
    return [
        turned(outer, detail, "body"),
        turned(stand, detail, "body"),
        turned(rim, detail, "body"),
        turned(inner, detail, "inside"),
    ]


def _bottle(rng: np.random.Generator, detail: int) -> list[Shell]:
    height, radius = rng.uniform(1.6, 2.1), rng.uniform(0.25, 0.34)
    neck, shoulder = radius * rng.uniform(0.3, 0.45), rng.uniform(0.5, 0.68)
    top = height * 0.93
    t = np.linspace(0, 1, 10)
    body_top = height * shoulder
    curve = np.stack(
        [
            neck + (radius - neck) * 0.5 * (1 + np.cos(np.pi * t)),
            body_top + (top - body_top) * 0.55 * t,
        ],
        1,
    )
    base = np.array([[0, 0], [radius * 0.92, 0], [radius, 0.05]])
    low, high = sorted(rng.uniform(0.12, 0.95, 2) * body_top)
    wall = lambda a, b: np.stack([np.full(4, radius), np.linspace(a, b, 4)], 1)  # noqa: E731
    shells = [
        turned(base, detail, "body"),
        turned(curve, detail, "body"),
        turned(np.array([curve[-1], [neck, top]]), detail, "body"),
    ]
    if high - low > 0.25 * body_top and rng.random() < 0.5:
        shells += [
            turned(wall(0.05, low), detail, "body"),
            turned(wall(low, high), detail, "label"),
            turned(wall(high, body_top), detail, "body"),
        ]
    else:
        shells.append(turned(wall(0.05, body_top), detail, "body"))
    wide = neck * rng.uniform(1.1, 1.35)
    cap = np.array([[neck, top - 0.06], [wide, top - 0.06], [wide, height]])
    lid = np.array([[wide, height], [0, height]])
    shells += [turned(cap, detail, "cap"), turned(lid, detail, "cap")]
    return shells


def _book(rng: np.random.Generator, detail: int) -> list[Shell]:
    w, d = rng.uniform(1.2, 1.7), rng.uniform(0.85, 1.15)
    h = rng.uniform(0.16, 0.34)
    c = 0.03
    return [
        block([0, 0, 0], [w, d, c], "body"),
        block([0, 0, h - c], [w, d, h], "body"),
        block([0, 0, c], [w, c, h - c], "body"),
        block([c * 1.5, c, c], [w - c * 1.5, d - c * 1.5, h - c], "pages"),
    ]


def _box(rng: np.random.Generator, detail: int) -> list[Shell]:
    w, d = rng.uniform(0.6, 0.95), rng.uniform(0.6, 0.95)
    h = rng.uniform(0.55, 1.05)
    shells = [block([0, 0, 0], [w, d, h], "body")]
    kind = rng.random()
    band, lift = rng.uniform(0.08, 0.2), 0.008
    if kind < 0.35:
        middle = w * rng.uniform(0.35, 0.65)
        shells.append(
            block([middle - band / 2, -lift, -0.0], [middle + band / 2, d + lift, h + lift], "band")
        )
    elif kind < 0.6:
        shells.append(block([-0.02, -0.02, h * 0.8], [w + 0.02, d + 0.02, h + 0.02], "lid"))
    return shells


def _ball(rng: np.random.Generator, detail: int) -> list[Shell]:
    shell = ellipsoid([0, 0, 0], [0.45, 0.45, 0.45], max(detail, 24), "body")
    kind = rng.random()
    if kind < 0.5:
        return [shell]
    centre = shell.vertices[shell.faces].mean(1)
    if kind < 0.75:
        half = np.abs(centre[:, 2]) < rng.uniform(0.06, 0.16)
    else:
        wedge = np.floor((np.arctan2(centre[:, 1], centre[:, 0]) / (2 * np.pi) + 0.5) * 8 - 1e-6)
        half = wedge.astype(int) % 2 == 1
    pieces = [
        Shell(shell.vertices, shell.faces[~half], "body"),
        Shell(shell.vertices, shell.faces[half], "panel"),
    ]
    tilt, roll = rng.uniform(-1.5, 1.5, 2)
    return [turn(turn(_used(piece), 0, tilt), 1, roll) for piece in pieces]


def _used(shell: Shell) -> Shell:
    """Only the vertices that the faces name."""
    keep, faces = np.unique(shell.faces, return_inverse=True)
    return Shell(shell.vertices[keep], faces.reshape(-1, 3), shell.part)


def _duck(rng: np.random.Generator, detail: int) -> list[Shell]:
    long, fat = rng.uniform(0.46, 0.54), rng.uniform(0.34, 0.4)
    body = ellipsoid([0, 0, 0.32], [long, fat, 0.32], detail, "body")
    # The rear of the body rises into a tail.
    x = body.vertices[:, 0]
    rise = np.where(x < 0, (x / long) ** 2 * rng.uniform(0.25, 0.4), 0.0)
    body = Shell(body.vertices + np.stack([-0.15 * rise, 0 * x, rise], 1), body.faces, "body")
    head = rng.uniform(0.24, 0.29)
    centre = np.array([0.22, 0, 0.55 + head])
    beak = ellipsoid(centre + [head * 1.05, 0, -0.04], [0.16, 0.11, 0.045], 12, "beak")
    shells = [body, ellipsoid(centre, [head] * 3, detail, "body"), beak]
    for side in (-1, 1):
        eye = centre + head * np.array([0.75, 0.5 * side, 0.38])
        shells.append(ellipsoid(eye, [0.045] * 3, 8, "eye"))
        wing = [-0.08, side * fat * 0.88, 0.4]
        shells.append(ellipsoid(wing, [0.26, 0.08, 0.15], 12, "body"))
    return shells


PART_NAMES: tuple[str, ...] = (
    "body",
    "stem",
    "leaf",
    "tip",
    "dough",
    "inside",
    "handle",
    "label",
    "cap",
    "pages",
    "band",
    "lid",
    "panel",
    "beak",
    "eye",
)

_BUILDERS: dict[str, Callable[[np.random.Generator, int], list[Shell]]] = {
    "apple": _apple,
    "banana": _banana,
    "pear": _pear,
    "carrot": _carrot,
    "donut": _donut,
    "mug": _mug,
    "bowl": _bowl,
    "bottle": _bottle,
    "book": _book,
    "box": _box,
    "ball": _ball,
    "duck": _duck,
}
