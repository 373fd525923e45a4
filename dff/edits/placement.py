"""How a step places what it selects: parameters as a document gives them, and what they mean."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal

import torch
from jaxtyping import Float
from pydantic import (
    Discriminator,
    SerializerFunctionWrapHandler,
    Tag,
    model_serializer,
    model_validator,
)
from torch import Tensor

from dff.edits.similarity import Similarity, rotation_from_degrees
from dff.edits.strict import Looks, Strict, bounded

Length = Annotated[float, bounded(-1000, 1000)]
Degrees = Annotated[float, bounded(-3600, 3600)]
Point = Annotated[tuple[Length, Length, Length], Looks("[x, y, z]")]
Angles = Annotated[tuple[Degrees, Degrees, Degrees], Looks("degrees about [x, y, z]")]
Row = Annotated[tuple[Length, Length, Length, Length], Looks("4 numbers")]
Matrix = Annotated[tuple[Row, Row, Row, Row], Looks("4 rows of 4 numbers")]
SCALES = (0.01, 100)
Scale = Annotated[float, bounded(*SCALES)]
_PIVOT = Looks("center, base, or a point [x, y, z]")
Pivot = Annotated[
    Annotated[Literal["center", "base"], Tag("name"), _PIVOT]
    | Annotated[Point, Tag("point"), _PIVOT],
    Discriminator(lambda value: "name" if isinstance(value, str) else "point"),
]


class Turned(Strict):
    """Turning, scaling and shifting: ``x' = p + scale R (x - p) + translate``, p the pivot.

    Attributes:
        translate: in world units of the scene (those of nerfstudio's camera paths), each in
            [-1000, 1000].
        rotate: degrees about the x, then y, then z axis, right-handed, each in [-3600, 3600].
        scale: of all axes alike, in [0.01, 100].
        pivot: the selection's ``center`` (of its bounding box), its ``base`` (the same, at its
            lowest), or a point.
        axes: those of the ``world`` (z is up), or the ``object``'s own, its longest first.
    """

    translate: Point = (0.0, 0.0, 0.0)
    rotate: Angles = (0.0, 0.0, 0.0)
    scale: Scale = 1.0
    pivot: Pivot = "center"
    axes: Literal["world", "object"] = "world"


class Placed(Turned):
    """As `Turned`, or a matrix instead of it.

    Attributes:
        matrix: 4x4, rows, from old to new world positions; rotation, one scale and translation.
    """

    matrix: Matrix | None = None

    @model_validator(mode="after")
    def _one_way(self) -> Placed:
        if self.matrix is not None:
            given = self._given_beside_it()
            if given:
                raise ValueError(f"give either matrix or {given[0]}, not both")
            low, high = SCALES
            scale = Similarity.from_matrix(torch.tensor(self.matrix, dtype=torch.float64)).scale
            if not low <= scale <= high:
                raise ValueError(f"the matrix scales by {scale:.3g}: from {low:g} to {high:g}")
        return self

    def _given_beside_it(self) -> list[str]:
        """Parameters that say something else than their default does."""
        fields = Turned.model_fields
        return [name for name in fields if getattr(self, name) != fields[name].default]

    @model_serializer(mode="wrap")
    def _one_way_written(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Without the parameters that a matrix stands instead of."""
        data = write(self)
        if self.matrix is None:
            return data
        return {name: value for name, value in data.items() if name not in Turned.model_fields}

    @property
    def as_matrix(self) -> Similarity | None:
        """The matrix, checked."""
        if self.matrix is None:
            return None
        return Similarity.from_matrix(torch.tensor(self.matrix, dtype=torch.float64))


@dataclass(frozen=True, eq=False)
class Extent:
    """Where a selection is, in world units.

    Attributes:
        low, high: (3,), corners of its bounding box.
        axes: (3, 3), columns are its own axes, the longest first; a rotation.
    """

    low: Float[Tensor, " 3"]
    high: Float[Tensor, " 3"]
    axes: Float[Tensor, "3 3"]

    @classmethod
    def of(cls, points: Float[Tensor, "n 3"]) -> Extent:
        """From the surface points that are selected.

        A hundredth of them is left out at either end of each axis: a stray one would shift the
        middle. Axes are principal axes; each points to the side of its largest component, and the
        last completes a right-handed frame.
        """
        points = points.double()
        low, high = torch.quantile(
            points, torch.tensor([0.01, 0.99], dtype=torch.float64), dim=0
        ).unbind()
        centred = points - points.mean(dim=0)
        _, vectors = torch.linalg.eigh(centred.T @ centred)
        axes = vectors.flip(-1)
        largest = axes.abs().argmax(dim=0)
        signs = axes[largest, torch.arange(3)].sign()
        axes = axes * torch.where(signs == 0, torch.ones_like(signs), signs)
        axes[:, 2] = torch.linalg.cross(axes[:, 0], axes[:, 1])
        return cls(low, high, axes)

    @property
    def center(self) -> Float[Tensor, " 3"]:
        """Middle of the bounding box."""
        return (self.low + self.high) / 2

    @property
    def base(self) -> Float[Tensor, " 3"]:
        """The same at its lowest; z is up."""
        return torch.cat([self.center[:2], self.low[2:]])

    def similarity(self, placed: Turned) -> Similarity:
        """What the parameters of a step do to this selection."""
        if isinstance(placed, Placed) and placed.as_matrix is not None:
            return placed.as_matrix
        rotation = rotation_from_degrees(placed.rotate)
        shift = torch.tensor(placed.translate, dtype=torch.float64)
        if placed.axes == "object":
            # No turn, or a full one, stays so to the last bit in whatever axes.
            if not torch.equal(rotation, torch.eye(3, dtype=torch.float64)):
                rotation = self.axes @ rotation @ self.axes.T
            shift = self.axes @ shift
        return Similarity.about(self.pivot(placed), rotation, placed.scale, shift)

    def pivot(self, placed: Turned) -> Float[Tensor, " 3"]:
        """The point that stays, but for the shift."""
        if placed.pivot == "center":
            return self.center
        if placed.pivot == "base":
            return self.base
        return torch.tensor(placed.pivot, dtype=torch.float64)
