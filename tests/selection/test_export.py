"""Exported selections, loaded back by other programs and held against closed-form shapes."""

from __future__ import annotations

import math
import os

import numpy as np
import pytest
import torch
import trimesh

from dff.errors import DffError
from dff.fields.contraction import to_unit_cube
from dff.selection.export import export_selection
from dff.selection.frame import Frame, voxel_corners
from dff.selection.mask_formats import write_mask_volume
from dff.selection.mesh import mesh_of, write_mesh
from dff.selection.point_cloud import write_point_cloud
from dff.selection.selection import Selection
from dff.selection.surface_grid import SurfaceGrid

BOX = torch.tensor([[-2.0, -2.0, -1.0], [2.0, 2.0, 1.0]])
CONTRACTED, BOXED = Frame(BOX, True), Frame(BOX, False)
RED = torch.tensor([204, 26, 51]) / 255
BLUE = torch.tensor([26, 77, 230]) / 255


def sphere(centre: tuple[float, ...], radius: float, count: int) -> torch.Tensor:
    """Evenly spread points, by the golden angle."""
    k = torch.arange(count) + 0.5
    z = 1 - 2 * k / count
    angle = math.pi * (1 + 5**0.5) * k
    flat = (1 - z * z).sqrt()
    return torch.tensor(centre) + radius * torch.stack(
        [flat * angle.cos(), flat * angle.sin(), z], dim=1
    )


def selected_ball(
    frame: Frame, centre: tuple[float, ...], radius: float, resolution: int = 96
) -> Selection:
    """A ball, red above and blue below its centre, selected, and another one that is not."""
    ball = sphere(centre, radius, 20_000)
    other = sphere((-0.6, -0.6, 0.0), 0.1, 2000)
    rgb = torch.where((ball[:, 2] > centre[2])[:, None], RED, BLUE)
    world = torch.cat([ball, other])
    unit = to_unit_cube(world, BOX, frame.contracted)
    colours = torch.cat([rgb, torch.zeros(len(other), 3)])
    grid = SurfaceGrid.build(unit, world, torch.ones(len(world), 2), colours, resolution)
    away = (grid.points - torch.tensor(centre)).norm(dim=1)
    values = torch.where(away < 1.1 * radius, 0.5 + 0.5 * torch.rand(len(grid)), 0.25)
    return Selection(grid, values, made_by=("a ball",))


BALL = selected_ball(CONTRACTED, (0.3, 0.2, 0.1), 0.4)
CHOSEN = BALL.values >= 0.5


def nothing(selection: Selection) -> Selection:
    return Selection(selection.grid, torch.zeros(len(selection.grid)))


@pytest.mark.parametrize("frame", [CONTRACTED, BOXED])
def test_a_frame_is_the_inverse_of_the_way_into_the_cube(frame):
    world = torch.randn(2000, 3) * (5.0 if frame.contracted else 1.0)
    back = frame.world(to_unit_cube(world.double(), BOX.double(), frame.contracted))
    torch.testing.assert_close(back, world.double(), rtol=1e-6, atol=1e-9)


def test_voxel_corners_against_numpy():
    voxels = torch.randint(0, 7**3, (50,))
    expected = np.stack(np.unravel_index(voxels.numpy(), (7, 7, 7)), axis=1)
    np.testing.assert_array_equal(voxel_corners(voxels, 7).numpy(), expected)


class TestPointCloud:
    def test_trimesh_reads_what_was_selected(self, tmp_path):
        path = tmp_path / "points.ply"
        assert write_point_cloud(path, BALL) == BALL.count
        cloud = trimesh.load(path, process=False)
        points = BALL.grid.points[CHOSEN].numpy()
        np.testing.assert_allclose(cloud.vertices, points, atol=1e-7)
        np.testing.assert_allclose(
            cloud.bounds, [points.min(axis=0), points.max(axis=0)], atol=1e-7
        )
        rgb = BALL.grid.rgb[CHOSEN].numpy() * 255
        np.testing.assert_allclose(np.asarray(cloud.colors)[:, :3], rgb, atol=0.5 + 1e-4)
        vertices = cloud.metadata["_ply_raw"]["vertex"]["data"]
        np.testing.assert_array_equal(
            np.asarray(vertices["selection"]).ravel(), BALL.values[CHOSEN].numpy()
        )

    def test_open3d_reads_the_same(self, tmp_path):
        open3d = pytest.importorskip("open3d")
        path = tmp_path / "points.ply"
        write_point_cloud(path, BALL)
        cloud = open3d.io.read_point_cloud(str(path))
        np.testing.assert_allclose(
            np.asarray(cloud.points), BALL.grid.points[CHOSEN].numpy(), atol=1e-7
        )
        np.testing.assert_allclose(
            np.asarray(cloud.colors), BALL.grid.rgb[CHOSEN].numpy(), atol=0.5 / 255 + 1e-6
        )


class TestMesh:
    def test_a_ball_seen_all_round_is_one_closed_outward_surface(self):
        mesh = mesh_of(BALL, CONTRACTED)
        shape = trimesh.Trimesh(mesh.vertices, mesh.faces, process=False)
        assert shape.is_watertight
        assert shape.euler_number == 2
        voxel = 4 / 96
        away = np.linalg.norm(mesh.vertices - [0.3, 0.2, 0.1], axis=1)
        assert np.abs(away - 0.4).max() < 0.5 * voxel
        assert shape.volume == pytest.approx(4 / 3 * math.pi * 0.4**3, rel=0.05)

    def test_colours_come_from_the_nearest_voxel(self):
        mesh = mesh_of(BALL, CONTRACTED)
        above = mesh.vertices[:, 2] > 0.1 + 0.08
        below = mesh.vertices[:, 2] < 0.1 - 0.08
        assert (mesh.colours[above] == np.round(RED.numpy() * 255)).all()
        assert (mesh.colours[below] == np.round(BLUE.numpy() * 255)).all()
        assert min(above.sum(), below.sum()) > 500

    def test_far_away_vertices_return_through_the_contraction(self):
        far = selected_ball(CONTRACTED, (0.0, 6.0, 0.0), 3.0)
        mesh = mesh_of(far, CONTRACTED)
        unit = to_unit_cube(torch.from_numpy(mesh.vertices), BOX, True)
        seen = to_unit_cube(far.grid.points[far.values >= 0.5], BOX, True)
        nearest = torch.cdist(unit.double(), seen.double()).min(dim=1).values
        assert float(nearest.max()) < 1 / 96
        low, high = mesh.vertices.min(axis=0), mesh.vertices.max(axis=0)
        assert 2.5 < low[1] < 3.1
        assert high[1] > 8.0

    def test_a_scene_box_is_scaled_not_contracted(self):
        boxed = selected_ball(BOXED, (1.2, 0.2, 0.1), 0.4)
        mesh = mesh_of(boxed, BOXED)
        offset = (mesh.vertices - [1.2, 0.2, 0.1]) / 0.4
        # Its voxels are half as high as wide.
        np.testing.assert_allclose(offset.max(axis=0), [1.0, 1.0, 1.0], atol=0.12)
        np.testing.assert_allclose(offset.min(axis=0), [-1.0, -1.0, -1.0], atol=0.12)

    def test_an_open_shell_stays_open(self):
        kept = BALL.grid.points[:, 2] > 0.1
        dome = Selection(BALL.grid, BALL.values * kept)
        mesh = mesh_of(dome, CONTRACTED)
        shape = trimesh.Trimesh(mesh.vertices, mesh.faces, process=False)
        assert shape.is_watertight
        assert not shape.contains([[0.3, 0.2, 0.2]])[0]

    def test_one_voxel_is_a_mesh_too(self):
        one = torch.zeros(len(BALL.grid))
        one[7] = 1.0
        mesh = mesh_of(Selection(BALL.grid, one), CONTRACTED)
        shape = trimesh.Trimesh(mesh.vertices, mesh.faces, process=False)
        voxel = 4 / 96
        assert shape.is_watertight
        assert 0 < shape.volume < voxel**3
        away = np.linalg.norm(mesh.vertices - BALL.grid.points[7].numpy(), axis=1)
        assert away.max() < voxel

    @pytest.mark.parametrize("suffix", [".ply", ".obj", ".glb"])
    def test_trimesh_reads_it_back(self, tmp_path, suffix):
        mesh = mesh_of(BALL, CONTRACTED)
        path = tmp_path / f"mesh{suffix}"
        write_mesh(path, mesh)
        back = trimesh.load(path, process=False, force="mesh")
        assert back.vertices.shape == mesh.vertices.shape
        assert back.faces.shape == mesh.faces.shape
        np.testing.assert_allclose(
            back.bounds, [mesh.vertices.min(axis=0), mesh.vertices.max(axis=0)], atol=1e-5
        )
        order, expected = (np.lexsort(np.round(v, 5).T) for v in (back.vertices, mesh.vertices))
        colours = np.asarray(back.visual.vertex_colors)[order, :3].astype(int)
        assert np.abs(colours - mesh.colours[expected].astype(int)).max() <= 1

    @pytest.mark.parametrize("suffix", [".ply", ".obj", ".glb"])
    def test_open3d_reads_it_back(self, tmp_path, suffix):
        open3d = pytest.importorskip("open3d")
        mesh = mesh_of(BALL, CONTRACTED)
        path = tmp_path / f"mesh{suffix}"
        write_mesh(path, mesh)
        back = open3d.io.read_triangle_mesh(str(path))
        assert len(back.triangles) == len(mesh.faces)
        np.testing.assert_allclose(back.get_min_bound(), mesh.vertices.min(axis=0), atol=1e-5)
        np.testing.assert_allclose(back.get_max_bound(), mesh.vertices.max(axis=0), atol=1e-5)
        assert len(back.vertex_colors) == len(back.vertices)


class TestMaskVolume:
    @pytest.mark.parametrize(
        ("frame", "centre"), [(CONTRACTED, (0.0, 3.0, 0.0)), (BOXED, (1.2, 0.2, 0.1))]
    )
    def test_cells_lie_where_the_file_says(self, tmp_path, frame, centre):
        ball = selected_ball(frame, centre, 0.6)
        path = tmp_path / "volume.npz"
        assert write_mask_volume(path, ball, frame) == ball.count
        with np.load(path, allow_pickle=False) as file:
            kept = dict(file)
        assert kept["mask"].sum() == ball.count == len(kept["index"])
        assert kept["mask"][tuple(kept["index"].T)].all()
        assert all(kept["mask"].any(axis=axis).any() for axis in range(3))
        np.testing.assert_array_equal(kept["values"][tuple(kept["index"].T)], kept["value"])
        np.testing.assert_allclose(kept["bounds"][0], kept["point"].min(axis=0))
        # The way back to the world as `about` tells it, against what was seen in each voxel.
        unit = kept["origin"] + (kept["index"] + 0.5) * kept["voxel_size"]
        world = to_unit_cube(torch.from_numpy(kept["point"]).double(), BOX, frame.contracted)
        assert np.abs(unit - world.numpy()).max() <= 0.5 * kept["voxel_size"] + 1e-6
        if kept["contracted"]:
            c = 4 * (unit - 0.5)
            n = np.abs(c).max(axis=1, keepdims=True)
            place = np.where(n <= 1, c, c / (n * (2 - n)))
        else:
            place = kept["aabb"][0] + unit * (kept["aabb"][1] - kept["aabb"][0])
        expected = frame.world(torch.from_numpy(unit)).numpy()
        np.testing.assert_allclose(place, expected, rtol=1e-5, atol=1e-6)

    def test_the_crop_is_tight(self, tmp_path):
        write_mask_volume(tmp_path / "volume.npz", BALL, CONTRACTED)
        with np.load(tmp_path / "volume.npz") as file:
            mask, index = file["mask"], file["index"]
        assert (index.min(axis=0) == 0).all()
        assert tuple(index.max(axis=0) + 1) == mask.shape


def test_formats_by_name(tmp_path):
    wanted = ["points", "mesh-obj", "volume", "points"]
    written = export_selection(BALL, CONTRACTED, tmp_path / "new", wanted)
    assert [path.name for path in written] == ["points.ply", "mesh.obj", "volume.npz"]
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == sorted(
        path.name for path in written
    )


@pytest.mark.parametrize(
    "write",
    [
        lambda path, what: write_point_cloud(path.with_suffix(".ply"), what),
        lambda path, what: write_mesh(path.with_suffix(".obj"), mesh_of(what, CONTRACTED)),
        lambda path, what: write_mask_volume(path.with_suffix(".npz"), what, CONTRACTED),
    ],
)
class TestBadInput:
    def test_an_empty_selection_is_one_line(self, tmp_path, write):
        with pytest.raises(DffError, match="nothing to export") as error:
            write(tmp_path / "x", nothing(BALL))
        assert "\n" not in str(error.value)
        assert not list(tmp_path.iterdir())

    def test_a_place_that_cannot_be_written_is_one_line(self, tmp_path, write):
        (tmp_path / "file").write_text("in the way")
        with pytest.raises(DffError, match="cannot write"):
            write(tmp_path / "file" / "x", BALL)

    @pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
    def test_a_folder_without_permission_is_one_line(self, tmp_path, write):
        folder = tmp_path / "locked"
        folder.mkdir(mode=0o500)
        with pytest.raises(DffError, match="cannot write"):
            write(folder / "x", BALL)


@pytest.mark.parametrize(
    ("write", "known"),
    [
        (lambda: write_point_cloud, r"\.ply"),
        (lambda: lambda p, s: write_mesh(p, mesh_of(s, CONTRACTED)), r"\.ply, \.obj or \.glb"),
        (lambda: lambda p, s: write_mask_volume(p, s, CONTRACTED), r"\.npz"),
    ],
)
def test_another_suffix_is_one_line(tmp_path, write, known):
    with pytest.raises(DffError, match=known):
        write()(tmp_path / "x.stl", BALL)
    assert not list(tmp_path.iterdir())
