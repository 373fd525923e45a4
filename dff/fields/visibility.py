"""A prior for density from the cameras alone: matter is likely where many cameras look.

A uniform density at the start fogs up in front of each camera when it is high (those points are
seen by one camera, which can paint its own photo there), and never gathers into surfaces when it is
low. Starting high where many cameras look and low elsewhere avoids both.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from nerfstudio.cameras.cameras import Cameras
from torch import Tensor, nn

from dff.fields.contraction import uncontract

GRID = 64


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


class DensityPrior(nn.Module):
    """Initial density at each point of the unit cube, looked up in a grid.

    It multiplies what the networks say, so training is free to overrule it. A field starts with
    ``highest`` where most cameras look and with at least ``lowest`` everywhere.

    Args:
        grid: initial density, ``(r, r, r)`` indexed [x, y, z], in 1 / world unit.
    """

    grid: Tensor

    def __init__(self, grid: Float[Tensor, "r r r"]) -> None:
        super().__init__()
        self.register_buffer("grid", grid)

    @classmethod
    def uniform(cls, density: float) -> DensityPrior:
        """The same everywhere."""
        return cls(torch.full((GRID, GRID, GRID), density))

    @classmethod
    def from_cameras(
        cls,
        cameras: Cameras,
        aabb: Float[Tensor, "2 3"],
        contracted: bool,
        highest: float,
        lowest: float,
    ) -> DensityPrior:
        """In proportion to the share of the cameras that see a point.

        Args:
            cameras: the training cameras; distortion is left aside.
            aabb, contracted: as in `dff.fields.contraction.to_unit_cube`.
            highest: density where as many cameras look as look anywhere, in 1 / world unit.
            lowest: density where none does.
        """
        centres = voxel_centres(aabb.cpu(), contracted).view(-1, 3)
        share = visible_share(
            centres,
            cameras.camera_to_worlds.cpu(),
            torch.cat([cameras.fx, cameras.fy], dim=-1).cpu(),
            torch.cat([cameras.cx, cameras.cy], dim=-1).cpu(),
            torch.cat([cameras.width, cameras.height], dim=-1).float().cpu(),
        )
        density = highest * share / share.max().clamp(min=1e-6)
        return cls(density.clamp(min=lowest).view(GRID, GRID, GRID))

    def forward(self, unit: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 1"]:
        """Initial density at positions in the unit cube, of the nearest grid point."""
        size = self.grid.shape[0]
        cell = (unit.detach() * size).nan_to_num().floor().clamp(0, size - 1)
        # Whole numbers below 2**24 are exact in float32, whose products torch does fastest.
        index = cell @ cell.new_tensor([size * size, size, 1])
        return self.grid.view(-1).index_select(0, index.view(-1).int()).view(*unit.shape[:-1], 1)
