"""Fused points against a ball and a table known in closed form."""

from __future__ import annotations

import dataclasses
from collections import Counter

import numpy as np
import pytest
import torch

from dff.errors import DffError
from dff.export.points import commonest, spacing, surface_points
from dff.export.vertices import write_points


@pytest.fixture(scope="module")
def fused(ball_views, frame):
    return surface_points(ball_views, frame, 256)


def test_points_lie_on_the_surfaces(fused, away):
    assert len(fused) > 5000
    voxel = 4 / 256
    distance = away(fused.positions)
    assert float(distance.median()) < 0.02 * voxel
    assert float(distance.quantile(0.99)) < 0.5 * voxel


def test_normals_point_out_of_the_surfaces(fused, true_normals):
    facing = (fused.normals * true_normals(fused.positions)).sum(dim=1)
    assert float(facing.median()) > np.cos(np.radians(3))
    assert float((facing > 0.9).float().mean()) > 0.95
    torch.testing.assert_close(fused.normals.norm(dim=1), torch.ones(len(fused)))


def test_noise_across_the_surface_is_taken_off(ball_views, frame, away):
    noisy = [
        dataclasses.replace(view, depth=view.depth + 0.004 * torch.randn(view.size))
        for view in ball_views
    ]
    rough = torch.cat([view.points[view.there] for view in noisy])
    points = surface_points(noisy, frame, 256)
    assert float(away(points.positions).median()) < 0.5 * float(away(rough).median())


def test_colours_and_steps_are_those_of_the_surface(fused):
    on_ball = fused.positions[:, 2] > -0.2
    red = on_ball & (fused.positions[:, 0] > 0.03)
    blue = on_ball & (fused.positions[:, 0] < -0.03)
    assert (fused.rgb[red] - torch.tensor([0.9, 0.1, 0.1])).abs().max() < 0.01
    assert (fused.rgb[blue] - torch.tensor([0.1, 0.2, 0.9])).abs().max() < 0.01
    assert (fused.step[on_ball] == 3).all()
    assert (fused.step[fused.positions[:, 2] < -0.35] == 0).all()


def test_mist_that_one_view_alone_sees_is_left_out(ball_views, frame, away):
    depth = ball_views[9].depth.clone()
    depth[30:36, 40:46] = 0.3  # in the air, and nobody else sees it
    views = [*ball_views[:9], dataclasses.replace(ball_views[9], depth=depth), *ball_views[10:]]
    wrong = views[9].points[30:36, 40:46].reshape(-1, 3)
    points = surface_points(views, frame, 256)
    assert float(torch.cdist(points.positions, wrong).min()) > 0.1
    assert float(away(points.positions).quantile(0.99)) < 0.01


def test_nothing_met_is_one_line(ball_views, frame):
    empty = [
        dataclasses.replace(view, there=torch.zeros_like(view.there)) for view in ball_views[:3]
    ]
    with pytest.raises(DffError, match="nothing to export"):
        surface_points(empty, frame, 64)


def test_commonest_against_counting():
    group, value = torch.randint(0, 40, (3000,)), torch.randint(0, 5, (3000,))
    expected = []
    for number in range(40):
        counts = Counter(value[group == number].tolist())
        expected.append(max(counts, key=lambda kind, c=counts: (c[kind], kind)))
    assert commonest(group, value, 40).tolist() == expected


def test_spacing_of_a_lattice(fused):
    side = torch.arange(12) * 0.01
    lattice = torch.stack(torch.meshgrid(side, side, torch.zeros(1), indexing="ij"), dim=-1)
    lattice = lattice.reshape(-1, 3)
    few = fused.where(torch.arange(len(fused)) < len(lattice))
    points = dataclasses.replace(few, positions=lattice, side=torch.full((len(lattice),), 0.01))
    inner = spacing(points).view(12, 12)[2:-2, 2:-2]
    torch.testing.assert_close(inner, torch.full_like(inner, (4 + 2 * 2**0.5) / 600))
    alone = points.where(torch.arange(len(lattice)) == 0)
    assert spacing(alone).tolist() == alone.side.tolist()


def test_the_file_says_all_of_it(fused, tmp_path):
    plyfile = pytest.importorskip("plyfile")
    assert write_points(tmp_path / "points.ply", fused) == len(fused)
    vertex = plyfile.PlyData.read(str(tmp_path / "points.ply"))["vertex"]
    for name, column in zip("xyz", fused.positions.T, strict=True):
        np.testing.assert_array_equal(vertex[name], column.numpy())
    for name, column in zip(("nx", "ny", "nz"), fused.normals.T, strict=True):
        np.testing.assert_array_equal(vertex[name], column.numpy())
    np.testing.assert_array_equal(vertex["step"], fused.step.numpy())
    for name, column in zip(("red", "green", "blue"), fused.rgb.T, strict=True):
        np.testing.assert_allclose(vertex[name], column.numpy() * 255, atol=0.51)
