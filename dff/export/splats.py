"""Surface points as 3D Gaussians, in the file layout of the original 3D Gaussian splatting.

Each point becomes a disc: a Gaussian as wide as the points around are apart, flattened along the
normal, nearly opaque. Layout and activations are those of Kerbl et al., "3D Gaussian Splatting for
Real-Time Radiance Field Rendering", SIGGRAPH 2023, as their program writes them: opacities as
logits, scales as natural logarithms, rotations as quaternions w x y z, colours as coefficients of
spherical harmonics, of which the constant one is ``(colour - 0.5) / C0``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from dff.export.points import SurfacePoints, spacing
from dff.selection.point_cloud import checked_suffix, write_vertices

# The constant spherical harmonic.
C0 = 0.5 / math.sqrt(math.pi)
# Standard deviations of a disc in units of the spacing: across it, and along its normal.
WIDE, THIN = 0.65, 0.2
OPACITY = 0.95
HIGHER = 45

PROPERTIES = (
    *("x", "y", "z", "nx", "ny", "nz"),
    *(f"f_dc_{i}" for i in range(3)),
    *(f"f_rest_{i}" for i in range(HIGHER)),
    "opacity",
    *(f"scale_{i}" for i in range(3)),
    *(f"rot_{i}" for i in range(4)),
)


@dataclass(frozen=True, eq=False)
class Splats:
    """Gaussians, as the renderer sees them.

    Attributes:
        means: (n, 3).
        normals: (n, 3), unit; renderers do not look at them.
        rgb: (n, 3) in [0, 1], the same from everywhere.
        opacity: (n,), in (0, 1).
        scales: (n, 3), standard deviations along the axes.
        quaternions: (n, 4), unit, w x y z: from the axes to the world.
    """

    means: Float[Tensor, "n 3"]
    normals: Float[Tensor, "n 3"]
    rgb: Float[Tensor, "n 3"]
    opacity: Float[Tensor, " n"]
    scales: Float[Tensor, "n 3"]
    quaternions: Float[Tensor, "n 4"]


def splats_of(points: SurfacePoints) -> Splats:
    """A disc for each point, wide enough that neighbours overlap and the surface closes."""
    size = spacing(points)
    wide = WIDE * size
    scales = torch.stack([wide, wide, THIN * size], dim=1)
    return Splats(
        points.positions,
        points.normals,
        points.rgb,
        torch.full((len(points),), OPACITY),
        scales,
        turn_z_to(points.normals),
    )


def turn_z_to(normals: Float[Tensor, "n 3"]) -> Float[Tensor, "n 4"]:
    """Unit quaternions, w x y z, of the shortest turns from +z to unit vectors.

    ``q ~ (1 + z.n, z x n)``; for ``n = -z``, half a turn about x.
    """
    x, y, z = normals.unbind(dim=1)
    nothing = torch.zeros_like(x)
    q = torch.stack([1 + z, -y, x, nothing], dim=1)
    opposite = q.norm(dim=1, keepdim=True) < 1e-6
    half = torch.tensor([0.0, 1.0, 0.0, 0.0]).to(q)
    return F.normalize(torch.where(opposite, half, q), dim=1)


def write_splats(path: Path, splats: Splats) -> int:
    """Write Gaussians as a binary PLY, atomically.

    Args:
        path: ends in .ply.
        splats: what is written.

    Returns:
        How many were written.

    Raises:
        DffError: another suffix, or the file cannot be written.
    """
    checked_suffix(path, (".ply",), "a file of Gaussian splats")
    count = len(splats.means)
    columns = torch.cat(
        [
            splats.means,
            splats.normals,
            (splats.rgb - 0.5) / C0,
            torch.zeros(count, HIGHER),
            torch.logit(splats.opacity)[:, None],
            splats.scales.log(),
            splats.quaternions,
        ],
        dim=1,
    )
    layout = np.dtype([(name, "<f4") for name in PROPERTIES])
    rows = np.ascontiguousarray(columns.detach().cpu().numpy(), dtype="<f4")
    return write_vertices(path, rows.view(layout)[:, 0])
