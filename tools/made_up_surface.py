"""A made-up baked surface: spheres of voxels, each of one kind of feature."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from dff.errors import DffError
from dff.query.scores import QueryEmbedding, normalise
from dff.selection.exact import BakedFeatures
from dff.selection.surface_grid import RESOLUTION, SurfaceGrid

WIDTH, HEIGHT = 480, 360
SCALE = 20.0
# As many as a teacher has canonical phrases.
NEGATIVES = 4
# Of the unit cube; 27 spheres do not touch.
RADIUS = 0.15


@dataclass
class SurfaceOptions:
    """What the surface is like, and how much is asked of it."""

    voxels: int = 200_000
    """Of the made-up surface."""
    resolution: int = RESOLUTION
    """Voxels along one side of its unit cube."""
    hidden: int = 64
    """Dimensions of its hidden features."""
    texts: int = 100
    """How many are asked at once."""


@dataclass(frozen=True, eq=False)
class MadeUp:
    """A baked surface of spheres with what is needed to ask for them."""

    grid: SurfaceGrid
    baked: BakedFeatures
    query: QueryEmbedding
    texts: Float[Tensor, "t D"]


def spheres(voxels: int, resolution: int) -> tuple[Float[Tensor, "n 3"], Int[Tensor, " n"]]:
    """Middles of voxels on spheres in the unit cube, and the number of each one's sphere.

    Raises:
        DffError: the spheres have fewer voxels than that.
    """
    count = int(60 * (RADIUS * resolution) ** 2)
    step = torch.arange(count, dtype=torch.float64) + 0.5
    turn, height = math.pi * (1 + math.sqrt(5)) * step, 1 - 2 * step / count
    flat = (1 - height**2).sqrt()
    directions = torch.stack([flat * turn.cos(), flat * turn.sin(), height], dim=-1)
    found, numbers = [], []
    for number, centre in enumerate(itertools.product((1 / 6, 1 / 2, 5 / 6), repeat=3)):
        points = torch.tensor(centre, dtype=torch.float64) + RADIUS * directions
        found.append(torch.unique((points * resolution).long(), dim=0))
        numbers.append(torch.full((len(found[-1]),), number))
        if sum(len(part) for part in found) >= voxels:
            places = (torch.cat(found)[:voxels].float() + 0.5) / resolution
            return places, torch.cat(numbers)[:voxels]
    most = sum(len(part) for part in found)
    raise DffError(f"at resolution {resolution} there are {most} voxels: give fewer --voxels")


def made_up(bench: SurfaceOptions, dim: int) -> MadeUp:
    """A surface of spheres; the query is for the first, told apart from others."""
    generator = torch.Generator().manual_seed(0)
    unit, kind = spheres(bench.voxels, bench.resolution)
    # Hidden features are not negative: a rectifier comes last.
    kinds = torch.randn(27 + NEGATIVES + bench.texts, bench.hidden, generator=generator).relu()
    hidden = kinds[kind] + 0.3 * torch.randn(len(unit), bench.hidden, generator=generator).relu()
    weight = torch.randn(dim, bench.hidden, generator=generator)
    grid = SurfaceGrid.build(unit, unit, hidden, torch.zeros(len(unit), 3), bench.resolution)
    words = normalise(kinds @ weight.T)
    query = QueryEmbedding(words[:1], words[27 : 27 + NEGATIVES], SCALE, "pairwise")
    return MadeUp(grid, BakedFeatures.bake(grid.hidden, weight), query, words[-bench.texts :])


def made_up_samples(samples: int) -> Callable[[Tensor], Tensor]:
    """Gives the samples of rays, by their numbers, of a camera that looks into the unit box."""

    def positions(rays: Int[Tensor, " r"]) -> Float[Tensor, "r s 3"]:
        x = (rays % WIDTH + 0.5) / WIDTH * 2 - 1
        y = 1 - (rays // WIDTH + 0.5) / HEIGHT * 2
        depth = (torch.arange(samples) + 0.5) / samples
        near = torch.stack([x, y, torch.ones_like(x)], dim=-1)
        far = torch.stack([0.5 * x, 0.5 * y, -torch.ones_like(x)], dim=-1)
        return near[:, None] + depth[:, None] * (far - near)[:, None]

    return positions
