"""What closes a hole goes with the surface around it, whatever else is done, before or after."""

from __future__ import annotations

import pytest
import torch

from dff.edits.layers import Ball, Brought, Chosen, Layer
from dff.edits.operations import (
    Background,
    Delete,
    Duplicate,
    Extract,
    HueShift,
    Opacity,
    Operation,
    Repaint,
    Transform,
)
from dff.edits.plan import MOST_LAYERS, Step, plan_layers
from dff.errors import DffError

# Two things on a table, of which the last voxels lie around the first thing.
THING, OTHER, TABLE, RIM = range(4), range(4, 7), range(7, 20), range(14, 20)
POINTS = torch.rand(20, 3, generator=torch.Generator().manual_seed(5))
FILLING = 7
AWAY = Transform(translate=(1, 0, 0))


class Hole:
    """As a filling has it."""

    ball = Ball(torch.zeros(3), 0.5)
    rim = torch.zeros(20, dtype=torch.bool).index_fill(0, torch.tensor(RIM), True)

    def holds(self, points: torch.Tensor) -> torch.Tensor:
        return self.ball.holds(points)


def chosen(voxels) -> Chosen:
    values = torch.zeros(20)
    values[list(voxels)] = 1.0
    return Chosen(0, min(voxels), values, POINTS, torch.full((20,), 0.1))


def gone(operation: Operation | None = None) -> Step:
    """The first thing taken away, and the hole filled."""
    return Step(operation or Delete(fill=True), chosen(THING), None, (FILLING, Hole()))


def planned(*steps: Step) -> list[Layer]:
    return list(plan_layers([POINTS], steps))


def fillings(*steps: Step) -> list[Layer]:
    return [layer for layer in planned(*steps) if layer.matter == FILLING]


@pytest.mark.parametrize("order", [1, -1])
@pytest.mark.parametrize("operation", [HueShift(degrees=90), Opacity(factor=0.3)])
def test_what_is_done_to_the_surface_is_done_to_the_filling(order, operation):
    (filling,) = fillings(*[gone(), Step(operation, chosen(TABLE))][::order])
    (act,) = filling.acts
    assert (act.operation, act.mask, act.ball) == (operation, None, None)
    for part in (OTHER, THING, [*THING, *OTHER]):
        (filling,) = fillings(*[gone(), Step(operation, chosen(part))][::order])
        assert filling.acts == ()


def test_it_stays_or_goes_with_the_surface():
    for operation in (Extract(), Background()):
        assert fillings(gone(), Step(operation, chosen(TABLE)))
        assert not fillings(gone(), Step(operation, chosen(OTHER)))
    assert not fillings(gone(), Step(Delete(), chosen(TABLE)))
    assert not fillings(Step(Delete(), chosen(TABLE)), gone())
    assert fillings(gone(), Step(Delete(), chosen(OTHER)))
    # Half of the rim and more is most of it.
    assert fillings(gone(), Step(Delete(), chosen(range(18, 20))))
    assert not fillings(gone(), Step(Delete(), chosen(range(16, 20))))


def test_where_the_surface_is_moved_the_filling_is_moved():
    (filling,) = fillings(gone(), Step(AWAY, chosen(TABLE)))
    origin = torch.zeros(1, 3, dtype=torch.float64)
    torch.testing.assert_close(filling.pose.apply(origin), origin + torch.tensor([1.0, 0, 0]))
    (filling,) = fillings(Step(AWAY, chosen(TABLE)), gone())
    torch.testing.assert_close(filling.pose.apply(origin), origin + torch.tensor([1.0, 0, 0]))
    assert len(fillings(gone(), Step(Duplicate(translate=(1, 0, 0)), chosen(TABLE)))) == 2
    assert len(fillings(Step(Duplicate(translate=(1, 0, 0)), chosen(TABLE)), gone())) == 2


def test_it_is_nothing_that_the_step_brought():
    move = gone(Transform(translate=(1, 0, 0), fill=True))
    for operation in (Delete(), HueShift(degrees=90), Transform(translate=(0, 1, 0))):
        (filling,) = fillings(move, Step(operation, Brought(0)))
        assert filling.acts == ()
        assert filling.pose is None
        assert filling.made_by == {0}
    assert len(fillings(move, Step(Duplicate(translate=(0, 1, 0)), Brought(0)))) == 1
    assert not fillings(move, Step(Extract(), Brought(0)))


def test_paint_of_the_scene_is_none_of_a_filling():
    (filling,) = fillings(gone(), Step(Repaint(file="paint.safetensors"), chosen(TABLE)))
    assert filling.acts == ()


def test_what_was_never_seen_in_the_hole_is_cleared_where_the_surface_is():
    layers = planned(Step(AWAY, chosen(OTHER)), gone())
    cleared = [any(act.region is not None for act in layer.acts) for layer in layers]
    assert [layer.pose is None for layer in layers] == [True, False, True]
    assert cleared == [True, False, False]


def test_too_many_copies_are_refused_before_they_are_made():
    one = Step(Duplicate(translate=(1, 0, 0), count=100), chosen(OTHER), place="step 2")
    assert len(planned(one)) == 101
    with pytest.raises(DffError, match=rf"^step 2: .* 10201 parts, and may of {MOST_LAYERS}"):
        planned(one, one)
    doubled = [Step(Duplicate(translate=(1, 0, 0)), chosen(OTHER))] * 40
    with pytest.raises(DffError, match="make fewer copies"):
        planned(*doubled)
