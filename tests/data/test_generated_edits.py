"""Edited generated scenes: shapes and light against closed forms, and against the unedited scene
seen by a camera that went along."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.ndimage import binary_dilation, binary_erosion

from dff.data.generated.cameras import Camera
from dff.data.generated.description import LAST_NUMBER, SceneDescription, describe_scene
from dff.data.generated.edited import (
    _BEFORE,
    TrueEdit,
    _KeptLight,
    render_kept_light,
    seen_from,
    still,
)
from dff.data.generated.layout import footprint
from dff.data.generated.render import Stage, View, render_views
from dff.data.generated.scene import SceneSettings, plan_scene
from dff.edits.colour import shift_hue
from dff.edits.similarity import Similarity
from dff.errors import DffError

NUMBER = 2


@pytest.fixture(scope="module")
def description() -> SceneDescription:
    return describe_scene(5, num_objects=4, detail=16)


@pytest.fixture(scope="module")
def cameras() -> tuple[Camera, ...]:
    settings = SceneSettings(num_objects=4, num_train=8, num_eval=1, width=64, height=48)
    return plan_scene(Path(), settings).cameras


def only(views: Iterable[View]) -> View:
    (view,) = views
    return view


def went_along(camera: Camera, placing: Similarity) -> Camera:
    """A camera that was moved, turned and scaled with the world."""
    pose = torch.tensor(camera.pose, dtype=torch.float64)
    moved = pose.clone()
    moved[:3, :3] = placing.rotation @ pose[:3, :3]
    moved[:3, 3] = placing.apply(pose[:3, 3])
    return dataclasses.replace(camera, pose=tuple(map(tuple, moved.tolist())))


def test_placed_things_are_where_the_formula_puts_them(description):
    thing = description.find(NUMBER)
    placing = thing.placing((0.4, -0.3, 0.0), turn=40.0, scale=0.8)
    points = thing.geometry().vertices
    low, high = points.min(0), points.max(0)
    base = np.array([*(low + high)[:2] / 2, low[2]])
    angle = np.radians(40)
    turn = np.array(
        [[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]]
    )
    expected = base + 0.8 * (points - base) @ turn.T + [0.4, -0.3, 0.0]
    placed = thing.placed(placing).geometry()
    np.testing.assert_allclose(placed.vertices, expected, atol=1e-9)
    assert placed.vertices[:, 2].min() == pytest.approx(low[2])
    np.testing.assert_allclose(placed.normals, thing.geometry().normals @ turn.T, atol=1e-9)
    np.testing.assert_array_equal(placed.local, thing.geometry().local)


def test_moving_and_duplicating_keep_everything_else(description):
    thing = description.find(NUMBER)
    placing = thing.placing((0.4, -0.3, 0.0), turn=10.0, scale=0.9)
    moved = description.moved(NUMBER, (0.4, -0.3, 0.0), turn=10.0, scale=0.9)
    assert moved.find(NUMBER) == thing.placed(placing)
    assert moved.without(NUMBER) == description.without(NUMBER)
    twice = description.duplicated(NUMBER, placing)
    assert twice.without(5) == description
    assert dataclasses.replace(twice.find(5), instance=NUMBER) == thing.placed(placing)


def test_numbers_run_out(description):
    full = description.changed(description.objects[-1])
    last = dataclasses.replace(full.objects[-1], instance=LAST_NUMBER)
    full = dataclasses.replace(full, objects=(*full.objects[:-1], last))
    with pytest.raises(DffError, match="numbers up to 255"):
        full.with_thing(description.find(1))


def test_turned_paint_is_what_the_edit_does_to_colours(description):
    turned = description.hue_turned(NUMBER, 120)
    for name, material in description.find(NUMBER).look.parts.items():
        painted = turned.find(NUMBER).look.parts[name]
        for before, after in ((material.first, painted.first), (material.second, painted.second)):
            expected = shift_hue(torch.tensor(before, dtype=torch.float64), 120.0)
            np.testing.assert_allclose(after, expected, atol=1e-12)
    assert description.hue_turned(NUMBER, 360) == description
    assert turned.hue_turned(NUMBER, -120).find(NUMBER).look.parts == (
        description.find(NUMBER).look.parts
    )
    with pytest.raises(DffError, match="multiples of 120"):
        description.hue_turned(NUMBER, 90)


@pytest.mark.parametrize("degrees", [120, 240])
def test_seen_hue_is_turned_exactly_with_kept_light_and_nearly_in_the_world(
    description, cameras, degrees
):
    edit = TrueEdit.hue(description, NUMBER, degrees)
    before = only(render_views(description, cameras[:1]))
    kept = only(render_kept_light(edit, cameras[:1], cameras))
    world = only(render_views(edit.after, cameras[:1]))
    # Pixels on the thing's rim hold light of others, whose hue stays.
    inside = binary_erosion(before.instances == NUMBER, np.ones((3, 3)))
    assert inside.sum() > 10
    expected = shift_hue(torch.from_numpy(before.image[inside] / 255), degrees).numpy()
    assert np.abs(kept.image[inside] / 255 - expected).max() < 1.5 / 255
    error = np.square(world.image[inside] / 255 - expected).mean()
    assert 30 < -10 * np.log10(error) < 48
    for view in (kept, world):
        outside = ~binary_dilation(before.instances == NUMBER)
        np.testing.assert_array_equal(view.image[outside], before.image[outside])
        np.testing.assert_array_equal(view.instances, before.instances)


def test_nothing_changed_looks_as_it_was(description, cameras):
    for edit in (
        TrueEdit(description, description, (), ()),
        TrueEdit.move(description, NUMBER, still()),
    ):
        kept = only(render_kept_light(edit, cameras[2:3], cameras))
        plain = only(render_views(description, cameras[2:3]))
        np.testing.assert_array_equal(kept.instances, plain.instances)
        np.testing.assert_array_equal(kept.depth, plain.depth)
        # The rays start anew just before surfaces: where one touches another, they may slip by.
        apart = np.abs(kept.image.astype(int) - plain.image).max(axis=-1)
        assert (apart <= 1).mean() > 0.995


@pytest.mark.parametrize("scale", [1.0, 0.7])
def test_what_is_moved_brings_its_light(description, cameras, scale):
    thing = description.find(NUMBER)
    placing = thing.placing((0.0, 0.0, 2.5), turn=100.0, scale=scale)
    edit = TrueEdit.move(description, NUMBER, placing)
    before = only(render_views(description, cameras[4:5]))
    along = [went_along(cameras[4], placing)]
    kept = only(render_kept_light(edit, along, cameras))
    world = only(render_views(edit.after, along))
    both = (before.instances == NUMBER) & (kept.instances == NUMBER)
    assert both.sum() > 0.95 * (before.instances == NUMBER).sum() > 50
    inside = binary_erosion(both, np.ones((3, 3)))
    change = np.abs(kept.image[inside].astype(int) - before.image[inside])
    assert (change <= 2).mean() > 0.99
    # In the world it is lit anew.
    assert np.abs(world.image[inside].astype(int) - before.image[inside]).mean() > 5


def test_what_is_inserted_brings_the_light_of_its_scene(description, cameras):
    source = describe_scene(7, num_objects=3, detail=16)
    placing = source.find(1).placing((0.0, 0.0, 2.5), turn=-70.0)
    edit = TrueEdit.insert(description, source, 1, placing)
    assert edit.touched == (5,)
    before = only(render_views(source, cameras[6:7]))
    kept = only(render_kept_light(edit, [went_along(cameras[6], placing)], cameras))
    both = (before.instances == 1) & (kept.instances == 5)
    inside = binary_erosion(both, np.ones((3, 3)))
    assert inside.sum() > 30
    change = np.abs(kept.image[inside].astype(int) - before.image[inside])
    assert (change <= 2).mean() > 0.99


def test_what_is_deleted_leaves_its_shadow_where_photos_show_it(description, cameras):
    edit = TrueEdit.delete(description, NUMBER)
    before = only(render_views(description, cameras[:1]))
    kept = only(render_kept_light(edit, cameras[:1], cameras))
    world = only(render_views(edit.after, cameras[:1]))
    assert not (kept.instances == NUMBER).any()
    away = ~binary_dilation(before.instances == NUMBER, np.ones((3, 3)))
    change = np.abs(kept.image[away].astype(int) - before.image[away]).max(axis=-1)
    assert (change <= 1).mean() > 0.995
    # In the world its shadow is gone: light can only be gained.
    gained = world.image[away].astype(int).sum(-1) - before.image[away].astype(int).sum(-1)
    assert (gained > 20).sum() > 10
    assert (gained < -20).sum() == 0


def test_under_a_thing_the_shadow_around_it_goes_on(description, cameras):
    low = min(description.objects, key=lambda thing: thing.geometry().vertices[:, 2].max())
    edit = TrueEdit.delete(description, low.instance)
    origin, directions = cameras[-1].rays()
    world = Stage(edit.after)
    lit = world.shade(origin, directions, 0)
    kept = _KeptLight(edit, cameras).shade(origin, directions, 0)
    hits = world.caster.first_hits(np.broadcast_to(origin, directions.shape), directions)
    table = world.caster.geometry.face_owner[hits.face] == 0
    points = origin + hits.distance[:, None] * directions
    shown = seen_from(Stage(description).caster, points - _BEFORE * directions, cameras)
    hidden, around = np.flatnonzero(table & ~shown), np.flatnonzero(table & shown)
    assert len(hidden) > 5
    expected = []
    for ray in hidden:
        near = around[np.argsort(np.linalg.norm(points[around] - points[ray], axis=1))[:8]]
        expected.append(lit[ray] * kept[near].sum(0) / lit[near].sum(0))
    np.testing.assert_allclose(kept[hidden], expected, rtol=0.02)
    assert kept[hidden].sum() < 0.7 * lit[hidden].sum()


def test_what_no_photo_shows_is_lit_as_in_the_edited_world(description, cameras):
    edit = TrueEdit.delete(description, NUMBER)
    kept = only(render_kept_light(edit, cameras[:1], ()))
    world = only(render_views(edit.after, cameras[:1]))
    apart = np.abs(kept.image.astype(int) - world.image).max(axis=-1)
    assert (apart <= 1).mean() > 0.995


def test_a_camera_sees_what_its_rays_hit_and_nothing_behind(description, cameras):
    caster = Stage(description).caster
    camera, other = cameras[0], cameras[4]
    origin, directions = camera.rays()
    distance = caster.first_hits(np.broadcast_to(origin, directions.shape), directions).distance
    before = origin + (distance - 1e-3)[:, None] * directions
    behind = origin + (distance + 2e-2)[:, None] * directions
    assert seen_from(caster, before, [camera]).mean() > 0.995
    assert seen_from(caster, before, [other, camera]).mean() > 0.995
    assert not seen_from(caster, before, []).any()
    assert seen_from(caster, behind, [camera]).mean() < 0.005
    # Behind the camera, and beside its picture.
    outside = np.stack([origin - directions[0], origin + np.array(camera.pose)[:3, 0]])
    assert not seen_from(caster, outside, [camera]).any()


def test_a_free_place_is_free_and_as_near_the_middle_as_can_be(description):
    thing = description.find(NUMBER)
    x, y, z = description.free_place(thing)
    assert z == 0.0
    outline = footprint(thing.geometry().vertices) + [x, y]
    half = description.table_half
    assert np.abs(outline).max() < half
    points = np.random.default_rng(0).uniform(-half, half, (20_000, 2))
    taken = np.zeros(len(points), int)
    for other in [footprint(o.geometry().vertices) for o in description.objects] + [outline]:
        edge = np.roll(other, -1, 0) - other
        side = [
            edge[k, 0] * (points[:, 1] - other[k, 1]) - edge[k, 1] * (points[:, 0] - other[k, 0])
            for k in range(len(other))
        ]
        taken += np.min(side, axis=0) > 0
    assert taken.max() == 1
    alone = description.without(*(o.instance for o in description.objects))
    x, y, _ = alone.free_place(thing)
    outline = footprint(thing.geometry().vertices) + [x, y]
    np.testing.assert_allclose(outline.min(0) + outline.max(0), 0, atol=1e-9)
    with pytest.raises(DffError, match="no free place"):
        dataclasses.replace(description, table_half=0.3).free_place(thing)
