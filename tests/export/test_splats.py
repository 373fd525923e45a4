"""Splat files against the layout of the original, and seen through an independent renderer."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from scipy.ndimage import maximum_filter, minimum_filter
from scipy.spatial.transform import Rotation
from scipy.special import sph_harm_y

from dff.export.points import surface_points
from dff.export.splats import C0, splats_of, turn_z_to, write_splats

pytest.importorskip("plyfile")
from plyfile import PlyData

# What the original program writes, in its order: positions, normals, 3 + 45 coefficients of
# spherical harmonics to degree 3, opacity, 3 scales, 4 of a quaternion.
ORIGINAL = (
    ["x", "y", "z", "nx", "ny", "nz"]
    + [f"f_dc_{i}" for i in range(3)]
    + [f"f_rest_{i}" for i in range(3 * (4**2 - 1))]
    + ["opacity", "scale_0", "scale_1", "scale_2", "rot_0", "rot_1", "rot_2", "rot_3"]
)


@pytest.fixture(scope="module")
def projector() -> ModuleType:
    path = Path(__file__).with_name("splat_projector.py")
    spec = importlib.util.spec_from_file_location("splat_projector", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def written(ball_views, frame, tmp_path_factory) -> tuple[Path, int]:
    path = tmp_path_factory.mktemp("splats") / "splats.ply"
    return path, write_splats(path, splats_of(surface_points(ball_views, frame, 384)))


def test_the_layout_is_that_of_the_original(written):
    path, count = written
    assert path.read_bytes().startswith(b"ply\nformat binary_little_endian 1.0\n")
    (vertex,) = PlyData.read(str(path)).elements
    assert vertex.name == "vertex"
    assert [p.name for p in vertex.properties] == ORIGINAL
    assert {p.val_dtype for p in vertex.properties} == {"f4"}
    assert vertex.count == count > 3000
    assert len(ORIGINAL) == 62
    rows = np.stack([vertex[name] for name in ORIGINAL], axis=1)
    assert np.isfinite(rows).all()
    rotation = np.stack([vertex[f"rot_{i}"] for i in range(4)], axis=1)
    np.testing.assert_allclose(np.linalg.norm(rotation, axis=1), 1.0, atol=1e-5)


def test_the_constant_harmonic():
    assert pytest.approx(sph_harm_y(0, 0, 0.3, 0.4).real) == C0


def test_discs_lie_in_the_surface(written):
    vertex = PlyData.read(str(written[0]))["vertex"]
    rotation = np.stack([vertex[f"rot_{i}"] for i in (1, 2, 3, 0)], axis=1)  # scipy: x y z w
    scales = np.exp(np.stack([vertex[f"scale_{i}"] for i in range(3)], axis=1))
    assert (scales.argmin(axis=1) == 2).all()
    across = Rotation.from_quat(rotation).apply([0.0, 0.0, 1.0])
    normals = np.stack([vertex[name] for name in ("nx", "ny", "nz")], axis=1)
    np.testing.assert_allclose(across, normals, atol=1e-4)


def test_turns_take_z_to_any_direction():
    wanted = torch.nn.functional.normalize(torch.randn(200, 3), dim=1)
    wanted = torch.cat([wanted, torch.tensor([[0.0, 0, -1], [0, 0, 1], [1, 0, 0]])])
    w, x, y, z = turn_z_to(wanted).numpy().T
    turned = Rotation.from_quat(np.stack([x, y, z, w], axis=1)).apply([0.0, 0.0, 1.0])
    np.testing.assert_allclose(turned, wanted.numpy(), atol=1e-5)


def test_an_independent_renderer_sees_the_scene(written, projector, make_view):
    """From places between the cameras: right colours on the right side, and no holes."""
    splats = projector.read_splats(written[0])
    for azimuth, height in ((0.5, 0.5), (2.9, 0.1)):
        view = make_view(azimuth, height)
        seen, opacity = projector.project_splats(
            splats,
            view.pose.numpy(),
            tuple(view.focal.tolist()),
            tuple(view.centre.tolist()),
            view.size,
        )
        # Discs reach a pixel over the edge of things; within things the picture is right.
        inner = inside_things(view.rgb.numpy())
        assert inner.mean() > 0.7
        error = (seen - view.rgb.numpy()) ** 2
        assert -10 * np.log10(error[inner].mean()) > 35
        assert -10 * np.log10(error.mean()) > 18
        there = view.there.numpy()
        assert (opacity[there] > 0.8).mean() > 0.97
        assert opacity[inner & ~there].max() < 0.01


def inside_things(rgb: np.ndarray) -> np.ndarray:
    """Pixels all of whose neighbours up to two steps away have one colour."""
    low, high = (f(rgb, size=(5, 5, 1)) for f in (minimum_filter, maximum_filter))
    return (high - low).max(axis=2) < 1e-3


def test_colours_come_back(written, projector, ball_views, frame):
    points = surface_points(ball_views, frame, 384)
    back = projector.read_splats(written[0])
    np.testing.assert_allclose(back["rgb"], points.rgb.numpy(), atol=1e-5)
    np.testing.assert_allclose(back["mean"], points.positions.numpy(), atol=1e-6)
    np.testing.assert_allclose(back["opacity"], 0.95, atol=1e-4)
