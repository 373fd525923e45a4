"""The fused mesh against a ball and a table known in closed form."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
import trimesh

from dff.errors import DffError
from dff.export import tsdf
from dff.export.mesh import surface_mesh

VOXEL = 4 / 192


@pytest.fixture(scope="module")
def made(ball_views, frame):
    return surface_mesh(ball_views, frame, 192)


def test_vertices_lie_on_the_surfaces(made, away):
    distance = away(torch.from_numpy(made.vertices))
    assert len(distance) > 2000
    assert float(distance.median()) < 0.1 * VOXEL
    assert float(distance.quantile(0.98)) < VOXEL


def test_faces_look_outwards(made, true_normals):
    shape = trimesh.Trimesh(made.vertices, made.faces, process=False)
    wanted = true_normals(torch.from_numpy(made.vertices)).numpy()
    facing = (shape.vertex_normals * wanted).sum(axis=1)
    assert np.median(facing) > 0.99
    assert (facing > 0).mean() > 0.99


def test_the_whole_surface_is_there(made):
    shape = trimesh.Trimesh(made.vertices, made.faces, process=False)
    height = shape.triangles_center[:, 2]
    # Archimedes: a zone of a sphere has the area 2 pi r h. The lowest tenth no camera sees well.
    ball = shape.area_faces[height > -0.18].sum()
    assert ball == pytest.approx(2 * np.pi * 0.35 * 0.63, rel=0.03)
    ground = shape.area_faces[height < -0.36].sum()
    assert ground == pytest.approx(np.pi * 0.8**2, rel=0.08)


def test_colours_are_those_of_the_surface(made):
    on_ball = made.vertices[:, 2] > -0.2
    red, blue = on_ball & (made.vertices[:, 0] > 0.05), on_ball & (made.vertices[:, 0] < -0.05)
    assert np.abs(made.colours[red].astype(float) - [229.5, 25.5, 25.5]).max() < 3
    assert np.abs(made.colours[blue].astype(float) - [25.5, 51, 229.5]).max() < 3


def test_slabs_leave_no_seams(ball_views, frame, monkeypatch):
    volume = tsdf.fuse(ball_views, frame, 96)
    monkeypatch.setattr(tsdf, "SLAB", 1000)
    whole = tsdf.surface(volume)
    monkeypatch.setattr(tsdf, "SLAB", 7)
    parts = tsdf.surface(volume)
    assert len(parts[0]) == len(whole[0])
    areas = [trimesh.Trimesh(v, f, process=False).area for v, f in (whole, parts)]
    assert areas[0] == pytest.approx(areas[1], rel=1e-6)
    assert len(parts[1]) == len(whole[1])


def test_distances_of_exactly_zero_at_the_border_are_surface_too():
    size, count = 6, 0
    for seed in range(20):
        generator = torch.Generator().manual_seed(seed)
        values = torch.randint(-1, 2, (size**3,), generator=generator).float()
        volume = tsdf.DistanceVolume(size, torch.arange(size**3), values, torch.ones(size**3))
        vertices, faces = tsdf.surface(volume)
        assert ((vertices >= 0.5 / size) & (vertices <= 1 - 0.5 / size)).all()
        count += len(faces)
    assert count > 1000


def test_what_lies_far_away_is_left_out_unless_asked_for(ball_views, frame):
    radius = 3.0
    walled = []
    for view in ball_views:
        across = view.directions @ view.pose[:, 3]
        reach = -across + (across**2 + radius**2 - view.pose[:, 3].square().sum()).sqrt()
        depth = torch.where(view.there, view.depth, reach)
        walled.append(dataclasses.replace(view, depth=depth, there=torch.ones_like(view.there)))
    near = surface_mesh(walled, frame, 96)
    assert np.abs(near.vertices).max() < 1.2
    wide = surface_mesh(walled, frame, 96, background=True)
    far = np.linalg.norm(wide.vertices, axis=1)
    assert np.median(np.abs(far[far > 1.5] - radius)) < 0.03
    assert (far > 1.5).sum() > 500


def test_nothing_that_views_agree_on_is_one_line(ball_views, frame):
    mist = [
        dataclasses.replace(view, depth=0.2 + 0.6 * torch.rand(view.size), there=view.depth > 0)
        for view in ball_views
    ]
    with pytest.raises(DffError, match="no mesh to export") as error:
        surface_mesh(mist, frame, 64)
    assert "\n" not in str(error.value)
