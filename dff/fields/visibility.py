"""A prior for density from the cameras alone: matter is likely where many cameras look.

A uniform density at the start fogs up in front of each camera when it is high (those points are
seen by one camera, which can paint its own photo there), and never gathers into surfaces when it is
low. Starting high where many cameras look and low elsewhere avoids both.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

GRID = 64


def uncontract(positions: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 3"]:
    """Inverse of `dff.fields.contraction.contract`, from the cube [-2, 2]^3 to all of space."""
    norm = positions.abs().amax(dim=-1, keepdim=True).clamp(max=2.0 - 1e-3)
    outside = positions / norm.clamp(min=1e-12) / (2.0 - norm)
    return torch.where(norm > 1.0, outside, positions)


def voxel_centres(
    aabb: Float[Tensor, "2 3"], contracted: bool, resolution: int = GRID
) -> Float[Tensor, "r r r 3"]:
    """World positions of the centres of a grid over the unit cube, indexed [x, y, z]."""
    line = (torch.arange(resolution, dtype=torch.float32) + 0.5) / resolution
    unit = torch.stack(torch.meshgrid(line, line, line, indexing="ij"), dim=-1)
    if contracted:
        return uncontract(unit * 4.0 - 2.0)
    return aabb[0] + unit * (aabb[1] - aabb[0])


def visible_share(
    points: Float[Tensor, "n 3"],
    camera_to_worlds: Float[Tensor, "cameras 3 4"],
    focal: Float[Tensor, "cameras 2"],
    principal: Float[Tensor, "cameras 2"],
    size: Float[Tensor, "cameras 2"],
) -> Float[Tensor, " n"]:
    """Share of the cameras in whose picture each point falls, occlusion and distortion aside.

    Args:
        points: world positions.
        camera_to_worlds: OpenGL convention (looking along -z, y up).
        focal, principal, size: in pixels, (x, y) order.

    Returns:
        In [0, 1].
    """
    count = torch.zeros(points.shape[0])
    for pose, f, c, wh in zip(camera_to_worlds, focal, principal, size, strict=True):
        local = (points - pose[:, 3]) @ pose[:, :3]
        depth = -local[:, 2]
        safe = depth.clamp(min=1e-6)
        x = f[0] * local[:, 0] / safe + c[0]
        y = -f[1] * local[:, 1] / safe + c[1]
        count += (depth > 0) & (x >= 0) & (x <= wh[0]) & (y >= 0) & (y <= wh[1])
    return count / max(len(camera_to_worlds), 1)
