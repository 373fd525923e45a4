"""Augmentations: the same picture as it might be taken otherwise, differentiable in its colours."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

# A crop has at least this share of the side; each corner then moves by at most TILT of a half side.
LEAST_SIDE = 0.7
TILT = 0.15
# So often the selection is shown alone, on a colour.
ALONE = 0.5

FULL = ((-1.0, -1.0), (1.0, -1.0), (1.0, 1.0), (-1.0, 1.0))


@dataclass(frozen=True, eq=False)
class Augmentation:
    """One way to take a picture again.

    Attributes:
        corners: (4, 2), where the new picture's corners lie in the old one, x and y in [-1, 1],
            from the upper left clockwise.
        background: colour in place of the surroundings; None keeps them.
    """

    corners: Float[Tensor, "4 2"]
    background: Float[Tensor, " 3"] | None


def draw(generator: torch.Generator) -> Augmentation:
    """A random crop in perspective, half of the time on a random colour."""
    side, left, top, alone = torch.rand(4, generator=generator).tolist()
    tilt = TILT * (torch.rand(4, 2, generator=generator) * 2 - 1)
    colour = torch.rand(3, generator=generator)
    half = LEAST_SIDE + (1 - LEAST_SIDE) * side
    middle = (1 - half) * (torch.tensor([left, top]) * 2 - 1)
    corners = (middle + half * (torch.tensor(FULL) + tilt)).clamp(-1.0, 1.0)
    return Augmentation(corners, colour if alone < ALONE else None)


def taken(
    augmentation: Augmentation,
    picture: Float[Tensor, "h w 3"],
    light: Float[Tensor, "h w 3"],
    share: Float[Tensor, "h w 1"],
    size: tuple[int, int],
) -> Float[Tensor, "3 H W"]:
    """A picture taken again.

    Args:
        augmentation: how.
        picture: with its surroundings.
        light: of the selection alone, over black.
        share: how much of each pixel's light that is.
        size: H and W of the new picture.
    """
    if augmentation.background is not None:
        picture = light + (1 - share) * augmentation.background.to(light)
    return warp(picture, augmentation.corners, size)


def warp(
    picture: Float[Tensor, "h w 3"], corners: Float[Tensor, "4 2"], size: tuple[int, int]
) -> Float[Tensor, "3 H W"]:
    """A picture seen through a projective map, bilinear; beyond its border, the border's colour.

    Args:
        picture: any channels last.
        corners: see `Augmentation`.
        size: H and W of the result.
    """
    height, width = size
    matrix = homography(corners).to(picture)
    ys = (torch.arange(height) + 0.5) / height * 2 - 1
    xs = (torch.arange(width) + 0.5) / width * 2 - 1
    y, x = torch.meshgrid(ys, xs, indexing="ij")
    places = torch.stack([x, y, torch.ones_like(x)], dim=-1).to(picture) @ matrix.T
    grid = places[..., :2] / places[..., 2:]
    batch = picture.movedim(-1, 0)[None]
    return F.grid_sample(
        batch, grid[None], mode="bilinear", padding_mode="border", align_corners=False
    )[0]


def homography(corners: Float[Tensor, "4 2"]) -> Float[Tensor, "3 3"]:
    """The projective map that takes the corners of [-1, 1]^2 to four others.

    Eight equations, two a corner, for the eight entries besides the last, which is 1: from
    ``u (g x + h y + 1) = a x + b y + c`` and the same for v.
    """
    rows, right = [], []
    for (x, y), (u, v) in zip(FULL, corners.double().tolist(), strict=True):
        rows.append([x, y, 1, 0, 0, 0, -u * x, -u * y])
        rows.append([0, 0, 0, x, y, 1, -v * x, -v * y])
        right += [u, v]
    system = torch.tensor(rows, dtype=torch.float64)
    entries = torch.linalg.solve(system, torch.tensor(right, dtype=torch.float64))
    return torch.cat([entries, torch.ones(1, dtype=torch.float64)]).view(3, 3)
