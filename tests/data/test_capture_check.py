"""Bad captures: one clear line each, from the files on disk and through the data manager."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from nerfstudio.data.dataparsers.nerfstudio_dataparser import NerfstudioDataParserConfig
from PIL import Image

from dff.data.capture_check import capture_images, check_capture, check_transforms
from dff.data.datamanager import DFFDataManagerConfig
from dff.errors import DffError


def edit(capture: Path, change: Callable[[dict], object]) -> Path:
    """Change transforms.json; what ``change`` returns, if anything, takes its place."""
    path = capture / "transforms.json"
    meta = json.loads(path.read_text())
    changed = change(meta)
    path.write_text(json.dumps(meta if changed is None else changed))
    return capture


def open_manager(data: Path, cache: Path, teacher: str | None = "colour", mode: str = "val"):
    config = DFFDataManagerConfig(
        data=data,
        dataparser=NerfstudioDataParserConfig(),
        teachers=() if teacher is None else (teacher,),
        feature_cache=cache,
        train_num_rays_per_batch=64,
    )
    return config.setup(device="cpu", test_mode=mode)


def set_pose(index: int, change: Callable[[np.ndarray], object]) -> Callable[[dict], None]:
    def apply(meta: dict) -> None:
        matrix = np.array(meta["frames"][index]["transform_matrix"])
        changed = change(matrix)
        meta["frames"][index]["transform_matrix"] = np.asarray(
            matrix if changed is None else changed
        ).tolist()

    return apply


def keep(count: int) -> Callable[[dict], None]:
    return lambda meta: meta.update(frames=meta["frames"][:count])


def value(index: int, key: str, new: object) -> Callable[[dict], None]:
    return lambda meta: meta["frames"][index].update({key: new})


def same_place(meta: dict) -> None:
    for frame in meta["frames"]:
        for row in range(3):
            frame["transform_matrix"][row][3] = 1.0


def pose_nan(matrix: np.ndarray) -> None:
    matrix[1, 3] = math.nan


def pose_infinite(matrix: np.ndarray) -> None:
    matrix[0, 3] = math.inf


def pose_scaled(matrix: np.ndarray) -> None:
    matrix[:3, :3] *= 2


def pose_sheared(matrix: np.ndarray) -> None:
    matrix[0, :3] += 0.3


def without(*keys: str) -> Callable[[dict], None]:
    def apply(meta: dict) -> None:
        for key in keys:
            meta.pop(key)

    return apply


# How transforms.json is broken, and a word that the message must hold.
BROKEN: dict[str, tuple[Callable[[dict], object], str]] = {
    "no frames": (lambda meta: meta.update(frames=[]), "no images"),
    "frames missing": (without("frames"), "frames"),
    "frames null": (lambda meta: meta.update(frames=None), "transforms.json"),
    "frames text": (lambda meta: meta.update(frames="all"), "transforms.json"),
    "frames of numbers": (lambda meta: meta.update(frames=[1, 2]), "transforms.json"),
    "a list": (lambda meta: [meta], "transforms.json"),
    "null": (lambda meta: [][:0] or 0, "transforms.json"),
    "no file path": (lambda meta: meta["frames"][3].pop("file_path") and None, "file_path"),
    "file path number": (value(3, "file_path", 7), "transforms.json"),
    "file missing": (value(3, "file_path", "images/nothing.png"), "nothing.png"),
    "no pose": (
        lambda meta: meta["frames"][3].pop("transform_matrix") and None,
        "transform_matrix",
    ),
    "pose null": (value(3, "transform_matrix", None), "transforms.json"),
    "pose text": (value(3, "transform_matrix", "identity"), "transforms.json"),
    "pose mapping": (value(3, "transform_matrix", {"x": 1}), "transforms.json"),
    "pose ragged": (value(3, "transform_matrix", [[1.0], [1.0, 2.0]]), "transforms.json"),
    "pose of nulls": (value(3, "transform_matrix", [[None] * 4] * 4), "transforms.json"),
    "pose 3x3": (value(3, "transform_matrix", np.eye(3).tolist()), "4x4"),
    "pose flat": (value(3, "transform_matrix", [1.0] * 16), "4x4"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_transforms_file_is_one_line(capture, case):
    change, says = BROKEN[case]
    edit(capture, change)
    with pytest.raises(DffError, match=says) as raised:
        check_transforms(capture)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("content", [b"", b"{", b"not json", b"\xff\xfe\x00", b"[" * 100_000])
def test_a_transforms_file_that_is_not_json_is_one_line(capture, content):
    (capture / "transforms.json").write_bytes(content)
    with pytest.raises(DffError, match=r"transforms\.json") as raised:
        check_transforms(capture)
    assert "\n" not in str(raised.value)


def test_a_good_capture_passes(capture):
    check_transforms(capture)
    check_transforms(capture / "transforms.json")


def test_a_folder_that_is_not_there_is_one_line(tmp_path):
    with pytest.raises(DffError, match="no such capture"):
        check_transforms(tmp_path / "nothing")


def test_the_images_of_a_capture_are_those_it_names(capture):
    Image.new("RGB", (4, 4)).save(capture / "images" / "stray.png")
    assert [path.name for path in capture_images(capture)] == [
        f"IMG_{index:02d}.png" for index in range(12)
    ]


def test_the_images_of_a_plain_folder_are_all_of_them(capture, tmp_path):
    (capture / "images" / "notes.txt").write_text("")
    Image.new("RGB", (4, 4)).save(capture / "images" / "Z.JPG")
    assert len(capture_images(capture / "images")) == 13
    (tmp_path / "empty").mkdir()
    with pytest.raises(DffError, match="no images"):
        capture_images(tmp_path / "empty")


def test_a_file_instead_of_a_folder_is_one_line(capture):
    with pytest.raises(DffError):
        capture_images(capture / "images" / "IMG_00.png")


def break_image(name: str, how: str) -> Callable[[Path], None]:
    def apply(capture: Path) -> None:
        path = capture / "images" / name
        content = path.read_bytes()
        if how == "missing":
            path.unlink()
        elif how == "empty":
            path.write_bytes(b"")
        elif how == "text":
            path.write_text("this is no image")
        elif how == "truncated":
            path.write_bytes(content[: len(content) // 2])
        elif how == "size":
            Image.new("RGB", (30, 40)).save(path)

    return apply


# What is wrong with the capture, and a word that the message must hold.
BAD_CAPTURES: dict[str, tuple[Callable[[Path], object], str]] = {
    "no images": (lambda c: edit(c, keep(0)), "no images"),
    "one image": (lambda c: edit(c, keep(1)), "at least 2"),
    "image missing": (break_image("IMG_04.png", "missing"), "IMG_04.png"),
    "image empty": (break_image("IMG_04.png", "empty"), "IMG_04.png"),
    "image is text": (break_image("IMG_04.png", "text"), "IMG_04.png"),
    "image truncated": (break_image("IMG_04.png", "truncated"), "IMG_04.png"),
    "first image is text": (break_image("IMG_00.png", "text"), "IMG_00.png"),
    "size of an image": (break_image("IMG_04.png", "size"), "IMG_04.png is 30x40"),
    "size of all": (lambda c: edit(c, lambda m: m.update(w=48, h=36)), "its camera says 48x36"),
    "pose NaN": (lambda c: edit(c, set_pose(4, pose_nan)), "NaN"),
    "pose infinite": (lambda c: edit(c, set_pose(4, pose_infinite)), "NaN or infinity"),
    "pose scaled": (lambda c: edit(c, set_pose(4, pose_scaled)), "IMG_04.png"),
    "pose sheared": (lambda c: edit(c, set_pose(4, pose_sheared)), "IMG_04.png"),
    "pose zero": (lambda c: edit(c, set_pose(4, np.zeros_like)), "IMG_04.png"),
    "pose 3x4": (lambda c: edit(c, set_pose(4, lambda m: m[:3])), "4x4|matrix|pose"),
    "one place": (lambda c: edit(c, same_place), "same place"),
    "no focal length": (lambda c: edit(c, without("fl_x", "fl_y")), "fl_x|fx|focal"),
    "focal length text": (lambda c: edit(c, lambda m: m.update(fl_x="long")), "capture"),
    "focal length zero": (lambda c: edit(c, lambda m: m.update(fl_x=0, fl_y=0)), "focal|fl_x"),
}


@pytest.mark.parametrize("case", BAD_CAPTURES)
def test_a_bad_capture_is_one_line(capture, tmp_path, colour_teacher, case):
    change, says = BAD_CAPTURES[case]
    change(capture)
    with pytest.raises(DffError, match=says) as raised:
        open_manager(capture, tmp_path / "cache")
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("how", ["empty", "text", "truncated"])
def test_a_broken_image_is_one_line_without_a_teacher_too(capture, tmp_path, how):
    break_image("IMG_04.png", how)(capture)
    with pytest.raises(DffError) as raised:
        open_manager(capture, tmp_path / "cache", teacher=None)
    assert "\n" not in str(raised.value)


def test_a_broken_held_out_image_is_one_line_too(capture, tmp_path, colour_teacher):
    names = {f"IMG_{index:02d}.png" for index in range(12)}
    manager = open_manager(capture, tmp_path / "cache")
    held_out = names - {path.name for path in manager.train_dataset.image_filenames}
    break_image(held_out.pop(), "truncated")(capture)
    with pytest.raises(DffError) as raised:
        open_manager(capture, tmp_path / "cache")
    assert "\n" not in str(raised.value)


def test_a_wrong_number_of_poses_is_one_line(capture, tmp_path):
    outputs = open_manager(capture, tmp_path / "cache", teacher=None).train_dataparser_outputs
    check_capture(outputs)
    outputs.image_filenames = outputs.image_filenames[:-1]
    with pytest.raises(DffError, match="images but"):
        check_capture(outputs)


def test_a_teacher_that_is_not_there_is_one_line_before_any_image_is_read(
    capture, tmp_path, colour_teacher
):
    break_image("IMG_04.png", "truncated")(capture)
    with pytest.raises(DffError, match="did you mean 'colour'"):
        open_manager(capture, tmp_path / "cache", teacher="color")


def test_rendering_needs_no_images(capture, tmp_path):
    shutil.rmtree(capture / "images")
    (capture / "images").mkdir()
    for index in range(12):
        (capture / "images" / f"IMG_{index:02d}.png").write_text("gone")
    manager = open_manager(capture, tmp_path / "cache", teacher=None, mode="inference")
    assert len(manager.train_dataset.cameras) == 11
