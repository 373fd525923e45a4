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

from dff.data.generated import food_shapes, toy_shapes, ware_shapes
from dff.data.generated.shells import Shell, vertex_normals
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
    "stalk",
    "stand",
    "window",
    "wheel",
    "belly",
)

_BUILDERS: dict[str, Callable[[np.random.Generator, int], list[Shell]]] = {
    "apple": food_shapes.apple,
    "banana": food_shapes.banana,
    "pear": food_shapes.pear,
    "carrot": food_shapes.carrot,
    "donut": food_shapes.donut,
    "mug": ware_shapes.mug,
    "bowl": ware_shapes.bowl,
    "bottle": ware_shapes.bottle,
    "book": ware_shapes.book,
    "box": ware_shapes.box,
    "ball": toy_shapes.ball,
    "duck": toy_shapes.duck,
    "car": toy_shapes.car,
    "bear": toy_shapes.bear,
    "lamp": ware_shapes.lamp,
    "mushroom": food_shapes.mushroom,
}
