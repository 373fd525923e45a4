"""Pinhole views against nerfstudio's own rays, and how rays are spread over a capture."""

from __future__ import annotations

import pytest
import torch
from nerfstudio.cameras.cameras import Cameras, CameraType

from dff.camera_paths import rescaled
from dff.export.looking import look_back
from dff.export.views import FEWEST_PIXELS, pinhole, render_views, spread_rays


def cameras(count: int, height: int = 120, width: int = 160, **more) -> Cameras:
    poses = torch.eye(4)[:3].expand(count, 3, 4).clone()
    poses[:, 0, 3] = torch.arange(count)
    return Cameras(poses, 90.0, 91.0, width / 2, height / 2, width, height, **more)


class TestRenderedViews:
    def test_rays_are_those_of_nerfstudio_at_a_smaller_size(self, scene):
        (view,) = render_views(scene, rays=200)
        (chosen,), scale = spread_rays(scene.training_cameras, 200)
        assert scale < 0.7
        camera = rescaled(pinhole(scene.training_cameras[chosen : chosen + 1]), scale)
        rays = camera.generate_rays(camera_indices=0, keep_shape=True)
        torch.testing.assert_close(view.directions, rays.directions, atol=1e-5, rtol=0)

    def test_at_full_size_pictures_are_those_of_the_scene(self, scene):
        view = render_views(scene, rays=100_000)[2]
        outputs = scene.render(scene.training_cameras[2:3])
        torch.testing.assert_close(view.rgb, outputs["rgb"], atol=1e-4, rtol=0)
        rays = scene.training_cameras[2:3].generate_rays(camera_indices=0, keep_shape=True)
        torch.testing.assert_close(view.directions, rays.directions, atol=1e-5, rtol=0)
        assert len(render_views(scene, rays=100_000)) == len(scene.training_cameras)


def test_projection_is_the_inverse_of_the_rays(make_view):
    view = make_view(0.7, 0.4)
    pixels, distance, inside = view.project(view.points.reshape(-1, 3))
    height, width = view.size
    row, column = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    expected = torch.stack([column, row], dim=-1).reshape(-1, 2) + 0.5
    torch.testing.assert_close(pixels, expected, atol=1e-3, rtol=0)
    torch.testing.assert_close(distance, view.depth.flatten(), atol=1e-5, rtol=0)
    assert inside.all()


def test_what_is_behind_the_camera_is_not_in_the_picture(make_view):
    view = make_view(0.7, 0.4)
    behind = view.pose[:, 3] + view.pose[:, 2]
    assert not view.project(behind[None])[2].any()


def test_places_before_on_and_behind_the_surface(make_view):
    view = make_view(0.0, 0.4)
    row, column = view.there.nonzero()[100]
    origin, ray, depth = view.pose[:, 3], view.directions[row, column], view.depth[row, column]
    places = torch.stack([origin + (depth + step) * ray for step in (-0.1, 0.0, 0.1)])
    seen = look_back(view, places, torch.full((3,), 0.02))
    assert seen.through.tolist() == [True, False, False]
    assert seen.met.tolist() == [False, True, False]
    torch.testing.assert_close(seen.gap, torch.tensor([0.1, 0.0, 0.1]), atol=1e-4, rtol=0)


def test_depth_between_pixels_is_exact_on_a_plane_and_never_mixes_surfaces(make_view):
    view = make_view(0.0, 1.2)
    ground = view.there & (view.step == 0)
    inner = ground[:-1, :-1] & ground[1:, :-1] & ground[:-1, 1:] & ground[1:, 1:]
    row, column = inner.nonzero().T
    pixels = torch.stack([column, row], dim=1) + 1.0
    local = torch.cat([(pixels - view.centre) / view.focal, torch.ones(len(row), 1)], dim=1)
    local = local * torch.tensor([1.0, -1.0, -1.0])
    rays = torch.nn.functional.normalize(local @ view.pose[:, :3].T, dim=1)
    true = (-0.4 - view.pose[2, 3]) / rays[:, 2]
    error = (view.sampled_depth(pixels) - true).abs()
    assert float(error.max()) < 2e-3
    everywhere = view.sampled_depth(torch.rand(5000, 2) * torch.tensor([96.0, 72.0]))
    finite = everywhere[everywhere.isfinite()]
    assert float(finite.max()) <= float(view.depth[view.there].max()) + 1e-4


class TestSpreadRays:
    def test_few_rays_make_pictures_smaller(self):
        chosen, scale = spread_rays(cameras(3), 40_000)
        assert chosen == [0, 1, 2]
        assert 3 * 120 * 160 * scale**2 == pytest.approx(40_000)

    def test_very_few_rays_leave_pictures_out_evenly(self):
        chosen, scale = spread_rays(cameras(101), 3 * FEWEST_PIXELS)
        assert chosen == [0, 50, 100]
        assert 120 * 160 * scale**2 == pytest.approx(FEWEST_PIXELS)

    def test_many_rays_make_nothing_larger(self):
        assert spread_rays(cameras(4), 10**8) == ([0, 1, 2, 3], 1.0)


@pytest.mark.parametrize("kind", [CameraType.FISHEYE, CameraType.EQUIRECTANGULAR])
def test_lenses_become_pinholes_in_the_same_place(kind):
    lens = cameras(2, camera_type=kind)
    flat = pinhole(lens[1:2])
    assert int(flat.camera_type[0]) == CameraType.PERSPECTIVE.value
    assert flat.distortion_params is None
    torch.testing.assert_close(flat.camera_to_worlds, lens.camera_to_worlds[1:2])
    assert float(flat.fx[0]) == (90.0 if kind is CameraType.FISHEYE else 80.0)
