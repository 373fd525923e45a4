"""The hole under a deleted thing: a ball that stood on a table whose colour is known everywhere."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from dff.edits.filling import _harmonic, fill_hole
from dff.rendering import alphas_from_density
from dff.selection.selection import Selection
from dff.selection.surface_grid import SurfaceGrid

SIDE, RADIUS, CELLS = 0.8, 0.15, 64
MIDDLE = torch.tensor([0.5, 0.5])


def table_colour(points: torch.Tensor) -> torch.Tensor:
    """Linear in the plane, and so harmonic: the filling must continue it exactly."""
    return torch.stack([points[:, 0], points[:, 1], 0.5 + 0 * points[:, 0]], dim=1)


def tilted(points: torch.Tensor, slope: float) -> torch.Tensor:
    """Turned about the y axis through the middle of the unit cube."""
    turn = torch.tensor(
        [
            [np.cos(slope), 0.0, np.sin(slope)],
            [0.0, 1.0, 0.0],
            [-np.sin(slope), 0.0, np.cos(slope)],
        ],
        dtype=torch.float32,
    )
    return (points - 0.5) @ turn.T + 0.5


def scene_of(
    slope: float = 0.0, seen_table: bool = True, strays: tuple[int, float] = (0, 0.0)
) -> Selection:
    """A ball that touches a table at height 0.5, its shadow side never seen; the ball selected.

    Of strays so many rays end, white, on the table under the ball, where 23 would in each cell, and
    that share of them again four cells below it.
    """
    generator = torch.Generator().manual_seed(0)
    flat = torch.rand(60_000, 2, generator=generator) * SIDE + (1 - SIDE) / 2
    under = (flat - MIDDLE).norm(dim=1) < 0.8 * RADIUS
    flat = flat[~under]
    table = torch.cat([flat, torch.full((len(flat), 1), 0.5)], dim=1)
    ball = torch.nn.functional.normalize(torch.randn(20_000, 3, generator=generator), dim=1)
    ball = ball[ball[:, 2] > -0.7] * RADIUS + torch.tensor([0.5, 0.5, 0.5 + RADIUS])
    colours = torch.cat([table_colour(table), torch.tensor([[1.0, 0, 0]]).expand(len(ball), 3)])
    count, share = strays
    ends = (torch.rand(count, 2, generator=generator) - 0.5) * RADIUS + MIDDLE
    below = int(share * count)
    heights = torch.cat([torch.full((count,), 0.5), torch.full((below,), 0.5 - 4 / CELLS)])
    white = torch.cat([torch.cat([ends, ends[:below]]), heights[:, None]], dim=1)
    table, colours = torch.cat([white, table]), torch.cat([torch.ones(len(white), 3), colours])
    points, on_ball = torch.cat([table, ball]), torch.arange(len(table) + len(ball)) >= len(table)
    if not seen_table:
        points, colours, on_ball = points[on_ball], colours[on_ball], on_ball[on_ball]
    points = tilted(points, slope)
    grid = SurfaceGrid.build(points, points, on_ball[:, None].float(), colours, CELLS)
    return Selection(grid, (grid.hidden[:, 0] > 0.3).float())


@pytest.mark.parametrize(
    ("slope", "strays"), [(0.0, (0, 0.0)), (0.4, (0, 0.0)), (0.0, (150, 0.0)), (0.0, (1500, 1.0))]
)
def test_the_table_goes_on_under_the_ball(slope, strays):
    filling = fill_hole(scene_of(slope, strays=strays))
    assert filling is not None
    generator = torch.Generator().manual_seed(1)
    inside = (torch.rand(200, 2, generator=generator) - 0.5) * RADIUS + MIDDLE
    voxel = 1 / CELLS

    def at(height: float) -> torch.Tensor:
        return tilted(torch.cat([inside, torch.full((200, 1), 0.5 + height)], dim=1), slope)

    above, _ = filling.density(at(1.5 * voxel))
    below, code = filling.density(at(-2 * voxel))
    assert (above == 0).all()
    assert (alphas_from_density(below, torch.full((200, 1), voxel)) > 0.99).all()
    colour = filling.colour(code, torch.zeros(200, 3))
    torch.testing.assert_close(colour, table_colour(inside), atol=0.02, rtol=0)
    assert filling.holds(at(0.5 * voxel)).all()
    assert not filling.holds(at(0.3)).any()
    assert filling.ball.holds(at(-2 * voxel)).all()


def test_where_the_table_was_seen_nothing_is_filled():
    filling = fill_hole(scene_of())
    angle = torch.linspace(0, 6, 100)
    around = MIDDLE + 1.8 * RADIUS * torch.stack([angle.cos(), angle.sin()], dim=1)
    points = torch.cat([around, torch.full((100, 1), 0.48)], dim=1)
    assert (filling.density(points)[0] == 0).all()
    assert not filling.holds(points).any()


def test_nothing_around_fills_nothing():
    assert fill_hole(scene_of(seen_table=False)) is None
    whole = scene_of()
    assert fill_hole(Selection(whole.grid, torch.ones(len(whole.grid)))) is None
    assert fill_hole(Selection(whole.grid, torch.zeros(len(whole.grid)))) is None


def test_harmonic_values_go_on_linearly_and_never_beyond_the_rim():
    rows, columns = np.meshgrid(np.arange(20.0), np.arange(30.0), indexing="ij")
    linear = np.stack([rows + 2 * columns, 5 - columns], axis=-1)
    hole = np.zeros((20, 30), dtype=bool)
    hole[5:12, 8:22] = True
    found = _harmonic(np.where(hole[..., None], -99.0, linear), ~hole)
    np.testing.assert_allclose(found, linear, atol=1e-8)
    rough = np.random.default_rng(0).random((20, 30, 1))
    filled = _harmonic(rough, ~hole)[hole]
    assert rough[~hole].min() <= filled.min() <= filled.max() <= rough[~hole].max()


def test_where_nothing_is_known_beyond_a_border_values_stay_as_they_are_there():
    known = np.zeros((6, 9), dtype=bool)
    known[:, 0] = True
    values = np.where(known[..., None], 0.25, 7.0)
    np.testing.assert_allclose(_harmonic(values, known), 0.25)
