"""A wall, and a plane behind it, as matter that can be edited."""

from __future__ import annotations

import torch
from nerfstudio.field_components.field_heads import FieldHeadNames
from torch import nn

from dff.field_matter import FieldMatter

WALL, PLANE = (1.8, 2.2), (3.5, 4.5)  # distances from the camera


def distance(positions: torch.Tensor) -> torch.Tensor:
    """Rays start at z = 3 and go straight down."""
    return 3.0 - positions[..., 2:]


def between(positions: torch.Tensor, limits: tuple[float, float]) -> torch.Tensor:
    away = distance(positions)
    return ((away >= limits[0]) & (away < limits[1])).float()


def density_fn(positions: torch.Tensor) -> torch.Tensor:
    return 50.0 * (between(positions, WALL) + between(positions, PLANE))


class TwoWalls(nn.Module):
    """Red in front, green behind."""

    def density_at(self, positions):
        red, green = between(positions, WALL), between(positions, PLANE)
        return density_fn(positions), torch.cat([red, green, torch.zeros_like(red)], dim=-1)

    def get_density(self, samples):
        return self.density_at(samples.frustums.get_positions())

    def colour_of(self, geometry, directions, appearance=None, ray=None):
        return geometry

    def forward(self, samples):
        density, rgb = self.density_at(samples.frustums.get_positions())
        return {FieldHeadNames.DENSITY: density, FieldHeadNames.RGB: rgb}


class WallFeatures(nn.Module):
    """Two hidden features: in front, and behind."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = 0

    def unit_positions(self, positions: torch.Tensor) -> torch.Tensor:
        return positions * 0.1 + 0.5

    def hidden_at(self, positions: torch.Tensor) -> torch.Tensor:
        self.asked += positions[..., 0].numel()
        return torch.cat([between(positions, WALL), between(positions, PLANE)], dim=-1)


class Feature:
    """Selects where one hidden feature is on."""

    def __init__(self, which: int) -> None:
        self.which = which

    def mask(self, hidden: torch.Tensor) -> torch.Tensor:
        return hidden[..., self.which]


def anywhere(unit: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """No voxel says anything: the features have to be asked everywhere."""
    return torch.zeros_like(unit[..., 0]), torch.ones_like(unit[..., 0], dtype=torch.bool)


class Known:
    """A place whose voxels say the soft mask themselves."""

    def __init__(self, which: int) -> None:
        self.limits = (WALL, PLANE)[which]

    def __call__(self, unit: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        mask = between((unit - 0.5) * 10, self.limits)[..., 0]
        return mask, torch.zeros_like(mask, dtype=torch.bool)


def matter(features: nn.Module | None = None, places=None, snap=None) -> FieldMatter:
    """The walls, with a selection of each of them."""
    places = (Known(0), Known(1)) if places is None else places
    scorers = (Feature(0), Feature(1))[: len(places)]
    return FieldMatter(TwoWalls(), [density_fn], features or WallFeatures(), places, scorers, snap)
