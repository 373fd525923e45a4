"""Ray casting over triangle meshes by embree (through embreex, which comes with trimesh).

Pure geometry: first hits, shadow rays and how open to the sky a vertex is. Nothing here knows what
a thing is called or how it is painted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from embreex.mesh_construction import TriangleMesh
from embreex.rtcore_scene import EmbreeScene
from numpy.typing import NDArray

Array = NDArray[np.float64]
Index = NDArray[np.int64]


@dataclass(frozen=True)
class Geometry:
    """Several meshes as one.

    Attributes:
        vertices, normals: (V, 3) in the world.
        local: (V, 3) the vertices in their own mesh's coordinates, for patterns that stick.
        faces: (F, 3) vertex indices.
        face_owner, face_part: (F,) which mesh, and which of its parts, a face belongs to.
    """

    vertices: Array
    normals: Array
    local: Array
    faces: Index
    face_owner: Index
    face_part: Index


@dataclass(frozen=True)
class Hits:
    """First hits of N rays.

    Attributes:
        face: (N,) face index, -1 where the ray hits nothing.
        distance: (N,) along the (unit) direction; inf where the ray hits nothing.
        weights: (N, 3) barycentric weights of the face's vertices.
    """

    face: Index
    distance: Array
    weights: Array


def merge(parts: Sequence[Geometry]) -> Geometry:
    """One geometry out of several; owners are kept as they are."""
    offset, faces = 0, []
    for part in parts:
        faces.append(part.faces + offset)
        offset += len(part.vertices)
    return Geometry(
        vertices=np.concatenate([p.vertices for p in parts]),
        normals=np.concatenate([p.normals for p in parts]),
        local=np.concatenate([p.local for p in parts]),
        faces=np.concatenate(faces),
        face_owner=np.concatenate([p.face_owner for p in parts]),
        face_part=np.concatenate([p.face_part for p in parts]),
    )


class RayCaster:
    """Answers ray queries against one geometry.

    Args:
        geometry: what to trace; lengths of order 1 to 100, for embree works in float32.
    """

    def __init__(self, geometry: Geometry) -> None:
        self.geometry = geometry
        corner = geometry.vertices[geometry.faces]
        self._scene = EmbreeScene()
        self._mesh = TriangleMesh(self._scene, corner.astype(np.float32))
        self._corner = corner[:, 0]
        self._edge1 = corner[:, 1] - corner[:, 0]
        self._edge2 = corner[:, 2] - corner[:, 0]

    def first_hits(self, origins: Array, directions: Array) -> Hits:
        """First hits of rays.

        Args:
            origins: (N, 3).
            directions: (N, 3) unit vectors.
        """
        face = np.asarray(
            self._scene.run(
                np.ascontiguousarray(origins, np.float32),
                np.ascontiguousarray(directions, np.float32),
            )
        ).astype(np.int64)
        hit = face >= 0
        f, o, d = face[hit], origins[hit], directions[hit]
        # Moeller and Trumbore's solution in float64, on the face that embree names.
        e1, e2 = self._edge1[f], self._edge2[f]
        p = np.cross(d, e2)
        inverse = 1.0 / np.where(np.abs(x := (e1 * p).sum(1)) < 1e-15, 1e-15, x)
        s = o - self._corner[f]
        q = np.cross(s, e1)
        u, v = (s * p).sum(1) * inverse, (d * q).sum(1) * inverse
        distance = np.full(len(face), np.inf)
        distance[hit] = (e2 * q).sum(1) * inverse
        weights = np.zeros((len(face), 3))
        weights[hit] = np.clip(np.stack([1 - u - v, u, v], 1), 0.0, 1.0)
        return Hits(face, distance, weights)

    def blocked(
        self, origins: Array, directions: Array, far: Array | float = np.inf
    ) -> NDArray[np.bool_]:
        """(N,) bool: whether something lies on the ray before ``far`` (in units of direction)."""
        reach = np.broadcast_to(np.minimum(far, 1e6), (len(origins),)).astype(np.float32)
        answer = self._scene.run(
            np.ascontiguousarray(origins, np.float32),
            np.ascontiguousarray(directions, np.float32),
            np.array(reach),
            query="OCCLUDED",
        )
        return np.asarray(answer) >= 0

    def openness(self, rays: int, rng: np.random.Generator, reach: float = 3.0) -> Array:
        """(V,) share of the cosine-weighted half space over each vertex that is free of hits
        within ``reach``: ambient light that the vertex receives, in [0, 1]."""
        g = self.geometry
        # One set of directions for all, so that neighbours do not differ by chance.
        k = np.arange(rays) + rng.random()
        radius, turn = np.sqrt((k % rays + 0.0) / rays), k * 2.399963
        local = np.stack([radius * np.cos(turn), radius * np.sin(turn), np.sqrt(1 - radius**2)], 1)
        tangent, bitangent = _frame(g.normals)
        free = np.zeros(len(g.vertices))
        origins = g.vertices + 4e-3 * g.normals
        for a, b, c in local:
            direction = a * tangent + b * bitangent + c * g.normals
            free += ~self.blocked(origins, direction, reach)
        return free / rays


def _frame(normals: Array) -> tuple[Array, Array]:
    helper = np.where(np.abs(normals[:, :1]) < 0.7, [[1.0, 0, 0]], [[0, 1.0, 0]])
    tangent: Array = np.asarray(np.cross(helper, normals), dtype=np.float64)
    tangent /= np.maximum(np.linalg.norm(tangent, axis=1, keepdims=True), 1e-12)
    return tangent, np.asarray(np.cross(normals, tangent), dtype=np.float64)


def interpolate(geometry: Geometry, hits: Hits, values: Array) -> Array:
    """(M, C) per-vertex ``values`` of shape (V, C) at the M rays that hit something."""
    hit = hits.face >= 0
    corner = geometry.faces[hits.face[hit]]
    weights = hits.weights[hit]
    total = values[corner[:, 0]] * weights[:, :1]
    total += values[corner[:, 1]] * weights[:, 1:2]
    total += values[corner[:, 2]] * weights[:, 2:]
    return total
