"""Rendering to files: what is kept, what is done again, and that no file is half of one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import imageio.v3 as imageio
import numpy as np
import pytest
import torch
from PIL import Image

from dff.data.sharding import Ranks
from dff.depth_images import read_depth
from dff.edits.document import EditDocument
from dff.edits.storage import parse_document
from dff.errors import DffError
from dff.finished_frames import identity_of
from dff.pictures import to_bytes, write_png
from dff.render_views import RenderOptions, Shot, orbit_shots, render_shots, spiral_shots
from dff.scene import Scene

SMALL = RenderOptions(scale=0.5)


def document(operation: dict) -> EditDocument:
    selection = {"text": ["red"], "negative": ["table", "sky", "green"]}
    steps = [{"selection": selection, "operation": operation}]
    return parse_document({"version": 1, "steps": steps})


@pytest.fixture
def rendered(monkeypatch) -> list[object]:
    """Each call of `Scene.render` leaves its camera here."""
    calls: list[object] = []
    render = Scene.render

    def counted(self, camera, *arguments, **more):
        calls.append(camera)
        return render(self, camera, *arguments, **more)

    monkeypatch.setattr(Scene, "render", counted)
    return calls


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_pictures_are_what_the_scene_renders(scene, tmp_path):
    shots = orbit_shots(scene, 2)
    render_shots(scene, shots, tmp_path / "out", options=RenderOptions(depth=True))
    names = ["00000.png", "00000_depth.exr", "00001.png", "00001_depth.exr"]
    assert sorted(contents(tmp_path / "out")) == names
    for shot in shots:
        outputs = scene.render(shot.camera)
        picture = np.asarray(Image.open(tmp_path / "out" / f"{shot.name}.png"))
        assert np.array_equal(picture, to_bytes(outputs["rgb"]))
        depth = read_depth(tmp_path / "out" / f"{shot.name}_depth.exr")
        assert np.array_equal(depth, outputs["depth"][..., 0].numpy())


def test_several_edits_lie_side_by_side(scene, tmp_path):
    edits = scene.compile(document({"type": "delete"}))
    (shot,) = orbit_shots(scene, 1)
    options = RenderOptions(depth=True)
    render_shots(scene, [shot], tmp_path, None, edits, edits, options=options)
    picture = np.asarray(Image.open(tmp_path / "00000.png"))
    each = [scene.render(shot.camera, e) for e in (None, edits, edits)]
    assert picture.shape == (18, 72, 3)
    assert np.array_equal(picture, np.hstack([to_bytes(outputs["rgb"]) for outputs in each]))
    depth = read_depth(tmp_path / "00000_depth.exr")
    assert np.array_equal(depth, np.hstack([outputs["depth"][..., 0] for outputs in each]))


def test_a_transparent_background_makes_rgba(scene, tmp_path):
    edits = scene.compile(document({"type": "background"}))
    (shot,) = orbit_shots(scene, 1)
    render_shots(scene, [shot], tmp_path / "images", None, edits)
    picture = np.asarray(Image.open(tmp_path / "images" / "00000.png"))
    rgba = to_bytes(scene.render(shot.camera, edits)["rgba"])
    assert np.array_equal(picture[:, 24:], rgba)
    assert (picture[:, :24, 3] == 255).all()
    assert rgba[..., 3].min() < 50 < 200 < rgba[..., 3].max()
    options = RenderOptions(image_format="jpeg")
    with pytest.raises(DffError, match="transparent"):
        render_shots(scene, [shot], tmp_path / "jpeg", edits, options=options)


@pytest.mark.parametrize(("name", "told"), [("a.mp4", True), ("a.webp", False)])
def test_a_video_without_transparency_says_so(scene, tmp_path, capsys, name, told):
    edits = scene.compile(document({"type": "background"}))
    render_shots(scene, orbit_shots(scene, 1), tmp_path / name, edits)
    assert ("an mp4 cannot be transparent" in capsys.readouterr().err) is told


def test_jpeg_when_asked_for(scene, tmp_path):
    (shot,) = orbit_shots(scene, 1)
    render_shots(scene, [shot], tmp_path, options=RenderOptions(image_format="jpeg"))
    with Image.open(tmp_path / "00000.jpg") as picture:
        assert picture.format == "JPEG"
        expected = to_bytes(scene.render(shot.camera)["rgb"]).astype(int)
        assert np.abs(np.asarray(picture).astype(int) - expected).mean() < 4


@pytest.mark.parametrize("suffix", [".mp4", ".gif", ".webp"])
def test_a_video_shows_the_frames_that_are_kept_beside_it(scene, tmp_path, suffix):
    path = tmp_path / f"spiral{suffix}"
    render_shots(scene, spiral_shots(scene, 3), path, options=RenderOptions(fps=5))
    names = [f"{i:05d}.png" for i in range(3)]
    assert sorted(contents(tmp_path / "spiral_frames")) == names
    video = imageio.imread(path) if suffix == ".mp4" else imageio.imread(path, index=...)
    frames = np.stack([imageio.imread(tmp_path / "spiral_frames" / name) for name in names])
    assert video.shape[:3] == frames.shape[:3]
    assert np.abs(video[..., :3].astype(int) - frames).mean() < 8


class Interrupted(Exception):
    """Somebody pulled the plug."""


@pytest.mark.parametrize("suffix", ["", ".mp4"])
def test_an_interrupted_run_goes_on_where_it_was(scene, tmp_path, rendered, monkeypatch, suffix):
    shots, identity = orbit_shots(scene, 5), identity_of(scene, [""])
    options = RenderOptions(scale=0.5, depth=True)

    def run(path: Path) -> None:
        render_shots(scene, shots, path, options=options, identity=identity)

    run(tmp_path / f"whole{suffix}")
    rendered.clear()
    counted = Scene.render

    def stops(self, *arguments, **more):
        if len(rendered) == 2:
            raise Interrupted
        return counted(self, *arguments, **more)

    with monkeypatch.context() as patch:
        patch.setattr(Scene, "render", stops)
        with pytest.raises(Interrupted):
            run(tmp_path / f"part{suffix}")
    folder = "part_frames" if suffix else "part"
    assert len(contents(tmp_path / folder)) == 4
    assert not list(tmp_path.glob("part.*"))
    run(tmp_path / f"part{suffix}")
    assert len(rendered) == 5  # none of them twice
    run(tmp_path / f"part{suffix}")
    assert len(rendered) == 5
    assert contents(tmp_path / folder) == contents(tmp_path / folder.replace("part", "whole"))
    if suffix:
        assert (tmp_path / "part.mp4").read_bytes() == (tmp_path / "whole.mp4").read_bytes()


def test_a_frame_of_anything_else_is_not_taken_for_finished(scene, tmp_path, rendered):
    shots = orbit_shots(scene, 2)
    run_again: list[Callable[[], object]] = [
        lambda: render_shots(scene, shots, tmp_path, options=SMALL, identity="one edit"),
        lambda: render_shots(scene, shots, tmp_path, options=SMALL, identity="another"),
        lambda: render_shots(scene, shots, tmp_path, identity="another"),
        lambda: render_shots(scene, orbit_shots(scene, 3)[:2], tmp_path, identity="another"),
        lambda: render_shots(
            scene, shots, tmp_path, options=RenderOptions(overwrite=True), identity="another"
        ),
        lambda: render_shots(scene, shots, tmp_path),
    ]
    # The first camera of three is that of two; everything else is new each time.
    for run, expected in zip(run_again, (2, 2, 2, 1, 2, 2), strict=True):
        rendered.clear()
        run()
        assert len(rendered) == expected


def test_a_frame_that_lacks_a_file_is_not_finished(scene, tmp_path, rendered):
    shots, options = orbit_shots(scene, 2), RenderOptions(scale=0.5, depth=True)
    for gone, expected in (((), 2), (("00001_depth.exr",), 1), (("00000.png",), 1), ((), 0)):
        for name in gone:
            (tmp_path / name).unlink()
        rendered.clear()
        render_shots(scene, shots, tmp_path, options=options, identity="edit")
        assert len(rendered) == expected


def test_identity_tells_edits_and_how_the_scene_is_sampled(scene, monkeypatch):
    known = identity_of(scene, ["", "a"])
    assert identity_of(scene, ["", "a"]) == known
    assert identity_of(scene, ["a", ""]) != known
    assert identity_of(scene, ["a"]) != known
    monkeypatch.setattr(scene.model.config, "eval_num_nerf_samples", 5)
    assert identity_of(scene, ["", "a"]) != known


def test_pictures_that_no_rendering_made_are_not_written_over(scene, tmp_path):
    shots = orbit_shots(scene, 1)
    photo = np.zeros((4, 4, 3), np.uint8)
    write_png(tmp_path / "00000.png", photo)
    before = contents(tmp_path)
    with pytest.raises(DffError, match=r"not made by dff render.*--overwrite"):
        render_shots(scene, shots, tmp_path, identity="edit")
    assert contents(tmp_path) == before
    options = RenderOptions(overwrite=True)
    render_shots(scene, shots, tmp_path, options=options, identity="edit")
    assert contents(tmp_path) != before


class OneOfTwo(Ranks):
    """A rank whose other one is started by hand, before or after it."""

    def share(self, work):
        return [work()]


def test_ranks_together_write_what_one_process_writes(scene, tmp_path):
    shots = orbit_shots(scene, 5)
    options = RenderOptions(scale=0.5, depth=True)
    for path, ranks in (
        ("one.mp4", [Ranks()]),
        ("two.mp4", [OneOfTwo(1, 2), OneOfTwo(0, 2)]),
    ):
        for rank in ranks:
            render_shots(
                scene, shots, tmp_path / path, options=options, identity="edit", ranks=rank
            )
            if rank.rank == 1:
                odd = {"00001.png", "00001_depth.exr", "00003.png", "00003_depth.exr"}
                assert set(contents(tmp_path / "two_frames")) == odd
    assert contents(tmp_path / "one_frames") == contents(tmp_path / "two_frames")
    assert (tmp_path / "one.mp4").read_bytes() == (tmp_path / "two.mp4").read_bytes()


def test_a_part_that_another_machine_wrote_elsewhere_is_one_line(scene, tmp_path):
    with pytest.raises(DffError, match="must see the same --output-path"):
        render_shots(
            scene, orbit_shots(scene, 2), tmp_path / "a.mp4", options=SMALL, ranks=OneOfTwo(0, 2)
        )
    assert not (tmp_path / "a.mp4").exists()


def test_what_a_killed_process_left_is_removed(scene, tmp_path):
    folder = tmp_path / "a_frames"
    folder.mkdir()
    dead = 2**22 + 1  # above any process number
    for place in (folder / f".tmp-{dead}-ab12", tmp_path / f".tmp-{dead}-ab12.mp4"):
        place.write_text("half a picture")
    (tmp_path / ".tmp-notes").write_text("somebody's")
    render_shots(scene, orbit_shots(scene, 1), tmp_path / "a.mp4", options=SMALL)
    assert sorted(contents(folder)) == ["00000.png"]
    assert sorted(p.name for p in tmp_path.iterdir()) == [".tmp-notes", "a.mp4", "a_frames"]


@pytest.mark.parametrize("video", [False, True])
def test_a_full_disk_is_one_line_and_keeps_what_was_finished(scene, tmp_path, monkeypatch, video):
    import os

    real, written = os.fsync, []

    def fsync(number: int) -> None:
        if len(written) == 2:
            raise OSError(28, "No space left on device")
        written.append(number)
        real(number)

    monkeypatch.setattr("dff.files.os.fsync", fsync)
    path = tmp_path / ("a.mp4" if video else "a")
    with pytest.raises(DffError, match="disk full"):
        render_shots(scene, orbit_shots(scene, 4), path, options=SMALL, identity="edit")
    folder = tmp_path / ("a_frames" if video else "a")
    assert sorted(contents(folder)) == ["00000.png", "00001.png"]
    assert not (tmp_path / "a.mp4").exists()


def test_a_place_that_cannot_be_written_is_found_before_the_work(scene, tmp_path, rendered):
    (tmp_path / "file").write_text("")
    (tmp_path / "folder.mp4").mkdir()
    for path in ("file", "file/deeper", "file/a.mp4", "folder.mp4"):
        with pytest.raises(DffError, match="cannot write"):
            render_shots(scene, orbit_shots(scene, 1), tmp_path / path)
    assert not rendered


def test_no_cameras_and_cameras_of_several_sizes_are_one_line(scene, tmp_path, rendered):
    with pytest.raises(DffError, match="no camera"):
        render_shots(scene, [], tmp_path / "out")
    first, second = orbit_shots(scene, 2)
    second.camera.width = torch.full_like(second.camera.width, 30)
    shots = [first, Shot("upright", second.camera)]
    with pytest.raises(DffError, match="00000 has 24x18, upright 30x18") as raised:
        render_shots(scene, shots, tmp_path / "out.gif")
    assert "--frames" in str(raised.value)
    assert not rendered
    render_shots(scene, shots, tmp_path / "out")
    with Image.open(tmp_path / "out" / "upright.png") as picture:
        assert picture.size == (30, 18)


def test_a_folder_may_have_a_dot_in_its_name_but_no_unknown_kind_of_file():
    RenderOptions().check(Path("out/v1.2"))
    with pytest.raises(DffError, match=r"cannot write '\.avi'"):
        RenderOptions().check(Path("out/a.avi"))


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"fps": 0.0}, "frames per second"),
        ({"fps": float("nan")}, "frames per second"),
        ({"fps": 1e9}, "frames per second"),
        ({"scale": -1.0}, "resolution scale"),
        ({"scale": 9.0}, "resolution scale"),
        ({"image_format": "jpeg"}, "image-format"),
    ],
)
def test_options_out_of_range_are_one_line(options, says):
    with pytest.raises(DffError, match=says):
        RenderOptions(**options).check(Path("a.mp4"))
