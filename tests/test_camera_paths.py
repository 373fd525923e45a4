"""Cameras to render from: geometry in closed form, and files that somebody else wrote."""

from __future__ import annotations

import json
import math

import pytest
import torch
from nerfstudio.cameras.cameras import Cameras

from dff.camera_paths import (
    covered_arc,
    focus_point,
    look_at,
    orbit,
    read_camera_path,
    spiral,
)
from dff.errors import DffError

UP = torch.tensor([0.0, 0.0, 1.0])


def ring(angles: list[float], target=(0.3, -0.2, 0.1), radius=2.0, height=0.8) -> Cameras:
    """Cameras around a target, looking at it."""
    target = torch.tensor(target)
    around = [
        target + torch.tensor([radius * math.cos(a), radius * math.sin(a), height]) for a in angles
    ]
    poses = torch.stack([look_at(place, target, UP) for place in around])
    return Cameras(poses, fx=50.0, fy=50.0, cx=20.0, cy=15.0, width=40, height=30)


def test_focus_point_is_where_all_axes_meet():
    target = torch.tensor([1.0, -2.0, 0.5])
    origins = torch.randn(7, 3) * 3
    directions = (target - origins) * torch.rand(7, 1)  # of any length
    torch.testing.assert_close(focus_point(origins, directions), target, rtol=0, atol=2e-5)


def test_focus_point_of_two_skew_axes_is_halfway_between_them():
    origins = torch.tensor([[0.0, -3.0, 0.0], [-4.0, 0.0, 1.0]])
    directions = torch.tensor([[0.0, 1.0, 0.0], [1.0, 0.0, 0.0]])
    found = focus_point(origins, directions)
    torch.testing.assert_close(found, torch.tensor([0.0, 0.0, 0.5]), rtol=0, atol=1e-4)


def test_focus_point_of_parallel_axes_is_finite():
    origins = torch.randn(5, 3)
    assert torch.isfinite(focus_point(origins, torch.tensor([[0.0, 0.0, -1.0]] * 5))).all()


def test_look_at_is_a_rotation_that_points_at_the_target():
    for _ in range(20):
        origin, target = torch.randn(3), torch.randn(3)
        pose = look_at(origin, target, UP)
        turn = pose[:, :3]
        torch.testing.assert_close(turn @ turn.T, torch.eye(3), rtol=0, atol=1e-5)
        assert float(torch.linalg.det(turn)) == pytest.approx(1.0, abs=1e-4)
        torch.testing.assert_close(pose[:, 3], origin)
        towards = (target - origin) / (target - origin).norm()
        torch.testing.assert_close(-turn[:, 2], towards, rtol=0, atol=1e-5)
        assert float(turn[2, 0]) == pytest.approx(0.0, abs=1e-6)  # the horizon is level
        assert float(turn[2, 1]) >= 0  # and up is up


def test_look_at_straight_down_is_still_a_rotation():
    turn = look_at(torch.tensor([0.0, 0.0, 2.0]), torch.zeros(3), UP)[:, :3]
    torch.testing.assert_close(turn @ turn.T, torch.eye(3), rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("degrees", "start", "span"),
    [
        ([10.0, 40.0, 90.0], 10, 80),
        ([350.0, 10.0, 30.0], 350, 40),  # across zero
        ([-10.0, 10.0, 30.0], 350, 40),
        ([0.0, 90.0, 180.0, 270.0], None, 270),  # the widest gap is any of four
        ([120.0], 120, 0),
        ([200.0, 200.0, 200.0], 200, 0),
        ([0.0, 180.0], None, 180),
    ],
)
def test_covered_arc(degrees, start, span):
    found_start, found_span = covered_arc(torch.deg2rad(torch.tensor(degrees)))
    assert math.degrees(found_span) == pytest.approx(span, abs=1e-3)
    if start is not None:
        assert math.degrees(found_start) % 360 == pytest.approx(start, abs=1e-3)
    for degree in degrees:
        past = (math.radians(degree) - found_start) % (2 * math.pi)
        assert past <= found_span + 1e-5 or past >= 2 * math.pi - 1e-5


def path_angles(cameras: Cameras, frames: int, target=(0.3, -0.2, 0.1)) -> list[float]:
    places = [
        shot.camera.camera_to_worlds[0, :, 3] - torch.tensor(target)
        for shot in orbit(cameras, frames)
    ]
    return [math.atan2(float(place[1]), float(place[0])) for place in places]


def test_an_orbit_of_a_part_stays_on_that_part_and_comes_back():
    angles = path_angles(ring([0.2, 0.5, 0.9, 1.3]), 40)
    assert min(angles) >= 0.2 - 1e-4
    assert max(angles) <= 1.3 + 1e-4
    assert max(angles) == pytest.approx(1.3, abs=1e-2)
    assert angles[0] == pytest.approx(0.2, abs=1e-4)
    assert abs(angles[-1] - angles[0]) < 0.05


def test_an_orbit_of_a_part_across_the_seam_stays_there_too():
    angles = path_angles(ring([math.pi - 0.3, math.pi + 0.3]), 16)
    assert all(abs(abs(angle) - math.pi) <= 0.3 + 1e-4 for angle in angles)


def test_an_orbit_all_the_way_round_is_an_even_circle_at_the_cameras_distance_and_height():
    cameras = ring([2 * math.pi * i / 12 for i in range(12)])
    shots = orbit(cameras, 8)
    assert [shot.name for shot in shots] == [f"{i:05d}" for i in range(8)]
    target = torch.tensor([0.3, -0.2, 0.1])
    places = torch.stack([shot.camera.camera_to_worlds[0, :, 3] for shot in shots]) - target
    torch.testing.assert_close(places[:, :2].norm(dim=-1), torch.full((8,), 2.0))
    torch.testing.assert_close(places[:, 2], torch.full((8,), 0.8))
    turns = torch.diff(torch.atan2(places[:, 1], places[:, 0])).remainder(2 * math.pi)
    torch.testing.assert_close(turns, torch.full((7,), math.pi / 4), rtol=0, atol=1e-4)
    for shot in shots:
        pose = shot.camera.camera_to_worlds[0]
        along = (target - pose[:, 3]) / (target - pose[:, 3]).norm()
        torch.testing.assert_close(-pose[:, 2], along, rtol=0, atol=1e-4)
        assert (int(shot.camera.width), int(shot.camera.height)) == (40, 30)


@pytest.mark.parametrize("frames", [0, -3, 10**9])
def test_an_orbit_of_no_frames_or_far_too_many_is_refused(frames):
    with pytest.raises(DffError, match="orbit needs"):
        orbit(ring([0.0, 1.0]), frames)


def test_a_spiral_starts_at_the_middle_camera_goes_out_and_comes_back():
    # The third has the least way to the others.
    cameras = ring([0.0, 0.2, 0.6, 0.7, 1.3])
    target = torch.tensor([0.3, -0.2, 0.1])
    start = cameras.camera_to_worlds[2, :, 3]
    shots = spiral(cameras, 24)
    assert [shot.name for shot in shots] == [f"{i:05d}" for i in range(24)]
    away = float((target - start).norm())
    for index, shot in enumerate(shots):
        s = index / 24
        pose = shot.camera.camera_to_worlds[0]
        # By hand: right and up of an upright camera at the start that looks at the target.
        ahead = (target - start) / away
        right = torch.linalg.cross(ahead, UP)
        right = right / right.norm()
        up = torch.linalg.cross(right, ahead)
        reach = 0.25 * math.sin(math.pi * s) * away
        turn = 2 * math.pi * 2 * s
        place = start + reach * (math.cos(turn) * right + math.sin(turn) * up)
        torch.testing.assert_close(pose[:, 3], place, rtol=0, atol=2e-4)
        towards = (target - place) / (target - place).norm()
        torch.testing.assert_close(-pose[:, 2], towards, rtol=0, atol=2e-4)
        assert float(pose[2, 0]) == pytest.approx(0.0, abs=1e-5)  # the horizon is level
        assert (int(shot.camera.width), int(shot.camera.height)) == (40, 30)
        assert float(shot.camera.fx) == 50.0


def test_a_spiral_has_no_jump_where_it_begins_again():
    places = [shot.camera.camera_to_worlds[0, :, 3] for shot in spiral(ring([0.2, 0.6]), 60)]
    steps = [float((b - a).norm()) for a, b in zip(places, places[1:] + places[:1], strict=True)]
    assert max(steps) < 0.2
    assert steps[-1] < 0.05


@pytest.mark.parametrize("frames", [0, -3, 10**9])
def test_a_spiral_of_no_frames_or_far_too_many_is_refused(frames):
    with pytest.raises(DffError, match="spiral needs"):
        spiral(ring([0.0, 1.0]), frames)


def camera_path(**more) -> dict:
    """What nerfstudio's viewer saves."""
    pose = look_at(torch.tensor([1.0, 2.0, 0.5]), torch.zeros(3), UP)
    matrix = torch.cat([pose, torch.tensor([[0.0, 0.0, 0.0, 1.0]])])
    frame = {"camera_to_world": matrix.flatten().tolist(), "fov": 60.0, "aspect": 1.5}
    path = {
        "camera_type": "perspective",
        "render_height": 20,
        "render_width": 30,
        "fps": 12,
        "seconds": 0.25,
        "camera_path": [frame, frame, frame],
    }
    return {**path, **more}


def test_a_camera_path_of_nerfstudio_is_read(tmp_path):
    path = tmp_path / "path.json"
    path.write_text(json.dumps(camera_path()))
    shots, fps = read_camera_path(path)
    assert fps == 12
    assert [shot.name for shot in shots] == ["00000", "00001", "00002"]
    for shot in shots:
        camera = shot.camera
        assert (int(camera.width), int(camera.height)) == (30, 20)
        # The field of view is the vertical one: f = (h / 2) / tan(fov / 2).
        assert float(camera.fx) == pytest.approx(10 / math.tan(math.radians(30)), rel=1e-5)
        torch.testing.assert_close(camera.camera_to_worlds[0, :, 3], torch.tensor([1.0, 2.0, 0.5]))


def test_a_camera_path_of_another_aspect_has_the_size_that_it_says(tmp_path):
    path = tmp_path / "path.json"
    path.write_text(json.dumps(camera_path(render_width=13, render_height=41)))
    camera = read_camera_path(path)[0][0].camera
    assert (int(camera.width), int(camera.height)) == (13, 41)
    assert (float(camera.cx), float(camera.cy)) == (6.5, 20.5)
    assert float(camera.fx) == float(camera.fy)  # pixels stay square


def without(key: str) -> dict:
    return {name: value for name, value in camera_path().items() if name != key}


def frame_with(**more) -> dict:
    return camera_path(camera_path=[{**camera_path()["camera_path"][0], **more}])


BROKEN_PATHS = {
    "not json": "{",
    "empty": "",
    "a list": "[]",
    "a number": "3",
    "null": "null",
    "not text": b"\xff\xfe\x00",
    "no frames": camera_path(camera_path=[]),
    "frames missing": without("camera_path"),
    "frames are a number": camera_path(camera_path=3),
    "frames are null": camera_path(camera_path=None),
    "a frame is text": camera_path(camera_path=["x"]),
    "no height": without("render_height"),
    "no width": without("render_width"),
    "height zero": camera_path(render_height=0),
    "width negative": camera_path(render_width=-4),
    "width enormous": camera_path(render_width=10**9),
    "width is text": camera_path(render_width="wide"),
    "width is null": camera_path(render_width=None),
    "fps zero": camera_path(fps=0),
    "fps text": camera_path(fps="fast"),
    "fps null": camera_path(fps=None),
    "pose too short": frame_with(camera_to_world=[1.0, 2.0]),
    "pose is text": frame_with(camera_to_world="identity"),
    "pose is null": frame_with(camera_to_world=None),
    "pose holds null": frame_with(camera_to_world=[None] * 16),
    "pose holds NaN": frame_with(camera_to_world=[math.nan] * 16),
    "fov text": frame_with(fov="wide"),
    "fov null": frame_with(fov=None),
    "fov zero": frame_with(fov=0),
    "fov NaN": frame_with(fov=math.nan),
    "type is a number": camera_path(camera_type=3),
    "for two eyes": camera_path(camera_type="omnidirectional"),
    "for two eyes in half a sphere": camera_path(camera_type="vr180"),
}


@pytest.mark.parametrize("case", BROKEN_PATHS)
def test_a_broken_camera_path_is_one_line(tmp_path, case):
    content = BROKEN_PATHS[case]
    path = tmp_path / "path.json"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        path.write_text(content if isinstance(content, str) else json.dumps(content))
    with pytest.raises(DffError) as raised:
        read_camera_path(path)
    assert "\n" not in str(raised.value)
    assert "path.json" in str(raised.value)


def test_a_camera_path_without_cameras_says_so(tmp_path):
    path = tmp_path / "path.json"
    path.write_text(json.dumps(camera_path(camera_path=[])))
    with pytest.raises(DffError, match=r"path\.json has no cameras: add some"):
        read_camera_path(path)


def test_a_missing_camera_path_is_one_line(tmp_path):
    with pytest.raises(DffError, match="no such camera path"):
        read_camera_path(tmp_path / "nothing.json")
    with pytest.raises(DffError):
        read_camera_path(tmp_path)
