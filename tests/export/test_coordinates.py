"""Coordinates of the capture against nerfstudio's own way back."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
import trimesh
from nerfstudio.data.dataparsers.base_dataparser import transform_poses_to_original_space
from scipy.spatial.transform import Rotation

from dff.export.coordinates import Coordinates
from dff.export.points import surface_points
from dff.selection.mesh import Mesh


def there(mirror: bool = False) -> tuple[torch.Tensor, float, Coordinates]:
    turn = Rotation.from_rotvec([0.3, -1.1, 0.6]).as_matrix() @ np.diag([1, 1, -1 if mirror else 1])
    transform = torch.from_numpy(np.c_[turn, [0.4, -0.2, 0.9]]).float()

    class Parsed:
        dataparser_transform, dataparser_scale = transform, 0.25

    return transform, 0.25, Coordinates.of_capture(Parsed())


@pytest.mark.parametrize("mirror", [False, True])
def test_points_go_where_nerfstudio_sends_them(ball_views, frame, mirror):
    points = surface_points(ball_views[::3], frame, 64)
    transform, scale, coordinates = there(mirror)
    poses = torch.eye(4)[:3].expand(len(points), 3, 4).clone()
    poses[:, :, 3] = points.positions
    expected = transform_poses_to_original_space(poses, transform, scale)[:, :, 3]
    moved = coordinates.points(points)
    torch.testing.assert_close(moved.positions, expected, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(moved.side, points.side * 4)
    # A step along a normal there is the step along the normal here.
    step = dataclasses.replace(points, positions=points.positions + 0.01 * points.normals)
    offset = coordinates.points(step).positions - moved.positions
    torch.testing.assert_close(offset, 0.04 * moved.normals, atol=1e-4, rtol=0)


@pytest.mark.parametrize("mirror", [False, True])
def test_a_mesh_stays_outside_out(mirror):
    ball = trimesh.creation.icosphere()
    mesh = Mesh(ball.vertices, ball.faces, np.zeros((len(ball.vertices), 3), np.uint8))
    moved = there(mirror)[2].mesh(mesh)
    volume = trimesh.Trimesh(moved.vertices, moved.faces, process=False).volume
    assert volume == pytest.approx(ball.volume * 64, rel=1e-4)
