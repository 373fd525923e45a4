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


def test_the_whole_surface_is_there(made, ball_views):
    shape = trimesh.Trimesh(made.vertices, made.faces, process=False)
    ball = shape.triangles_center[:, 2] > -0.26
    area = shape.area_faces[ball].sum()
    assert area == pytest.approx(4 * np.pi * 0.35**2, rel=0.06)
    ground = shape.area_faces[shape.triangles_center[:, 2] < -0.36].sum()
    assert ground == pytest.approx(np.pi * 0.8**2, rel=0.12)


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


def test_what_lies_far_away_is_left_out_unless_asked_for(ball_views, frame):
    far = []
    for view in ball_views:
        origin, rays = view.pose[:, 3], view.directions
        wall = (3.0 - (origin * rays).sum(-1) * 0) * torch.ones(view.size)
        reach = wall - (origin @ origin).sqrt() * 0
        depth = torch.where(view.there, view.depth, reach)
        far.append(dataclasses.replace(view, depth=depth, there=torch.ones_like(view.there)))
    near = surface_mesh(far, frame, 96)
    assert np.abs(near.vertices).max() < 1.2


def test_nothing_that_views_agree_on_is_one_line(ball_views, frame):
    mist = [
        dataclasses.replace(view, depth=0.2 + 0.6 * torch.rand(view.size), there=view.depth > 0)
        for view in ball_views
    ]
    with pytest.raises(DffError, match="no mesh to export") as error:
        surface_mesh(mist, frame, 64)
    assert "\n" not in str(error.value)
