"""A browser's camera and the scene's: there and back, and where its rays go."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from nerfstudio.cameras.camera_paths import get_path_from_json

from dff.editor.flights import Flight, flown, matrix_of, path_file
from dff.editor.lenses import Eye, eye_of
from dff.errors import DffError

number = st.floats(-2, 2).map(lambda value: round(value, 3))


def unit(quaternion) -> tuple[float, float, float, float]:
    array = np.asarray(quaternion) / np.linalg.norm(quaternion)
    return tuple(float(each) for each in array)


eyes = st.builds(
    lambda q, p, fov, aspect: Eye(unit(q), p, fov, aspect),
    st.tuples(*[number] * 4).filter(lambda q: np.linalg.norm(q) > 0.1),
    st.tuples(*[number] * 3),
    st.floats(0.2, 2.5),
    st.floats(0.5, 2.0),
)


@given(eyes)
def test_there_and_back(eye):
    found = eye_of(eye.camera(512))
    same = np.dot(found.wxyz, eye.wxyz)
    assert abs(same) == pytest.approx(1.0, abs=1e-5)  # q and -q are one rotation
    assert found.position == pytest.approx(eye.position, abs=1e-5)
    assert found.fov == pytest.approx(eye.fov, rel=1e-4)
    assert found.aspect == pytest.approx(eye.aspect, rel=0.01)


def test_the_axes_of_a_browser():
    # In the browser's convention (x right, y down, z forward) this one looks along +x, head up.
    forward, down = np.array([1.0, 0, 0]), np.array([0, 0, -1.0])
    rotation = np.stack([np.cross(down, forward), down, forward], axis=1)
    w = math.sqrt(1 + np.trace(rotation)) / 2
    x = (rotation[2, 1] - rotation[1, 2]) / (4 * w)
    y = (rotation[0, 2] - rotation[2, 0]) / (4 * w)
    z = (rotation[1, 0] - rotation[0, 1]) / (4 * w)
    eye = Eye((w, x, y, z), (0.5, 0.0, 0.25), math.radians(60), 2.0)
    rays = eye.camera(200).generate_rays(camera_indices=0, keep_shape=True)
    assert rays.origins[50, 100].tolist() == pytest.approx([0.5, 0.0, 0.25])
    middle = rays.directions[49:51, 99:101].mean(dim=(0, 1))
    assert middle.tolist() == pytest.approx([1.0, 0.0, 0.0], abs=1e-3)
    # The upper edge looks up by half the field of view.
    upper = (rays.directions[0, 99:101]).mean(dim=0)
    assert math.degrees(math.asin(float(upper[2]))) == pytest.approx(30, abs=0.5)
    # The right edge is at -y, where one looks along +x with z up.
    assert float(rays.directions[50, -1, 1]) < 0


@pytest.mark.parametrize(
    ("aspect", "size"), [(2.0, (100, 50)), (0.5, (50, 100)), (1.0, (100, 100))]
)
def test_the_longer_side_has_the_pixels_asked_for(aspect, size):
    camera = Eye((1, 0, 0, 0), (0, 0, 0), 1.0, aspect).camera(100)
    assert (int(camera.width), int(camera.height)) == size


def a_flight(**changes) -> Flight:
    made = [
        Eye(unit((1, 0.1 * k, 0.05 * k * k, 0)), (float(k), k * k / 4, 0.5), 0.8 + 0.1 * k, 1.5)
        for k in range(3)
    ]
    return Flight(tuple(made), **{"seconds": 2.0, "fps": 10.0, **changes})


def test_a_flight_goes_through_its_views():
    flight = a_flight()
    found = flown(flight)
    assert len(found) == 20
    for shown, eye in ((found[0], flight.eyes[0]), (found[-1], flight.eyes[-1])):
        assert shown.position == pytest.approx(eye.position)
        assert abs(np.dot(shown.wxyz, eye.wxyz)) == pytest.approx(1.0)
        assert shown.fov == pytest.approx(eye.fov)
    # 21 pictures have one in the middle of time, where the middle view is.
    middle = flown(a_flight(seconds=2.1))[10]
    assert middle.position == pytest.approx(flight.eyes[1].position)


def test_a_loop_has_no_jump():
    found = flown(a_flight(loop=True, seconds=6.0))
    places = np.array([eye.position for eye in found])
    steps = np.linalg.norm(np.diff(places, axis=0, append=places[:1]), axis=1)
    assert steps[-1] < 2 * np.median(steps)


def test_nerfstudio_reads_the_path_that_is_saved():
    flight = a_flight(height=90)
    data = path_file(flight)
    cameras = get_path_from_json(data)
    assert (data["render_height"], data["render_width"]) == (90, 136)
    for camera, eye in zip(cameras.camera_to_worlds, flown(flight), strict=True):
        expected = torch.from_numpy(matrix_of(eye)[:3]).float()
        assert torch.allclose(camera, expected, atol=1e-5)
    # nerfstudio takes the field of view for the vertical one.
    focal = 45 / math.tan(flight.eyes[0].fov / 2)
    assert float(cameras.fy[0]) == pytest.approx(focal, rel=1e-4)


@pytest.mark.parametrize(
    ("flight", "said"),
    [
        (Flight(), "two views"),
        (Flight(a_flight().eyes[:1]), "two views"),
        (a_flight(seconds=0.0), "up to 600 seconds"),
        (a_flight(fps=500.0), "1 to 60"),
    ],
)
def test_what_is_no_flight(flight, said):
    with pytest.raises(DffError, match=said):
        flown(flight)
