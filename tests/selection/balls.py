"""A made-up surface: a table, two balls of one look on it, and a cap of another on the first."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from dff.selection.surface_grid import SurfaceGrid

RESOLUTION = 48
TABLE, RED, TWIN, CAP = 0, 1, 2, 3
CENTRES = {RED: (0.3, 0.3, 0.5), TWIN: (0.7, 0.7, 0.5)}
RADIUS = 0.12


def ball(centre: tuple[float, float, float], count: int, generator) -> torch.Tensor:
    directions = F.normalize(torch.randn(count, 3, generator=generator), dim=-1)
    return torch.tensor(centre) + RADIUS * directions


def scene(touching: bool = False, noise: float = 0.05):
    """Grid, unit features and the kind of each voxel; a ball's upper quarter has its own look."""
    generator = torch.Generator().manual_seed(0)
    table = torch.rand(60_000, 3, generator=generator)
    table[:, 2] = 0.40
    second = (0.3 + 1.9 * RADIUS, 0.3, 0.5) if touching else CENTRES[TWIN]
    red, twin = ball(CENTRES[RED], 12_000, generator), ball(second, 12_000, generator)
    points = torch.cat([table, red, twin])
    kinds = torch.cat([torch.full((len(p),), k) for k, p in ((0, table), (1, red), (2, twin))])
    kinds[(kinds == RED) & (points[:, 2] > 0.5 + RADIUS / 2)] = CAP
    looks = F.one_hot(torch.tensor([0, 1, 1, 2]), 8).float()[kinds]
    looks = looks + noise * torch.randn(len(looks), 8, generator=generator)
    grid = SurfaceGrid.build(points, points, looks, torch.zeros_like(points), RESOLUTION)
    voxel = grid.voxel_at(points)
    votes = torch.zeros(len(grid), 4).index_put_(
        (voxel, kinds), torch.ones(len(voxel)), accumulate=True
    )
    return grid, F.normalize(grid.hidden, dim=-1), votes.argmax(dim=1)


def nearest(grid: SurfaceGrid, place: tuple[float, float, float]) -> int:
    return int(grid.tree.query(place)[1])


def iou(chosen: torch.Tensor, truth: torch.Tensor) -> float:
    return float((chosen & truth).sum() / (chosen | truth).sum())
