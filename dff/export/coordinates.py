"""From the scene's own coordinates to those of the capture."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from nerfstudio.data.dataparsers.base_dataparser import DataparserOutputs
from torch import Tensor

from dff.export.points import SurfacePoints
from dff.selection.mesh import Mesh


@dataclass(frozen=True, eq=False)
class Coordinates:
    """``p' = linear p + offset``.

    Attributes:
        linear: (3, 3), invertible; one that mirrors is fine.
        offset: (3,).
    """

    linear: Float[Tensor, "3 3"]
    offset: Float[Tensor, " 3"]

    @classmethod
    def of_capture(cls, parsed: DataparserOutputs) -> Coordinates:
        """Undo what nerfstudio's dataparser did: ``p = scale (R q + t)`` to the cameras' places.

        Captures from COLMAP thereby come out in the coordinates of the COLMAP model.
        """
        transform = parsed.dataparser_transform.double()
        linear = torch.linalg.inv(transform[:, :3])
        return cls(linear / parsed.dataparser_scale, -linear @ transform[:, 3])

    def points(self, points: SurfacePoints) -> SurfacePoints:
        """The same points there."""
        normals = points.normals.double() @ torch.linalg.inv(self.linear)
        length = float(torch.linalg.det(self.linear).abs() ** (1 / 3))
        return replace(
            points,
            positions=self._moved(points.positions),
            normals=F.normalize(normals, dim=1).float(),
            side=points.side * length,
        )

    def mesh(self, mesh: Mesh) -> Mesh:
        """The same mesh there, its faces still counter-clockwise from outside."""
        mirrored = float(torch.linalg.det(self.linear)) < 0
        return Mesh(
            self._moved(torch.from_numpy(mesh.vertices)).numpy(),
            np.ascontiguousarray(mesh.faces[:, ::-1]) if mirrored else mesh.faces,
            mesh.colours,
        )

    def _moved(self, positions: Float[Tensor, "n 3"]) -> Float[Tensor, "n 3"]:
        return (positions.double() @ self.linear.T + self.offset).float()
