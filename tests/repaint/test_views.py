"""Prepared views against the renderer itself, and cameras that frame the selection."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from dff.errors import DffError
from dff.query.text import TextQuery
from dff.repaint.cameras import Region, framing, random_camera, sees
from dff.repaint.canvas import Canvas
from dff.repaint.guide import RandomViews


@pytest.fixture
def canvas(scene) -> Canvas:
    return Canvas.of(scene, scene.select(TextQuery(("red",), ("green", "table", "sky"))))


def wild(canvas: Canvas):
    """Paint far from what is there."""
    paint = canvas.new_paint(True, 0)
    torch.manual_seed(3)
    with torch.no_grad():
        for value in paint.parameters():
            value.add_(0.5 * torch.randn_like(value))
    return paint


def test_a_prepared_view_is_what_the_renderer_shows(scene, canvas):
    paint = wild(canvas)
    edits = dataclasses.replace(canvas.edits, paints={0: paint})
    for view in scene.views("train")[:3]:
        prepared = canvas.prepare(view.camera)
        plain = scene.render(view.camera)
        painted = scene.render(view.camera, edits, touched=True)
        torch.testing.assert_close(prepared.picture, plain["rgb"], atol=1e-5, rtol=0)
        with torch.no_grad():
            found = prepared.painted(paint)
        # Samples that give less than a thousandth of a pixel are left out of training.
        torch.testing.assert_close(found, painted["rgb"], atol=0.02, rtol=0)
        assert float((found - painted["rgb"]).abs().mean()) < 1e-3
        assert float((painted["rgb"] - plain["rgb"]).abs().max()) > 0.2


def test_the_selection_s_light_and_share_belong_together(scene, canvas):
    view = canvas.prepare(scene.views("train")[0].camera)

    def white(positions, directions, code, rgb):
        return torch.ones_like(rgb)

    torch.testing.assert_close(view.light(white), view.share.expand(-1, -1, 3))
    whole = view.picture + view.light(white) - view.light(None)
    torch.testing.assert_close(view.painted(white), whole)


def test_some_pixels_are_those_of_the_whole(scene, canvas):
    view = canvas.prepare(scene.views("train")[0].camera)
    paint = wild(canvas)
    pixels = torch.randperm(view.share.numel())[:100].sort().values
    part = view.at(pixels)
    with torch.no_grad():
        whole = view.painted(paint).reshape(-1, 3)[pixels]
        torch.testing.assert_close(part.painted(paint)[0], whole)
    assert torch.equal(part.share[0], view.share.reshape(-1, 1)[pixels])


def test_only_what_is_selected_has_a_gradient(scene, canvas):
    """A loss on pixels without any of the selection moves no parameter."""
    view = canvas.prepare(scene.views("train")[0].camera)
    paint = wild(canvas)
    outside = (view.share == 0).to(view.share)
    assert float(outside.sum()) > 50
    (view.painted(paint) * outside).sum().backward()
    assert all(not value.grad.any() for value in paint.parameters() if value.grad is not None)


def test_cameras_frame_the_selection_from_where_photos_were_taken(scene, canvas):
    cameras, region = scene.training_cameras, canvas.region
    places = cameras.camera_to_worlds[:, :, 3]
    spread = float(torch.cdist(places, places).topk(5, largest=False).values.max())
    for number in range(20):
        camera = random_camera(cameras, region, 32, torch.Generator().manual_seed(number))
        assert bool(sees(camera, region.center).all())
        origin = camera.camera_to_worlds[0, :, 3]
        assert float((places - origin).norm(dim=1).min()) <= spread
    shares = [float(canvas.random_views(32, seed)(0).share.mean()) for seed in range(4)]
    assert min(shares) > 0.1


def test_a_ball_fills_the_share_of_the_frame_that_is_asked(scene):
    """The ball's outline, its tangent cone, meets the picture where `filled` says."""
    target, radius = torch.tensor([0.2, -0.1, 0.3]), 0.4
    camera = framing(torch.tensor([2.0, 1.0, 1.0]), target, radius, 100, 0.8)
    distance = float((torch.tensor([2.0, 1.0, 1.0]) - target).norm())
    half = radius / (distance**2 - radius**2) ** 0.5 * float(camera.fx)
    assert half == pytest.approx(0.8 * 50, rel=1e-4)


def test_the_region_holds_the_selection(canvas):
    points = canvas.selection.grid.points[canvas.selection.values >= 0.5]
    region = Region.of(canvas.selection)
    away = (points - region.center).norm(dim=1)
    assert float((away <= region.radius).float().mean()) > 0.95
    assert bool(((points > region.low) & (points < region.high)).all())


def test_what_is_hidden_from_everywhere_is_one_line(scene, canvas):
    empty = canvas.prepare(scene.views("train")[0].camera)
    empty = dataclasses.replace(empty, share=torch.zeros_like(empty.share))
    views = RandomViews(scene.training_cameras, canvas.region, lambda camera: empty, 16, 0)
    with pytest.raises(DffError, match="hidden"):
        views(0)
