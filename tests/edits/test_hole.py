"""The hole under a deleted thing: a ball that stood on a table whose colour is known everywhere."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from dff.edits.hole import Sight, _carried_in, _laplacian, fill_hole
from dff.rendering import alphas_from_density
from dff.selection.selection import Selection
from dff.selection.surface_grid import SurfaceGrid

SIDE, RADIUS, CELLS = 0.8, 0.15, 64
MIDDLE = torch.tensor([0.5, 0.5])
PLATE = torch.tensor([0.5, 0.5 + 0.6 * RADIUS, 0.5 + 1.2 / CELLS])
BALL = torch.tensor([0.5, 0.5, 0.5 + RADIUS])


def table_colour(points: torch.Tensor) -> torch.Tensor:
    """Linear in the plane, and so harmonic: the filling must continue it exactly."""
    return torch.stack([points[..., 0], points[..., 1], 0.5 + 0 * points[..., 0]], dim=-1)


def turn_of(slope: float) -> torch.Tensor:
    """About the y axis through the middle of the unit cube."""
    rows = [
        [math.cos(slope), 0.0, math.sin(slope)],
        [0.0, 1.0, 0.0],
        [-math.sin(slope), 0.0, math.cos(slope)],
    ]
    return torch.tensor(rows)


def tilted(points: torch.Tensor, slope: float) -> torch.Tensor:
    return (points - 0.5) @ turn_of(slope).T + 0.5


def upright(points: torch.Tensor, slope: float) -> torch.Tensor:
    return (points - 0.5) @ turn_of(slope) + 0.5


def scene_of(slope: float = 0.0, seen_table: bool = True) -> Selection:
    """A ball that touches a table at height 0.5, its shadow side never seen; the ball selected."""
    generator = torch.Generator().manual_seed(0)
    flat = torch.rand(60_000, 2, generator=generator) * SIDE + (1 - SIDE) / 2
    flat = flat[(flat - MIDDLE).norm(dim=1) > 0.8 * RADIUS]
    table = torch.cat([flat, torch.full((len(flat), 1), 0.5)], dim=1)
    ball = F.normalize(torch.randn(20_000, 3, generator=generator), dim=1)
    ball = ball[ball[:, 2] > -0.7] * RADIUS + BALL
    points, on_ball = torch.cat([table, ball]), torch.arange(len(table) + len(ball)) >= len(table)
    if not seen_table:
        points, on_ball = points[on_ball], on_ball[on_ball]
    points = tilted(points, slope)
    grid = SurfaceGrid.build(points, points, on_ball[:, None].float(), points.clamp(0, 1), CELLS)
    return Selection(grid, (grid.hidden[:, 0] > 0.3).float())


def looking(slope: float = 0.0, leak: float = 0.0, blind: int = 0, plate: bool = False):
    """Twelve cameras around the ball, whose rays are traced exactly.

    Within a distance ``leak`` of where the ball stands, rays go through the table, which is white
    below; so many cameras see nothing at all; and a plate lies under the ball's side.
    """
    angles = torch.arange(12.0) * math.tau / 12
    eyes = torch.stack([angles.cos(), angles.sin(), torch.full((12,), 0.5)], dim=1)
    eyes = eyes + torch.tensor([0.5, 0.5, 0.5])

    def look(points: torch.Tensor) -> Sight:
        aims = F.normalize(upright(points, slope) - eyes[:, None], dim=-1)
        from_ball = (eyes - BALL)[:, None]
        along = (aims * from_ball).sum(dim=-1)
        inside = along**2 - (from_ball**2).sum(dim=-1) + RADIUS**2
        on_ball = inside > 0
        reach = -along - inside.clamp_min(0).sqrt()
        to_table = (0.5 - eyes[:, None, 2]) / aims[..., 2]
        met = eyes[:, None] + to_table[..., None] * aims
        leaks = (met[..., :2] - MIDDLE).norm(dim=-1) < leak
        deeper = (0.5 - 4 / CELLS - eyes[:, None, 2]) / aims[..., 2]
        reach = torch.where(on_ball, reach, torch.where(leaks, deeper, to_table))
        if plate:
            higher = (PLATE[2] - eyes[:, None, 2]) / aims[..., 2]
            there = eyes[:, None] + higher[..., None] * aims
            on_plate = (there - PLATE).norm(dim=-1) < 0.08
            reach = torch.where(on_plate & ~on_ball, higher, reach)
        ends = eyes[:, None] + reach[..., None] * aims
        rgb = torch.where(leaks[..., None], torch.ones(3), table_colour(met))
        rgb = torch.where(on_ball[..., None], torch.tensor([1.0, 0.0, 0.0]), rgb)
        there = torch.ones_like(on_ball)
        there[:blind] = False
        wrong = torch.full_like(ends[:blind], torch.nan)
        ends = torch.cat([wrong, tilted(ends, slope)[blind:]])
        return Sight(ends, rgb, on_ball.float(), there)

    return look


@pytest.mark.parametrize(
    ("slope", "leak", "blind"),
    [(0.0, 0.0, 0), (0.4, 0.0, 0), (0.0, 0.1, 0), (0.4, 0.1, 0), (0.0, 0.1, 5)],
)
def test_the_table_goes_on_under_the_ball(slope, leak, blind):
    filling = fill_hole(scene_of(slope), looking(slope, leak, blind))
    assert filling is not None
    generator = torch.Generator().manual_seed(1)
    # What no ray reaches is only what lies within about a voxel of where the ball touches.
    size = leak or 0.02
    inside = F.normalize(torch.randn(200, 2, generator=generator), dim=1) * size * 0.9 + MIDDLE
    inside = MIDDLE + (inside - MIDDLE) * torch.rand(200, 1, generator=generator)
    voxel = 1 / CELLS

    def at(height: float) -> torch.Tensor:
        return tilted(torch.cat([inside, torch.full((200, 1), 0.5 + height)], dim=1), slope)

    above, _ = filling.density(at(1.5 * voxel))
    below, code = filling.density(at(-2 * voxel))
    assert (above == 0).all()
    assert (alphas_from_density(below, torch.full((200, 1), voxel)) > 0.99).all()
    colour = filling.colour(code, torch.zeros(1, 3), torch.zeros(200).long())
    torch.testing.assert_close(colour, table_colour(inside), atol=0.02, rtol=0)
    assert filling.holds(at(0.5 * voxel)).all()
    assert not filling.holds(at(0.3)).any()
    assert filling.ball.holds(at(-2 * voxel)).all()


def test_a_ray_from_above_ends_where_the_table_is():
    """By median depth, as everywhere: half the light is gone there."""
    filling = fill_hole(scene_of(), looking(leak=0.1))
    assert filling is not None
    steps = torch.linspace(0.55, 0.45, 10_001)
    points = torch.cat([MIDDLE.expand(len(steps), 2), steps[:, None]], dim=1)
    density, _ = filling.density(points)
    left = torch.exp(-torch.cumsum(density[:, 0].double(), dim=0) * 1e-5)
    assert abs(float(steps[int((left < 0.5).nonzero()[0])]) - 0.5) < 0.05 / CELLS


def test_where_the_table_was_seen_nothing_is_filled():
    filling = fill_hole(scene_of(), looking())
    assert filling is not None
    angle = torch.linspace(0, 6, 100)
    around = torch.stack([angle.cos(), angle.sin()], dim=1)
    for radius in (0.4, 1.0, 1.8):
        beside = MIDDLE + radius * RADIUS * around
        points = torch.cat([beside, torch.full((100, 1), 0.48)], dim=1)
        assert (filling.density(points)[0] == 0).all()
        assert not filling.holds(points).any()


def test_what_else_stands_under_the_thing_stays():
    points = PLATE + torch.tensor([0.01, 0.01, 0.0]) * torch.randn(50, 1).clamp(-1, 1)
    under = torch.tensor([[0.5, 0.4, 0.49]])
    filling = fill_hole(scene_of(), looking(leak=0.12, plate=True))
    assert filling is not None
    assert not filling.holds(points).any()
    assert filling.holds(under).all()
    without = fill_hole(scene_of(), looking(leak=0.12))
    assert without is not None
    assert without.holds(points).all()


def test_a_rim_in_the_colour_of_the_thing_says_nothing_of_the_table():
    """A bit of the ball is left around its foot, on a grey table; shade of that grey counts."""
    whole = scene_of()
    red = torch.tensor([0.8, 0.1, 0.1]).expand(len(whole.grid), 3)
    selection = replace(whole, grid=replace(whole.grid, rgb=red))
    exact = looking(leak=0.1)

    def left_behind(points: torch.Tensor) -> Sight:
        sight = exact(points)
        away = (sight.ends[..., :2] - MIDDLE).norm(dim=-1, keepdim=True)
        grey = (0.3 + away).expand_as(sight.rgb)
        mixed = torch.where(away < 0.13, 0.5 * grey + 0.5 * red[0], grey)
        return Sight(sight.ends, mixed, sight.mask, sight.there)

    filling = fill_hole(selection, left_behind)
    assert filling is not None
    inside = filling.rgb[filling.there > 0]
    assert (inside.amax(dim=1) - inside.amin(dim=1)).max() < 0.01
    assert 0.35 < inside.mean() < 0.45
    # What is left behind at the hole is covered too.
    foot = torch.tensor([[0.5 + 0.12, 0.5, 0.5]])
    assert filling.holds(foot).all()
    without = fill_hole(selection, exact)
    assert without is not None
    assert not without.holds(foot).any()


def test_the_rim_is_what_lies_on_the_table_around_the_thing():
    selection = scene_of()
    filling = fill_hole(selection, looking(leak=0.1))
    assert filling is not None
    points, rim = selection.grid.points, filling.rim
    assert rim.sum() > 20
    assert not (rim & (selection.values > 0)).any()
    assert (points[rim, 2] - 0.5).abs().max() <= filling.voxel
    away = (points[rim, :2] - MIDDLE).norm(dim=1)
    assert away.max() < (points[:, :2] - MIDDLE).norm(dim=1).max() - filling.voxel


def test_nothing_around_fills_nothing():
    assert fill_hole(scene_of(seen_table=False), looking()) is None
    whole = scene_of()
    everything = Selection(whole.grid, torch.ones(len(whole.grid)))
    assert fill_hole(everything, looking()) is None
    assert fill_hole(Selection(whole.grid, torch.zeros(len(whole.grid))), looking()) is None


def test_what_no_camera_looks_at_is_not_filled():
    def blind(points: torch.Tensor) -> Sight:
        nobody = torch.zeros(0, len(points))
        return Sight(nobody[..., None], nobody[..., None], nobody, nobody.bool())

    assert fill_hole(scene_of(), blind) is None


def test_where_the_rim_is_not_sound_nothing_is_filled():
    assert fill_hole(scene_of(), looking(leak=0.5)) is None
    assert fill_hole(scene_of(), looking(blind=12)) is None


def harmonic(values: np.ndarray, known: np.ndarray) -> np.ndarray:
    return _carried_in(values, known, _laplacian(known.shape))


def test_harmonic_values_go_on_linearly_and_never_beyond_the_rim():
    rows, columns = np.meshgrid(np.arange(20.0), np.arange(30.0), indexing="ij")
    linear = np.stack([rows + 2 * columns, 5 - columns], axis=-1)
    hole = np.zeros((20, 30), dtype=bool)
    hole[5:12, 8:22] = True
    found = harmonic(np.where(hole[..., None], -99.0, linear), ~hole)
    np.testing.assert_allclose(found, linear, atol=1e-8)
    rough = np.random.default_rng(0).random((20, 30, 1))
    filled = harmonic(rough, ~hole)[hole]
    assert rough[~hole].min() <= filled.min() <= filled.max() <= rough[~hole].max()


def test_where_nothing_is_known_beyond_a_border_values_stay_as_they_are_there():
    known = np.zeros((6, 9), dtype=bool)
    known[:, 0] = True
    values = np.where(known[..., None], 0.25, 7.0)
    np.testing.assert_allclose(harmonic(values, known), 0.25)


def test_biharmonic_values_go_on_bending():
    """Of x^2 + y^2 the Laplacian is the same everywhere, on a grid too."""
    rows, columns = np.meshgrid(np.arange(24.0) - 11, np.arange(30.0) - 15, indexing="ij")
    bowl = (rows**2 + columns**2)[..., None]
    hole = np.hypot(rows, columns) < 7
    flat = _laplacian(hole.shape)
    found = _carried_in(np.where(hole[..., None], 99.0, bowl), ~hole, flat @ flat)
    np.testing.assert_allclose(found, bowl, atol=1e-6)


def test_the_shade_where_a_thing_touches_gets_darker_towards_it():
    """Brighter by the square of the distance, as far as the rim is seen."""
    exact = looking()

    def shaded(points: torch.Tensor) -> Sight:
        sight = exact(points)
        away = (sight.ends[..., :2] - MIDDLE).norm(dim=-1, keepdim=True)
        grey = (0.1 + 8 * away**2).clamp_max(0.9).expand_as(sight.rgb)
        return Sight(sight.ends, grey, sight.mask, sight.there)

    filling = fill_hole(scene_of(), shaded)
    middle = torch.tensor([[0.5, 0.5, 0.5 - 0.5 * filling.voxel]])
    beside = middle + torch.tensor([[0.06, 0.0, 0.0]])
    colours = [filling.density(points)[1][0] for points in (middle, beside)]
    assert (colours[0] < colours[1]).all()
    assert (colours[0] - 0.1).abs().max() < 0.05


def test_a_rim_that_caught_the_colour_of_the_thing_gives_no_more_of_it():
    """Darker and greener the nearer: the filling gets as dark as the rim, and not greener."""
    exact = looking(leak=0.1)

    def tinted(points: torch.Tensor) -> Sight:
        sight = exact(points)
        away = (sight.ends[..., :2] - MIDDLE).norm(dim=-1)
        lost = 2 * (0.25 - away).clamp_min(0.0)
        rgb = torch.stack([0.6 - lost, 0.6 + 0 * lost, 0.6 - lost], dim=-1)
        return Sight(sight.ends, rgb, sight.mask, sight.there)

    filling = fill_hole(scene_of(), tinted)
    assert filling is not None
    inside = filling.rgb[filling.there > 0]
    nearest = torch.tensor([0.3, 0.6, 0.3])
    assert (inside[:, 1] / inside.sum(dim=1)).max() <= nearest[1] / nearest.sum() + 1e-3
    assert nearest.sum() <= inside.sum(dim=1).min() < nearest.sum() + 0.05
