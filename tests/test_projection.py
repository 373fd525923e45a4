"""Where cameras show points, against nerfstudio's own rays."""

from __future__ import annotations

import torch
from nerfstudio.cameras.cameras import Cameras

from dff.projection import project


def cameras() -> Cameras:
    """Three that are turned and placed at random, with pixels that are not square."""
    turns = torch.linalg.qr(torch.randn(3, 3, 3))[0]
    poses = torch.cat([turns * torch.linalg.det(turns)[:, None, None], torch.randn(3, 3, 1)], -1)
    focal, centre = torch.tensor([30.0, 25.0, 20.0]), torch.tensor([21.0, 19.0, 20.0])
    return Cameras(poses, focal, focal * 1.2, centre, centre - 4, width=40, height=30)


def test_what_a_pixels_ray_meets_is_projected_on_it():
    every = cameras()
    places = torch.rand(50, 2) * torch.tensor([40.0, 30.0])
    for number in range(len(every)):
        rays = every.generate_rays(number, coords=places.flip(-1))
        points = rays.origins + rays.directions * (0.5 + 3 * torch.rand(50, 1))
        kept = points.clone()
        found, depth = project(every, points)
        assert found.shape == (3, 50, 2)
        assert depth.shape == (3, 50)
        torch.testing.assert_close(found[number], places, atol=1e-3, rtol=1e-4)
        axis = -every.camera_to_worlds[number, :, 2]
        torch.testing.assert_close(depth[number], (points - rays.origins) @ axis)
        alone, same = project(every[number], points)
        torch.testing.assert_close(alone[0], found[number])
        torch.testing.assert_close(same[0], depth[number])
        assert torch.equal(points, kept)


def test_what_is_behind_has_no_depth():
    every = cameras()
    behind = every.camera_to_worlds[0, :, 3] + every.camera_to_worlds[0, :, 2]
    assert float(project(every, behind[None])[1][0]) < 0
