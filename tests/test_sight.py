"""What cameras see where they look at given points, against one pixel at a time."""

from __future__ import annotations

import torch

from dff.query.text import TextQuery
from dff.scene import load
from dff.sight import CAMERAS, sight_of


def test_rays_end_where_single_pixels_do(trained):
    scene = load(trained, device="cpu")
    red = scene.select(TextQuery(("red",), ("table", "sky", "green")))
    generator = torch.Generator().manual_seed(0)
    chosen = torch.randperm(len(scene.surface), generator=generator)[:40]
    points = scene.surface.points[chosen]
    points = points[points.norm(dim=1) < 1]
    sight = sight_of(scene, red, points)
    cameras = scene.training_cameras
    count = min(CAMERAS, len(cameras))
    assert sight.ends.shape == sight.rgb.shape == (count, len(points), 3)
    assert sight.mask.shape == sight.there.shape == (count, len(points))
    numbers = torch.linspace(0, len(cameras) - 1, count).round().long().tolist()
    compared = 0
    for row, number in enumerate(numbers):
        camera = cameras[number : number + 1]
        pose = camera.camera_to_worlds[0]
        local = (points - pose[:, 3]) @ pose[:, :3]
        x = float(camera.fx) * local[:, 0] / -local[:, 2] + float(camera.cx)
        y = float(camera.cy) - float(camera.fy) * local[:, 1] / -local[:, 2]
        for column in range(len(points)):
            width, height = int(camera.width), int(camera.height)
            if not (0 <= x[column] < width and 0 <= y[column] < height and local[column, 2] < 0):
                assert not sight.there[row, column]
                continue
            # Coordinates of `surface_at` are those of nerfstudio's rays, corners of pixels at 0.
            point, accumulation = scene.surface_at(camera, float(x[column]), float(y[column]))
            assert sight.there[row, column]
            if accumulation > 0.6:
                torch.testing.assert_close(sight.ends[row, column], point, atol=1e-3, rtol=1e-3)
                compared += 1
    assert compared > 100
    # The red thing is what is red.
    seen = sight.there & (sight.mask > 0.5)
    assert seen.any()
    others = sight.there & (sight.mask < 0.1)
    assert float(sight.rgb[seen][:, 1].mean()) < float(sight.rgb[others][:, 1].mean())


def test_points_that_no_camera_shows_are_seen_by_none(trained):
    scene = load(trained, device="cpu")
    red = scene.select(TextQuery(("red",), ("table", "sky", "green")))
    cameras = scene.training_cameras
    # Behind all that look at the middle.
    points = 3 * cameras.camera_to_worlds[:, :, 3].mean(dim=0) + 0.01 * torch.rand(5, 3)
    sight = sight_of(scene, red, points)
    assert sight.ends.shape == sight.rgb.shape == (0, 5, 3)
    assert sight.mask.shape == sight.there.shape == (0, 5)
