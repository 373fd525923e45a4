"""The density prior: which cameras see a point, against rays that nerfstudio's cameras cast."""

from __future__ import annotations

import torch
from nerfstudio.cameras.cameras import Cameras

from dff.fields.contraction import to_unit_cube
from dff.fields.visibility import GRID, DensityPrior, visible_share, voxel_centres

AABB = torch.tensor([[-1.0] * 3, [1.0] * 3])


def some_cameras(count: int = 6) -> Cameras:
    """Cameras with different sizes and principal points, turned every way."""
    turned, _ = torch.linalg.qr(torch.randn(count, 3, 3))
    turned = turned * torch.linalg.det(turned)[:, None, None]
    return Cameras(
        camera_to_worlds=torch.cat([turned, torch.randn(count, 3, 1)], dim=-1),
        fx=40 + 20 * torch.rand(count, 1),
        fy=40 + 20 * torch.rand(count, 1),
        cx=20 + 10 * torch.rand(count, 1),
        cy=15 + 10 * torch.rand(count, 1),
        width=torch.randint(30, 60, (count, 1)),
        height=torch.randint(20, 50, (count, 1)),
    )


def share_of(points: torch.Tensor, cameras: Cameras) -> torch.Tensor:
    return visible_share(
        points,
        cameras.camera_to_worlds,
        torch.cat([cameras.fx, cameras.fy], dim=-1),
        torch.cat([cameras.cx, cameras.cy], dim=-1),
        torch.cat([cameras.width, cameras.height], dim=-1).float(),
    )


def test_points_on_the_rays_of_a_camera_are_seen_by_it_and_those_behind_it_are_not():
    for camera in some_cameras():
        camera = camera.reshape((1,))
        rays = camera.generate_rays(camera_indices=0).flatten()
        far = 10 ** (torch.rand(len(rays), 1) * 3 - 1)
        assert (share_of(rays.origins + far * rays.directions, camera) == 1).all()
        assert (share_of(rays.origins - far * rays.directions, camera) == 0).all()


def test_points_on_rays_outside_the_picture_are_not_seen():
    camera = some_cameras(1)
    height, width = int(camera.height), int(camera.width)
    outside = torch.tensor([[-1.0, 5.0], [5.0, -1.0], [height + 1.0, 5.0], [5.0, width + 1.0]])
    rays = camera.generate_rays(camera_indices=0, coords=outside)
    assert (share_of(rays.origins + 2 * rays.directions, camera) == 0).all()


def test_share_is_the_mean_over_cameras():
    cameras = some_cameras()
    points = torch.randn(300, 3) * 3
    each = [share_of(points, cameras[i : i + 1]) for i in range(len(cameras))]
    together = share_of(points, cameras)
    torch.testing.assert_close(together, torch.stack(each).mean(dim=0))
    assert 0 < float(together.mean()) < 1


def test_voxel_centres_lie_at_the_centres_of_the_unit_cubes_cells():
    for contracted in (True, False):
        unit = to_unit_cube(voxel_centres(AABB, contracted, 4), AABB, contracted)
        line = torch.tensor([0.125, 0.375, 0.625, 0.875])
        expected = torch.stack(torch.meshgrid(line, line, line, indexing="ij"), dim=-1)
        torch.testing.assert_close(unit, expected)


def test_the_prior_lies_between_its_bounds_and_reaches_them():
    prior = DensityPrior.from_cameras(some_cameras(), AABB, True, highest=2.0, lowest=0.01)
    assert float(prior.grid.max()) == 2.0
    assert float(prior.grid.min()) == torch.tensor(0.01)


def test_the_prior_looks_up_the_voxel_a_point_lies_in():
    cameras = some_cameras()
    prior = DensityPrior.from_cameras(cameras, AABB, True, highest=1.0, lowest=1e-6)
    points = voxel_centres(AABB, True)[5::7, 3::9, 2::5].reshape(-1, 3)
    share = share_of(voxel_centres(AABB, True).reshape(-1, 3), cameras)
    expected = (share_of(points, cameras) / share.max()).clamp(min=1e-6)
    found = prior(to_unit_cube(points, AABB, True))[:, 0]
    assert float((found - expected).abs().gt(1e-5).float().mean()) < 0.01  # rounding at borders


def test_the_prior_takes_points_outside_the_cube_and_none_at_all():
    grid = torch.rand(GRID, GRID, GRID)
    prior = DensityPrior(grid)
    outside = torch.tensor([[-5.0, 0.5, 0.5], [7.0, 1.0, 1.0]])
    cell = GRID // 2
    expected = torch.stack([grid[0, cell, cell], grid[-1, -1, -1]])[:, None]
    assert torch.equal(prior(outside), expected)
    assert prior(torch.zeros(0, 3)).shape == (0, 1)


def test_cameras_that_see_nothing_of_the_scene_leave_the_lowest_density():
    cameras = some_cameras(1)
    cameras.camera_to_worlds = torch.tensor([[[1.0, 0, 0, 0], [0, 1.0, 0, 0], [0, 0, 1.0, -1e5]]])
    prior = DensityPrior.from_cameras(cameras, AABB, False, highest=1.0, lowest=0.25)
    assert (prior.grid == 0.25).all()
