"""Layers against a naive account: every voxel a thing of its own that steps move, copy and mark."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dff.edits.layers import Ball, Brought, Chosen, Layer, changes_opacity
from dff.edits.operations import (
    Background,
    Delete,
    Duplicate,
    Extract,
    HueShift,
    Insert,
    Opacity,
    Replace,
    Transform,
)
from dff.edits.placement import Extent
from dff.edits.plan import Step, plan_layers
from dff.edits.similarity import Similarity, rotation_from_degrees

COUNT = 12
POINTS = torch.rand(COUNT, 3, generator=torch.Generator().manual_seed(1))
TURNED = Similarity(
    rotation_from_degrees((20, 50, -70)), 1.5, torch.tensor([0.3, 0.1, -0.6]).double()
)
OTHER = torch.rand(5, 3, generator=torch.Generator().manual_seed(2)) + 4


def chosen(voxels, matter: int = 0, mask: int = 0) -> Chosen:
    points = (POINTS, OTHER)[matter]
    values = torch.zeros(len(points))
    values[list(voxels)] = 1.0
    return Chosen(matter, mask, values, points, torch.full((len(points),), 0.1))


@dataclass
class Grain:
    """One voxel of one scene, wherever it is now."""

    matter: int
    voxel: int
    place: np.ndarray
    brought_by: set[int] = field(default_factory=set)
    marks: tuple[str, ...] = ()


def naive(steps: list[Step]) -> list[Grain]:
    """What becomes of every voxel."""
    grains = [Grain(0, k, POINTS[k].numpy().astype(float)) for k in range(COUNT)]
    for number, step in enumerate(steps):
        part, operation = step.part, step.operation

        def is_in(grain: Grain, part=part) -> bool:
            if isinstance(part, Brought):
                return part.step in grain.brought_by
            return grain.matter == part.matter and bool(part.values[grain.voxel] > 0.5)

        def copied(grain: Grain, place: np.ndarray, number=number) -> Grain:
            return Grain(grain.matter, grain.voxel, place, grain.brought_by | {number}, grain.marks)

        def extent_of(grains: list[Grain]) -> Extent:
            return Extent.of(torch.tensor(np.array([g.place for g in grains])))

        inside = [g for g in grains if is_in(g)]
        if isinstance(operation, Insert):
            fresh = [
                Grain(1, k, OTHER[k].numpy().astype(float))
                for k in range(len(OTHER))
                if part.values[k] > 0.5
            ]
            if fresh:
                extent = extent_of(fresh)
                offset = np.array(operation.at) - extent.center.numpy()
                grains = grains + [copied(g, g.place + offset) for g in fresh]
        elif isinstance(operation, (Extract, Background)):
            grains = inside
        elif not inside:
            continue
        elif isinstance(operation, Delete):
            grains = [g for g in grains if not is_in(g)]
        elif isinstance(operation, (Transform, Duplicate)):
            similarity = extent_of(inside).similarity(operation)
            if isinstance(operation, Transform):
                if similarity.is_identity:
                    continue
                grains = [g for g in grains if not is_in(g)]
            count = getattr(operation, "count", 1)
            placed = inside
            for _ in range(count):
                placed = [
                    copied(g, similarity.apply(torch.tensor(g.place)).numpy()) for g in placed
                ]
                grains = grains + placed
        else:
            for grain in inside:
                grain.marks = (*grain.marks, type(operation).__name__)
    return grains


def account(layers: tuple[Layer, ...]) -> list[tuple]:
    """The same, from layers: matter, voxel, rounded place, steps, marks."""
    found = []
    for layer in layers:
        points = (POINTS, OTHER)[layer.matter].double()
        places = points if layer.pose is None else layer.pose.apply(points)
        for voxel in torch.nonzero(layer.left > 0.5)[:, 0].tolist():
            marks = tuple(
                type(act.operation).__name__
                for act in layer.acts
                if isinstance(act.operation, (HueShift, Opacity))
                and (act.mask is None or voxel in MASKS[act.mask])
            )
            place = tuple(np.round(places[voxel].numpy(), 4) + 0.0)
            found.append((layer.matter, voxel, place, tuple(sorted(layer.brought_by)), marks))
    return sorted(found)


MASKS: dict[int, set[int]] = {}
numbers = st.floats(-2, 2).map(lambda x: round(x, 2))
voxels = st.sets(st.integers(0, COUNT - 1), max_size=6)
placed = st.builds(
    dict,
    translate=st.tuples(numbers, numbers, numbers),
    rotate=st.tuples(st.just(0.0), st.just(0.0), st.sampled_from([0.0, 90.0, 30.0])),
    scale=st.sampled_from([1.0, 2.0, 0.5]),
    pivot=st.sampled_from(["center", "base", (0.0, 0.0, 0.0)]),
)
operations = st.one_of(
    st.builds(Delete),
    st.builds(Extract),
    st.builds(Background),
    st.builds(Opacity, factor=st.just(0.5)),
    st.builds(HueShift, degrees=st.just(30.0)),
    placed.map(lambda p: Transform(**p)),
    st.tuples(placed, st.integers(1, 3)).map(lambda p: Duplicate(**p[0], count=p[1])),
    st.tuples(numbers, numbers, numbers).map(lambda p: Insert(scene="other", at=p)),
)


@st.composite
def step_lists(draw) -> list[Step]:
    steps: list[Step] = []
    for number in range(draw(st.integers(1, 4))):
        operation = draw(operations)
        if isinstance(operation, Insert):
            part = chosen({k % 5 for k in draw(voxels)}, 1, number)
        elif number and draw(st.booleans()):
            part = Brought(draw(st.integers(0, number - 1)))
        else:
            part = chosen(draw(voxels), 0, number)
        steps.append(Step(operation, part))
    return steps


@given(step_lists())
def test_layers_hold_what_steps_do_to_every_voxel(steps):
    MASKS.clear()
    for number, step in enumerate(steps):
        if isinstance(step.part, Chosen):
            MASKS[number] = set(torch.nonzero(step.part.values)[:, 0].tolist())
    expected = sorted(
        (
            g.matter,
            g.voxel,
            tuple(np.round(g.place, 4) + 0.0),
            tuple(sorted(g.brought_by)),
            g.marks,
        )
        for g in naive(steps)
    )
    got = account(plan_layers([POINTS, OTHER], steps))
    assert len(got) == len(expected)
    for mine, theirs in zip(got, expected, strict=True):
        assert mine[:2] == theirs[:2]
        assert mine[3:] == theirs[3:]
        np.testing.assert_allclose(mine[2], theirs[2], atol=2e-3)


def test_a_replacement_stands_where_the_old_thing_stood_as_large_as_it_was():
    old, new = chosen(range(6)), chosen(range(5), 1)
    step = Step(Replace(by={"text": "x"}), old, new)
    kept, brought = plan_layers([POINTS, OTHER], [step])
    assert int((kept.left > 0.5).sum()) == COUNT - 6
    was, now = Extent.of(POINTS[:6]), Extent.of(brought.pose.apply(OTHER.double()))
    torch.testing.assert_close(now.base, was.base, atol=1e-6, rtol=0)
    assert float((now.high - now.low).max()) == pytest.approx(float((was.high - was.low).max()))


def test_what_is_moved_twice_by_things_that_do_not_meet_makes_no_third_layer():
    apart = [Step(Transform(translate=(1, 0, 0)), chosen({k}, mask=k)) for k in range(6)]
    assert len(plan_layers([POINTS], apart)) == 7


def test_a_ball_holds_all_that_is_selected():
    part = chosen({1, 4, 7})
    ball = part.ball_of(part.values)
    assert ball is None or bool(ball.holds(POINTS[[1, 4, 7]]).all())
    tight = Ball(torch.zeros(3), 1.0)
    assert tight.holds(torch.tensor([[0.6, 0.6, 0.5], [0.6, 0.6, 0.6]])).tolist() == [True, False]


@pytest.mark.parametrize("pose", [None, TURNED])
def test_what_lies_in_a_ball_is_found_ray_by_ray(pose):
    ball = Ball(torch.tensor([0.2, -0.1, 0.3]), 0.4)
    generator = torch.Generator().manual_seed(3)
    start, end = torch.randn(2, 400, 3, generator=generator).unbind()
    end[:40] = start[:40]
    along = torch.linspace(0, 1, 12)[:, None]
    points = (start[:, None] + along * (end - start)[:, None]).reshape(-1, 3)
    if pose is None:
        wanted = ball.holds(points).nonzero()[:, 0]
    else:
        wanted = ball.holds(pose.inverse().apply(points)).nonzero()[:, 0]
        ball = ball.moved(pose)
    assert 50 < len(wanted) < len(points) / 4
    assert torch.equal(ball.among(points, 12), wanted)
    assert torch.equal(ball.among(points), wanted)


def test_most_of_a_scene_has_no_ball():
    everything = chosen(range(COUNT))
    assert everything.ball_of(everything.values) is None


def test_only_what_changes_light_is_seen_by_the_sampler():
    part = chosen({1, 2})
    assert not changes_opacity(plan_layers([POINTS], [Step(HueShift(degrees=3), part)]))
    for operation in (Delete(), Extract(), Opacity(factor=0.5), Transform(translate=(1, 0, 0))):
        assert changes_opacity(plan_layers([POINTS], [Step(operation, part)]))
