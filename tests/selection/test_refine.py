"""Refinements: set algebra's laws, brute-force distances, and what each must leave alone."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dff.errors import DffError
from dff.selection.refine import (
    SELECTED,
    components_of,
    fill_holes,
    follow_colours,
    grow,
    intersect,
    invert,
    largest_components,
    restrict_to_box,
    restrict_to_sphere,
    shrink,
    smooth,
    subtract,
    union,
)
from dff.selection.surface_grid import SurfaceGrid

SIDE = 20


def sheet(rgb: torch.Tensor | None = None) -> SurfaceGrid:
    """A flat sheet of 20 x 20 voxels, 0.5 world units apart."""
    axis = (torch.arange(SIDE) + 0.5) / 32
    unit = torch.stack(torch.meshgrid(axis, axis, torch.tensor([0.5]), indexing="ij"), -1)
    unit = unit.reshape(-1, 3)
    colours = torch.zeros(len(unit), 3) if rgb is None else rgb
    return SurfaceGrid.build(unit, 16 * unit, torch.ones(len(unit), 2), colours, 32)


GRID = sheet()


def disc(x: float, y: float, radius: float) -> torch.Tensor:
    centre = torch.tensor([x, y])
    return ((GRID.points[:, :2] - centre).norm(dim=1) <= radius).float()


masks = st.integers(0, 2**32 - 1).map(
    lambda seed: torch.rand(len(GRID), generator=torch.Generator().manual_seed(seed))
)
hard = masks.map(lambda values: (values > 0.6).float())


@given(masks, masks, masks)
def test_set_algebra_obeys_its_laws(a, b, c):
    assert torch.equal(union(a, b), union(b, a))
    assert torch.equal(intersect(a, b), intersect(b, a))
    assert torch.equal(union(a, union(b, c)), union(union(a, b), c))
    assert torch.equal(intersect(a, intersect(b, c)), intersect(intersect(a, b), c))
    assert torch.equal(intersect(a, union(b, c)), union(intersect(a, b), intersect(a, c)))
    assert torch.equal(union(a, intersect(a, b)), a)
    assert torch.equal(union(a, a), a)
    assert torch.equal(intersect(a, a), a)
    torch.testing.assert_close(invert(invert(a)), a)
    torch.testing.assert_close(invert(union(a, b)), intersect(invert(a), invert(b)))
    torch.testing.assert_close(subtract(a, b), intersect(a, invert(b)))


@given(hard)
def test_what_is_taken_away_from_itself_is_nothing(a):
    assert not subtract(a, a).any()
    assert torch.equal(union(a, invert(a)), torch.ones_like(a))


@given(hard, st.floats(0, 2))
def test_growing_is_a_distance_by_brute_force(values, distance):
    grown = grow(GRID, values, distance)
    chosen = GRID.points[values >= SELECTED]
    if len(chosen) == 0:
        assert torch.equal(grown, values)
        return
    nearest = torch.cdist(GRID.points, chosen, compute_mode="donot_use_mm_for_euclid_dist")
    nearest = nearest.min(dim=1).values
    clear = (nearest - distance).abs() > 1e-4
    assert torch.equal((grown >= SELECTED)[clear], (nearest <= distance)[clear])


@given(hard, st.floats(0, 2))
def test_grow_then_shrink_only_adds_and_shrink_then_grow_only_takes(values, distance):
    closed = shrink(GRID, grow(GRID, values, distance), distance)
    opened = grow(GRID, shrink(GRID, values, distance), distance)
    assert bool((closed >= values).all())
    assert bool((opened <= values).all())
    again = shrink(GRID, grow(GRID, closed, distance), distance)
    assert torch.equal(again, closed)


@given(hard, st.floats(0.01, 2))
def test_shrinking_is_growing_the_rest(values, distance):
    shrunk = shrink(GRID, values, distance)
    assert torch.equal(shrunk, invert(grow(GRID, invert(values), distance)))


def test_the_largest_component_stays():
    large, small = disc(3, 3, 2), disc(8, 8, 0.9)
    both = union(large, small)
    assert torch.equal(largest_components(GRID, both), large)
    assert torch.equal(largest_components(GRID, both, 2), both)
    assert torch.equal(largest_components(GRID, largest_components(GRID, both)), large)
    with pytest.raises(DffError, match="at least 1"):
        largest_components(GRID, both, 0)


def test_the_clicked_component_stays():
    large, small = disc(3, 3, 2), disc(8, 8, 0.9)
    inside = int(small.argmax())
    assert torch.equal(components_of(GRID, union(large, small), [inside]), small)
    outside = int((union(large, small) == 0).float().argmax())
    assert not components_of(GRID, union(large, small), [outside]).any()


def test_holes_are_filled_and_the_outside_is_not():
    ring = subtract(disc(5, 5, 3), disc(5, 5, 0.6))
    assert torch.equal(fill_holes(GRID, ring), disc(5, 5, 3))
    assert torch.equal(fill_holes(GRID, ring, share=0.0), ring)
    assert torch.equal(fill_holes(GRID, disc(5, 5, 3)), disc(5, 5, 3))
    nothing, everything = torch.zeros(len(GRID)), torch.ones(len(GRID))
    assert torch.equal(fill_holes(GRID, nothing), nothing)
    assert torch.equal(fill_holes(GRID, everything), everything)


def test_smoothing_against_one_step_by_hand():
    values = torch.rand(len(GRID))
    total, count = values.clone(), torch.ones(len(GRID))
    for a, b in GRID.pairs.tolist():
        total[a] += values[b]
        total[b] += values[a]
        count[a] += 1
        count[b] += 1
    torch.testing.assert_close(smooth(GRID, values, 1), total / count)
    torch.testing.assert_close(smooth(GRID, values, 2), smooth(GRID, smooth(GRID, values, 1), 1))
    assert torch.equal(smooth(GRID, values, 0), values)


def test_following_colours_moves_a_rim_to_the_colours_edge():
    left = GRID.points[:, 0] < 5
    grid = sheet(torch.where(left[:, None], torch.tensor([0.9, 0.1, 0.1]), torch.tensor([0.1] * 3)))
    rough = (grid.points[:, 0] < 4.6).float()  # one row of voxels short of the edge
    assert not torch.equal(rough >= SELECTED, left)
    cleaned = follow_colours(grid, rough, steps=20) >= SELECTED
    assert torch.equal(cleaned, left)
    plain = smooth(grid, rough, steps=20) >= SELECTED
    assert not torch.equal(plain, left)


def test_box_and_sphere_in_closed_form():
    everything = torch.ones(len(GRID))
    box = restrict_to_box(GRID, everything, (1, 2, 0), (3, 5, 100))
    x, y = GRID.points[:, 0], GRID.points[:, 1]
    assert torch.equal(box.bool(), (x >= 1) & (x <= 3) & (y >= 2) & (y <= 5))
    z = float(GRID.points[0, 2])
    assert torch.equal(restrict_to_sphere(GRID, everything, (4, 4, z), 2.0), disc(4, 4, 2.0))


@pytest.mark.parametrize(
    "change",
    [
        lambda v: grow(GRID, v, -1.0),
        lambda v: shrink(GRID, v, math.nan),
        lambda v: smooth(GRID, v, -1),
        lambda v: smooth(GRID, v, 10_000),
        lambda v: follow_colours(GRID, v, tolerance=0.0),
        lambda v: fill_holes(GRID, v, share=2.0),
        lambda v: restrict_to_box(GRID, v, (0, 0, 0), (1, 0, 1)),
        lambda v: restrict_to_box(GRID, v, (0, 0), (1, 1)),
        lambda v: restrict_to_sphere(GRID, v, (0, 0, math.inf), 1.0),
        lambda v: restrict_to_sphere(GRID, v, (0, 0, 0), 0.0),
    ],
)
def test_senseless_parameters_are_one_clear_line(change):
    with pytest.raises(DffError) as raised:
        change(torch.ones(len(GRID)))
    assert "\n" not in str(raised.value)


@given(masks)
def test_nothing_is_changed_in_place(values):
    before = values.clone()
    for change in (
        lambda v: grow(GRID, v, 0.7),
        lambda v: shrink(GRID, v, 0.7),
        lambda v: smooth(GRID, v),
        lambda v: follow_colours(GRID, v),
        lambda v: fill_holes(GRID, v),
        lambda v: largest_components(GRID, v),
    ):
        found = change(values)
        assert torch.equal(values, before)
        assert 0.0 <= float(found.min()) <= float(found.max()) <= 1.0
