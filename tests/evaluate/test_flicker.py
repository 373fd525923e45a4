"""Flicker against closed forms: a wall, two cameras, and what stands between them."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from dff.evaluate.flicker import DepthFrame, shared_places, warped_iou, world_points

HEIGHT, WIDTH, FOCAL, AWAY = 40, 60, 50.0, 10.0


def camera(x: float, depth: Tensor, turn: float = 0.0) -> DepthFrame:
    """At (x, 0, 0), looking along -z, turned about the vertical."""
    cos, sin = math.cos(turn), math.sin(turn)
    rotation = torch.tensor([[cos, 0, sin], [0, 1, 0], [-sin, 0, cos]], dtype=torch.float64)
    pose = torch.cat([rotation, torch.tensor([[x], [0.0], [0.0]])], dim=1)
    middle = torch.tensor([WIDTH / 2, HEIGHT / 2])
    return DepthFrame(pose, torch.tensor([FOCAL, FOCAL]), middle, depth)


def lines(turn: float = 0.0) -> tuple[Tensor, Tensor, Tensor]:
    """Directions of the pixels' rays by their components, in float64, worked out one by one."""
    unit = torch.empty(HEIGHT, WIDTH, 3, dtype=torch.float64)
    for row in range(HEIGHT):
        for column in range(WIDTH):
            right = (column + 0.5 - WIDTH / 2) / FOCAL
            up = -(row + 0.5 - HEIGHT / 2) / FOCAL
            x = math.cos(turn) * right - math.sin(turn)
            z = -math.sin(turn) * right - math.cos(turn)
            unit[row, column] = torch.tensor([x, up, z]) / math.hypot(right, up, 1.0)
    return unit.unbind(dim=-1)


def wall(x: float, turn: float = 0.0) -> DepthFrame:
    """The camera before the endless wall z = -AWAY."""
    return camera(x, -AWAY / lines(turn)[2], turn)


def on_wall(frame: DepthFrame, low: float, high: float) -> Tensor:
    """Pixels whose place on the wall has its x in a range."""
    places = world_points(frame)[..., 0]
    return (places >= low) & (places < high)


# A camera moved by this sees the wall moved by exactly one pixel.
PIXEL = AWAY / FOCAL


def test_pixels_are_lifted_onto_the_wall():
    frame = wall(1.0, turn=0.3)
    points = world_points(frame)
    assert torch.allclose(points[..., 2], torch.full((HEIGHT, WIDTH), -AWAY).double())
    x, _, z = lines(0.3)
    assert torch.allclose(points[..., 0], 1.0 - AWAY * x / z)


@pytest.mark.parametrize("steps", [1, 7, -4])
def test_what_is_fixed_in_the_world_does_not_flicker(steps):
    first, second = wall(0.0), wall(steps * PIXEL)
    places = shared_places(first, second)
    assert len(places.second) == HEIGHT * (WIDTH - abs(steps))
    masks = [on_wall(frame, -1.05, 2.05) for frame in (first, second)]
    assert masks[0].any()
    assert not torch.equal(*masks)
    assert warped_iou(places, *masks) == 1.0


def test_a_turned_camera_sees_the_same_to_a_pixel():
    first, second = wall(0.0), wall(1.0, turn=-0.2)
    masks = [on_wall(frame, -1.5, 1.5) for frame in (first, second)]
    wide = int(masks[0][0].sum())
    # Each of the two upright rims may be off by half a pixel.
    assert warped_iou(shared_places(first, second), *masks) >= (wide - 1) / (wide + 1)


@pytest.mark.parametrize("steps", [1, 5, 12])
def test_what_is_fixed_in_the_picture_flickers(steps):
    places = shared_places(wall(0.0), wall(steps * PIXEL))
    mask = torch.zeros(HEIGHT, WIDTH, dtype=torch.bool)
    mask[:, 20:40] = True  # 20 columns that move by so many steps against each other
    expected = (20 - steps) / (20 + steps)
    assert warped_iou(places, mask, mask) == pytest.approx(expected)


def test_what_something_hides_does_not_count():
    first, second = wall(0.0), wall(5 * PIXEL)
    # In front of the wall, where the first camera's columns 30 to 35 look.
    hidden = first.depth.clone()
    hidden[:, 30:35] *= 0.6
    blocked = camera(0.0, hidden)
    places = shared_places(blocked, second)
    assert len(places.second) == HEIGHT * (WIDTH - 5 - 5)
    assert not ((places.first % WIDTH >= 30) & (places.first % WIDTH < 35)).any()
    # The masks differ in these columns only; the second camera sees them five to the left.
    mask = torch.zeros(HEIGHT, WIDTH, dtype=torch.bool)
    mask[:, 20:40] = True
    moved = mask.roll(-5, dims=1)
    moved[:, 25:30] = False
    assert warped_iou(places, mask, moved) == 1.0
    assert warped_iou(shared_places(first, second), mask, moved) == pytest.approx(15 / 20)


def test_depths_agree_within_the_tolerance():
    first, second = wall(0.0), wall(0.0)
    off = camera(0.0, first.depth * 1.03)
    assert len(shared_places(off, second, tolerance=0.02).second) == 0
    assert len(shared_places(off, second, tolerance=0.04).second) == HEIGHT * WIDTH


@pytest.mark.parametrize("nothing", [0.0, math.inf, math.nan])
def test_where_nothing_is_there_nothing_counts(nothing):
    whole = wall(0.0)
    depth = whole.depth.clone()
    depth[:, :10] = nothing
    holed = camera(0.0, depth)
    for places in (shared_places(holed, whole), shared_places(whole, holed)):
        assert len(places.second) == HEIGHT * (WIDTH - 10)
        assert (places.second % WIDTH).min() == (places.first % WIDTH).min() == 10
    empty = torch.zeros(HEIGHT, WIDTH, dtype=torch.bool)
    sky = empty.clone()
    sky[:, :10] = True
    assert math.isnan(warped_iou(shared_places(holed, whole), empty, sky))


def test_what_is_behind_the_camera_is_not_seen():
    assert len(shared_places(wall(0.0, turn=math.pi), wall(0.0)).second) == 0
    # With a depth that would agree, had it looked the other way.
    back = camera(0.0, wall(0.0).depth, turn=math.pi)
    assert len(shared_places(back, wall(0.0)).second) == 0


def test_an_empty_mask_beside_one_that_is_not():
    places = shared_places(wall(0.0), wall(PIXEL))
    empty, full = torch.zeros(HEIGHT, WIDTH).bool(), torch.ones(HEIGHT, WIDTH).bool()
    assert warped_iou(places, empty, full) == 0.0
    assert math.isnan(warped_iou(places, empty, empty))
