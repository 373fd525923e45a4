"""Moving, turning and scaling space as a whole: what keeps shapes as they are."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

# How far a matrix read from a file may be from a similarity, relative to its scale.
TOLERANCE = 1e-4
# Cosine and sine by degrees, where both are whole: a full turn is none at all.
QUARTERS = {0.0: (1.0, 0.0), 90.0: (0.0, 1.0), 180.0: (-1.0, 0.0), 270.0: (0.0, -1.0)}


@dataclass(frozen=True, eq=False)
class Similarity:
    """``x' = scale R x + t``, computed in float64 and applied in the precision of the points.

    Attributes:
        rotation: (3, 3) float64, orthogonal with determinant 1.
        scale: above 0.
        translation: (3,) float64, in world units.
    """

    rotation: Float[Tensor, "3 3"]
    scale: float
    translation: Float[Tensor, " 3"]

    @classmethod
    def about(
        cls,
        pivot: Float[Tensor, " 3"],
        rotation: Float[Tensor, "3 3"],
        scale: float,
        shift: Float[Tensor, " 3"],
    ) -> Similarity:
        """``x' = pivot + scale R (x - pivot) + shift``."""
        pivot, rotation, shift = pivot.double(), rotation.double(), shift.double()
        return cls(rotation, scale, pivot + shift - scale * rotation @ pivot)

    @classmethod
    def from_matrix(cls, matrix: Float[Tensor, "4 4"]) -> Similarity:
        """From a homogeneous matrix.

        Raises:
            ValueError: it mirrors, shears, or scales its axes differently.
        """
        matrix = matrix.double()
        linear = matrix[:3, :3]
        determinant = float(torch.linalg.det(linear))
        if not math.isfinite(determinant) or determinant <= 0:
            raise ValueError("the matrix mirrors or flattens space")
        scale = determinant ** (1 / 3)
        rotation = linear / scale
        off = (rotation @ rotation.T - torch.eye(3, dtype=torch.float64)).abs().max()
        if float(off) > TOLERANCE:
            raise ValueError("the matrix is not rigid: it shears, or scales its axes differently")
        if (matrix[3] - torch.tensor([0, 0, 0, 1.0], dtype=torch.float64)).abs().max() > 0:
            raise ValueError("the last row of the matrix must be 0 0 0 1")
        # The nearest rotation, so that what the file rounded off does not add up.
        u, _, vt = torch.linalg.svd(rotation)
        return cls(u @ vt, scale, matrix[:3, 3])

    def apply(self, points: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 3"]:
        """Where points go."""
        linear = (self.scale * self.rotation).to(points)
        return points @ linear.T + self.translation.to(points)

    def turn(self, directions: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 3"]:
        """Where directions point then; lengths stay."""
        return directions @ self.rotation.to(directions).T

    def inverse(self) -> Similarity:
        """Back again."""
        back = self.rotation.T
        return Similarity(back, 1 / self.scale, -(back @ self.translation) / self.scale)

    def after(self, first: Similarity) -> Similarity:
        """This one, applied after another."""
        return Similarity(
            self.rotation @ first.rotation,
            self.scale * first.scale,
            self.scale * (self.rotation @ first.translation) + self.translation,
        )

    @property
    def is_identity(self) -> bool:
        """Whether nothing moves at all."""
        eye = torch.eye(3, dtype=torch.float64)
        return (
            self.scale == 1.0
            and torch.equal(self.rotation, eye)
            and not bool(self.translation.any())
        )


def rotation_from_degrees(angles: Sequence[float]) -> Float[Tensor, "3 3"]:
    """Turns about the fixed x, then y, then z axis, right-handed; float64."""
    result = torch.eye(3, dtype=torch.float64)
    for axis, degrees in enumerate(angles):
        angle = math.radians(degrees)
        cosine, sine = QUARTERS.get(degrees % 360, (math.cos(angle), math.sin(angle)))
        turn = torch.eye(3, dtype=torch.float64)
        first, second = (axis + 1) % 3, (axis + 2) % 3
        turn[first, first] = turn[second, second] = cosine
        turn[first, second], turn[second, first] = -sine, sine
        result = turn @ result
    return result
