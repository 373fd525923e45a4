"""Views whose truth is known in closed form: a ball, red and blue, above a round table."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F

from dff.export.views import PinholeView
from dff.selection.frame import Frame

CENTRE, RADIUS, TABLE = torch.tensor([0.0, 0.0, 0.1]), 0.35, 0.8
RED, BLUE, GREY = ([0.9, 0.1, 0.1], [0.1, 0.2, 0.9], [0.5, 0.5, 0.5])
GROUND = -0.4


def ball_view(azimuth: float, height: float, size: tuple[int, int] = (72, 96)) -> PinholeView:
    """Seen from a ring of radius 1 around the middle; the ball's right half (x > 0) is red."""
    origin = torch.tensor([math.cos(azimuth), math.sin(azimuth), height])
    back = F.normalize(origin, dim=0)
    right = F.normalize(torch.linalg.cross(torch.tensor([0.0, 0.0, 1.0]), back), dim=0)
    pose = torch.stack([right, torch.linalg.cross(back, right), back, origin], dim=1)
    empty = torch.zeros(size)
    view = PinholeView(
        pose,
        torch.tensor([80.0, 82.0]),
        torch.tensor([size[1] / 2 + 1.5, size[0] / 2 - 1.0]),
        empty[..., None].expand(*size, 3),
        empty,
        empty > 0,
        empty.long(),
    )
    rays = view.directions
    towards = CENTRE - origin
    along = rays @ towards
    miss = towards @ towards - along**2
    ball = along - (RADIUS**2 - miss).clamp_min(0).sqrt()
    ball = torch.where((miss < RADIUS**2) & (ball > 0), ball, torch.inf)
    ground = (GROUND - origin[2]) / rays[..., 2]
    place = origin + ground[..., None] * rays
    ground = torch.where((ground > 0) & (place[..., :2].norm(dim=-1) < TABLE), ground, torch.inf)
    depth = torch.minimum(ball, ground)
    there = depth.isfinite()
    depth = torch.where(there, depth, 5.0)
    x = (origin + depth[..., None] * rays)[..., :1]
    paint = torch.where(x > 0, torch.tensor(RED), torch.tensor(BLUE))
    rgb = torch.where((ball < ground)[..., None], paint, torch.tensor(GREY)) * there[..., None]
    return PinholeView(
        pose, view.focal, view.centre, rgb, depth, there, (ball < ground).long() * 3 * there
    )


@pytest.fixture(scope="session")
def ball_views() -> list[PinholeView]:
    """24 views, from three heights; what is of the ball was changed by step 3."""
    return [
        ball_view(2 * math.pi * (k + 0.3 * row) / 8, height)
        for row, height in enumerate((-0.15, 0.4, 1.2))
        for k in range(8)
    ]


@pytest.fixture(scope="session")
def make_view() -> Callable[..., PinholeView]:
    """A view from an azimuth and a height."""
    return ball_view


@pytest.fixture(scope="session")
def frame() -> Frame:
    """Contracted space."""
    return Frame(torch.tensor([[-1.0, -1.0, -1.0], [1.0, 1.0, 1.0]]), True)


@pytest.fixture(scope="session")
def away() -> Callable[[torch.Tensor], torch.Tensor]:
    """Distance of places to the nearest true surface."""

    def distance(places: torch.Tensor) -> torch.Tensor:
        ball = ((places - CENTRE).norm(dim=1) - RADIUS).abs()
        outside = (places[:, :2].norm(dim=1) - TABLE).clamp_min(0)
        return torch.minimum(ball, torch.hypot(outside, places[:, 2] - GROUND))

    return distance


@pytest.fixture(scope="session")
def true_normals() -> Callable[[torch.Tensor], torch.Tensor]:
    """Of the surface nearest to each place."""

    def normals(places: torch.Tensor) -> torch.Tensor:
        out = F.normalize(places - CENTRE, dim=1)
        up = torch.tensor([0.0, 0.0, 1.0]).expand_as(out)
        ball = ((places - CENTRE).norm(dim=1) - RADIUS).abs() < (places[:, 2] - GROUND).abs()
        return torch.where(ball[:, None], out, up)

    return normals
