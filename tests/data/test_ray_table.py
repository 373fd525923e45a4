"""Looked-up rays against nerfstudio's own."""

from __future__ import annotations

import pytest
import torch
from nerfstudio.cameras.cameras import Cameras, CameraType
from nerfstudio.model_components.ray_generators import RayGenerator

from dff.data import ray_table
from dff.data.ray_table import TabledRayGenerator


def rotations(count, generator):
    return torch.linalg.qr(torch.randn(count, 3, 3, generator=generator))[0]


def make(distorted=True, kind=CameraType.PERSPECTIVE):
    generator = torch.Generator().manual_seed(3)
    poses = torch.cat([rotations(5, generator), torch.randn(5, 3, 1, generator=generator)], dim=-1)
    # Cameras 0, 2 and 4 are alike; 1 has another size, 3 another lens.
    distortion = torch.tensor([0.1, -0.05, 0.01, 0.0, 0.004, -0.003]).repeat(5, 1)
    distortion[3] *= 2.0
    width = torch.tensor([20, 24, 20, 20, 20])
    height = torch.tensor([12, 14, 12, 12, 12])
    return Cameras(
        poses,
        fx=18.0,
        fy=19.0,
        cx=9.7,
        cy=6.2,
        width=width[:, None],
        height=height[:, None],
        distortion_params=distortion if distorted else None,
        camera_type=kind,
    )


def all_pixels(cameras):
    return torch.tensor(
        [
            (camera, row, column)
            for camera in range(len(cameras))
            for row in range(int(cameras.height[camera]))
            for column in range(int(cameras.width[camera]))
        ]
    )


@pytest.mark.parametrize("distorted", [True, False])
def test_every_pixel_of_every_camera_has_nerfstudios_ray(distorted):
    cameras = make(distorted)
    pixels = all_pixels(cameras)
    pixels = pixels[torch.randperm(len(pixels), generator=torch.Generator().manual_seed(0))]
    found, expected = TabledRayGenerator(cameras)(pixels), RayGenerator(cameras)(pixels)
    for name in ("origins", "directions", "pixel_area"):
        one, other = getattr(found, name), getattr(expected, name)
        assert one.shape == other.shape
        torch.testing.assert_close(one, other, rtol=1e-4, atol=2e-6)
    assert torch.equal(found.camera_indices, expected.camera_indices)
    norm = "directions_norm"
    torch.testing.assert_close(found.metadata[norm], expected.metadata[norm])


def test_cameras_that_are_alike_share_their_rows():
    cameras = make()
    generator = TabledRayGenerator(cameras)
    assert len(generator.table) == 20 * 12 * 2 + 24 * 14
    assert generator.first[0] == generator.first[2] == generator.first[4]
    assert not generator.state_dict()


def test_what_does_not_fit_is_left_to_nerfstudio(monkeypatch):
    assert TabledRayGenerator.has_room(make())
    assert not TabledRayGenerator.has_room(make(kind=CameraType.EQUIRECTANGULAR))
    monkeypatch.setattr(ray_table, "MOST_PIXELS", 20 * 12 * 2 + 24 * 14 - 1)
    assert not TabledRayGenerator.has_room(make())
