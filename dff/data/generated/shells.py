"""Pieces of surface that everyday things are built from: turned shapes, tubes, boxes, leaves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Shell:
    """A piece of surface and the name of its part; smooth where vertices share a position, unless
    ``creased`` (then only where faces share a vertex)."""

    vertices: Array
    faces: NDArray[np.int64]
    part: str
    creased: bool = False


def vertex_normals(shell: Shell) -> Array:
    """(V, 3) unit normals: the area-weighted mean of the faces that meet at a vertex."""
    vertices, faces = shell.vertices, shell.faces
    corner = vertices[faces]
    weighted = np.cross(corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0])
    # The poles of a turned shape are rings of coincident vertices: gather by position.
    owner = np.arange(len(vertices))
    if not shell.creased:
        _, owner = np.unique(np.round(vertices, 6), axis=0, return_inverse=True)
        owner = owner.reshape(-1)
    total = np.zeros((int(owner.max()) + 1, 3))
    for k in range(3):
        np.add.at(total, owner[faces[:, k]], weighted)
    normals = total[owner]
    length = np.linalg.norm(normals, axis=1, keepdims=True)
    return normals / np.maximum(length, 1e-12)


def grid_faces(rows: int, columns: int, wrap: bool = True) -> NDArray[np.int64]:
    """(F, 3) triangles of a rows x columns vertex grid, closed around its columns if ``wrap``."""
    last = columns if wrap else columns - 1
    i, j = np.meshgrid(np.arange(rows - 1), np.arange(last), indexing="ij")
    a = (i * columns + j).ravel()
    b = (i * columns + (j + 1) % columns).ravel()
    c, d = a + columns, b + columns
    return np.concatenate([np.stack([a, b, d], 1), np.stack([a, d, c], 1)])


def drop_flat(vertices: Array, faces: NDArray[np.int64]) -> NDArray[np.int64]:
    corner = vertices[faces]
    area = np.linalg.norm(
        np.cross(corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0]), axis=1
    )
    return faces[area > 1e-10]


def turned(
    profile: Array, detail: int, part: str, lobes: float = 0.0, lobe_count: int = 5
) -> Shell:
    """Turns a (n, 2) profile of (radius, height), walked with the outside on its right."""
    angle = np.arange(detail) * 2 * np.pi / detail
    ring = 1.0 + lobes * np.cos(lobe_count * angle)
    radius = profile[:, :1] * ring
    vertices = np.stack(
        [
            radius * np.cos(angle),
            radius * np.sin(angle),
            np.broadcast_to(profile[:, 1:], radius.shape),
        ],
        -1,
    ).reshape(-1, 3)
    return Shell(vertices, drop_flat(vertices, grid_faces(len(profile), detail)), part)


def tube(path: Array, radii: Array, detail: int, part: str, ridges: float = 0.0) -> Shell:
    """A closed tube of the given (n,) radii around a (n, 3) path."""
    path = np.concatenate([path[:1], path, path[-1:]])
    radii = np.concatenate([[0.0], radii, [0.0]])
    inner = path[1:-1]
    tangent = np.gradient(inner, axis=0)
    tangent = np.concatenate([tangent[:1], tangent, tangent[-1:]])
    tangent /= np.linalg.norm(tangent, axis=1, keepdims=True)
    helper = np.array([0.0, 0.0, 1.0])
    if np.abs(tangent @ helper).max() > 0.95:
        helper = np.array([0.3, 0.9, 0.1])
        if np.abs(tangent @ helper).max() > 0.97:
            helper = np.array([1.0, -0.2, 0.3])
    side = np.cross(helper, tangent)
    side /= np.linalg.norm(side, axis=1, keepdims=True)
    up = np.cross(tangent, side)
    angle = np.arange(detail) * 2 * np.pi / detail
    ring = (1 + ridges * np.cos(5 * angle))[:, None]
    offset = side[:, None] * (np.cos(angle)[:, None] * ring) + up[:, None] * (
        np.sin(angle)[:, None] * ring
    )
    vertices = (path[:, None] + radii[:, None, None] * offset).reshape(-1, 3)
    return Shell(vertices, drop_flat(vertices, grid_faces(len(path), detail)), part)


def ellipsoid(
    centre: Sequence[float] | Array, radii: Sequence[float], detail: int, part: str
) -> Shell:
    """An ellipsoid with axes along x, y and z."""
    t = np.linspace(0, np.pi, max(6, detail // 2 + 1))
    shell = turned(np.stack([np.sin(t), -np.cos(t)], 1), detail, part)
    return Shell(shell.vertices * np.asarray(radii) + np.asarray(centre), shell.faces, part)


def block(
    low: Sequence[float] | Array, high: Sequence[float] | Array, part: str, cells: int = 4
) -> Shell:
    """An axis-aligned box with flat faces (its vertices are doubled along the edges).

    The faces are divided into ``cells`` x ``cells``, so that light given per vertex can vary.
    """
    lower, upper = np.asarray(low, float), np.asarray(high, float)
    step = np.linspace(0, 1, cells + 1)
    s, t = np.meshgrid(step, step, indexing="ij")
    grid = grid_faces(cells + 1, cells + 1, wrap=False)
    vertices, faces = [], []
    for axis in range(3):
        u, v = (axis + 1) % 3, (axis + 2) % 3
        for at_high in (False, True):
            side = np.zeros((s.size, 3))
            side[:, axis] = upper[axis] if at_high else lower[axis]
            side[:, u] = lower[u] + (upper[u] - lower[u]) * s.ravel()
            side[:, v] = lower[v] + (upper[v] - lower[v]) * t.ravel()
            faces.append((grid[:, ::-1] if at_high else grid) + len(vertices) * s.size)
            vertices.append(side)
    return Shell(np.concatenate(vertices), np.concatenate(faces), part, creased=True)


def turn(shell: Shell, axis: int, angle: float) -> Shell:
    """The shell turned about a coordinate axis through the origin, in radians."""
    c, s = np.cos(angle), np.sin(angle)
    u, v = (axis + 1) % 3, (axis + 2) % 3
    matrix = np.eye(3)
    matrix[u, u], matrix[u, v], matrix[v, u], matrix[v, v] = c, -s, s, c
    return replace(shell, vertices=shell.vertices @ matrix.T)


def stem_shell(foot: Sequence[float], length: float, lean: float, radius: float) -> Shell:
    """A short stalk that rises from ``foot`` and leans over by ``lean``; part "stem"."""
    t = np.linspace(0, 1, 5)[:, None]
    direction = np.array([lean, 0.3 * lean, 0.0])
    path = np.asarray(foot) + t * np.array([0, 0, length]) + t**2 * direction
    return tube(path, radius * np.array([1.0, 0.8, 0.75, 0.8, 1.2]), 6, "stem")


def leaf_shell(foot: Sequence[float], length: float, angle: float) -> Shell:
    """A curved leaf that grows from ``foot`` towards ``angle``; part "leaf"."""
    s, w = np.meshgrid(np.linspace(0, 1, 7), np.linspace(-1, 1, 3), indexing="ij")
    width = 0.28 * length * np.sin(np.pi * s**0.8)
    x, y, z = s * length, w * width, 0.25 * length * np.sin(2.2 * s) + 0.08 * length * np.abs(w)
    points = np.stack([x, y, z], -1).reshape(-1, 3)
    c, k = np.cos(angle), np.sin(angle)
    points = points @ np.array([[c, k, 0], [-k, c, 0], [0, 0, 1.0]]) + np.asarray(foot)
    faces = grid_faces(7, 3, wrap=False)
    # Two-sided: a leaf has no inside.
    vertices = np.concatenate([points, points - [0, 0, 0.006]])
    return Shell(vertices, np.concatenate([faces[:, ::-1], faces + len(points)]), "leaf")
