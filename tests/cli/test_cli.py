"""`dff query` and `dff render` from end to end on one small scene, and every way to get them wrong.

Everything runs in this process, through the same `main` as the installed command.
"""

from __future__ import annotations

import json
import math
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import imageio.v3 as imageio
import numpy as np
import pytest
import torch
import yaml
from nerfstudio.configs.method_configs import method_configs
from PIL import Image

from dff.camera_paths import look_at
from dff.cli import main
from dff.data.images import load_image
from dff.evaluate import intersection_over_union, psnr


def arguments(*parts: object) -> list[str]:
    return [str(part) for part in parts]


def error_line(capsys, *parts: object) -> str:
    """Run a command that must fail; the one line it leaves on standard error."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as raised:
        main(arguments(*parts))
    assert raised.value.code in (1, 2)
    errors = capsys.readouterr().err
    assert "Traceback" not in errors
    (line,) = [line for line in errors.splitlines() if line.startswith("error: ")]
    return line


def read(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image)


class TestQuery:
    def query(self, trained: Path, out: Path, *more: object) -> None:
        words = ("--text", "red", "--negative", "green", "table", "sky")
        main(arguments("query", "--load-config", trained, *words, "--output-dir", out, *more))

    def test_frames_get_masks_heatmaps_and_overlays_of_their_size(
        self, trained, tmp_path, capsys, truth
    ):
        self.query(trained, tmp_path, "--frames", "IMG_04", "IMG_08")
        for kind in ("masks", "heatmaps", "overlays"):
            names = sorted(path.name for path in (tmp_path / kind).iterdir())
            assert names == ["IMG_04.png", "IMG_08.png"]
            assert read(tmp_path / kind / "IMG_04.png").shape[:2] == (18, 24)
        for stem in ("IMG_04", "IMG_08"):
            mask = read(tmp_path / "masks" / f"{stem}.png")
            assert mask.shape == (18, 24)
            assert set(np.unique(mask)) == {0, 255}
            found = torch.from_numpy(mask == 255)
            assert intersection_over_union(found, torch.from_numpy(truth(stem) == 2)) > 0.7
        said = capsys.readouterr().out
        assert "selected 'red'" in said
        assert "2 of 2 views" in " ".join(said.split())

    @pytest.mark.parametrize(("split", "count"), [("train", 11), ("eval", 1), ("all", 12)])
    def test_a_split_gets_a_mask_for_each_of_its_images(self, trained, tmp_path, split, count):
        self.query(trained, tmp_path, "--split", split)
        assert len(list((tmp_path / "masks").iterdir())) == count

    def test_rendering_at_half_the_size_still_writes_full_size(self, trained, tmp_path, truth):
        self.query(trained, tmp_path, "--frames", "IMG_04", "--resolution-scale", 0.5)
        mask = read(tmp_path / "masks" / "IMG_04.png")
        assert mask.shape == (18, 24)
        assert set(np.unique(mask)) == {0, 255}
        truth_mask = torch.from_numpy(truth("IMG_04") == 2)
        assert intersection_over_union(torch.from_numpy(mask == 255), truth_mask) > 0.4

    def test_without_negatives_the_canonical_phrases_are_used(self, trained, tmp_path, capsys):
        main(
            arguments("query", "--load-config", trained, "--text", "red", "--output-dir", tmp_path)
        )
        assert "object, things, stuff, texture" in " ".join(capsys.readouterr().out.split())

    def test_a_query_that_selects_nothing_is_one_line_and_the_pictures_are_there(
        self, trained, tmp_path, capsys
    ):
        line = error_line(
            capsys,
            *("query", "--load-config", trained, "--output-dir", tmp_path),
            *("--text", "blue", "--negative", "table", "--threshold", 1.0),
        )
        assert "selects nothing" in line
        assert set(np.unique(read(next((tmp_path / "masks").iterdir())))) == {0}

    @pytest.mark.parametrize(
        ("more", "says"),
        [
            (("--text", "red", "--frames", "IMG_99"), "IMG_99"),
            (("--text", "banana"), "banana"),
            (("--text", ""), "empty"),
            (("--text", "red", "--negative", "red"), "red"),
            (("--text", "red", "--threshold", "1.5"), "threshold"),
            (("--text", "red", "--threshold", "nan"), "threshold"),
            (("--text", "red", "--temperature", "0"), "temperature"),
            (("--text", "red", "--resolution-scale", "0"), "resolution scale"),
            (("--text", "red", "--resolution-scale", "1.5"), "resolution scale"),
            (("--text", "red", "--resolution-scale", "0.001"), "resolution scale"),
        ],
    )
    def test_bad_options_are_one_line(self, trained, tmp_path, capsys, more, says):
        common = ("query", "--load-config", trained, "--output-dir", tmp_path)
        assert says in error_line(capsys, *common, *more)

    def test_an_output_folder_that_is_a_file_is_one_line(self, trained, tmp_path, capsys):
        (tmp_path / "out").write_text("")
        common = ("query", "--load-config", trained, "--text", "red")
        assert "out" in error_line(capsys, *common, "--output-dir", tmp_path / "out")

    @pytest.mark.parametrize("more", [(), ("--text", "red", "--split", "some"), ("--no-such", "1")])
    def test_a_command_line_that_makes_no_sense_ends_with_status_2(self, more, capsys):
        with pytest.raises(SystemExit) as raised:
            main(arguments("query", "--load-config", "x", "--output-dir", "y", *more))
        assert raised.value.code == 2
        assert "Traceback" not in capsys.readouterr().err


class TestConfig:
    def run(self, capsys, config: Path) -> str:
        return error_line(
            capsys, "query", "--load-config", config, "--text", "red", "--output-dir", "out"
        )

    def test_a_missing_configuration(self, tmp_path, capsys):
        assert "no such configuration" in self.run(capsys, tmp_path / "config.yml")

    def test_a_file_that_is_no_configuration(self, tmp_path, capsys):
        (tmp_path / "config.yml").write_text("just: some\nyaml: file\n")
        assert "not the configuration of a dff or nerfacto scene" in self.run(
            capsys, tmp_path / "config.yml"
        )

    def test_the_configuration_of_another_method(self, tmp_path, capsys):
        path = tmp_path / "config.yml"
        path.write_text(yaml.dump(method_configs["splatfacto"]))
        assert "not the configuration of a dff or nerfacto scene" in self.run(capsys, path)

    def test_a_configuration_without_a_checkpoint(self, trained, tmp_path, capsys):
        path = tmp_path / "config.yml"
        path.write_text(trained.read_text())
        assert "no checkpoint" in self.run(capsys, path)


def write_edits(path: Path, operation: dict, **selection: object) -> Path:
    chosen = {"text": ["red"], "negative": ["table", "sky", "green"], **selection}
    document = {"version": 1, "steps": [{"selection": chosen, "operation": operation}]}
    path.write_text(yaml.safe_dump(document))
    return path


def write_camera_path(path: Path, frames: int = 3) -> Path:
    pose = look_at(torch.tensor([0.6, 0.6, 0.4]), torch.zeros(3), torch.tensor([0.0, 0.0, 1.0]))
    matrix = torch.cat([pose, torch.tensor([[0.0, 0.0, 0.0, 1.0]])])
    frame = {"camera_to_world": matrix.flatten().tolist(), "fov": 50.0, "aspect": 1.0}
    data = {"camera_type": "perspective", "render_height": 17, "render_width": 21, "fps": 6}
    path.write_text(json.dumps({**data, "seconds": 0.5, "camera_path": [frame] * frames}))
    return path


class TestRender:
    def render(self, trained: Path, out: Path, *more: object) -> None:
        main(arguments("render", "--load-config", trained, "--output-path", out, *more))

    def test_the_captures_own_cameras_look_like_the_photos(
        self, trained, tmp_path, shared_capture, capsys
    ):
        frames = ("IMG_00", "IMG_05")
        self.render(trained, tmp_path / "out", "--trajectory", "dataset", "--frames", *frames)
        assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["IMG_00.png", "IMG_05.png"]
        for name in frames:
            made = load_image(tmp_path / "out" / f"{name}.png")
            assert psnr(made, load_image(shared_capture / "images" / f"{name}.png")) > 18
        said = capsys.readouterr().out
        assert "2/2" in said  # the progress bar
        assert "2 frames in" in said

    def test_edits_are_applied_and_the_file_stays_as_it_is(self, trained, tmp_path, truth):
        edits = write_edits(tmp_path / "edits.yml", {"type": "delete"})
        before = edits.read_bytes()
        where = ("--trajectory", "dataset", "--frames", "IMG_03")
        self.render(trained, tmp_path / "plain", *where)
        self.render(trained, tmp_path / "edited", "--edits", edits, *where)
        plain, edited = (load_image(tmp_path / d / "IMG_03.png") for d in ("plain", "edited"))
        labels = torch.from_numpy(truth("IMG_03"))
        ball, other = plain[labels == 2], edited[labels == 2]
        assert float((ball[:, 0] - ball[:, 1]).mean()) > 0.3
        assert float((other[:, 0] - other[:, 1]).mean()) < 0.15
        assert psnr(plain, edited, labels == 3) > 30
        assert edits.read_bytes() == before

    def test_a_json_document_that_is_empty_renders_the_scene_as_it_is(self, trained, tmp_path):
        (tmp_path / "edits.json").write_text('{"version": 1, "steps": []}')
        where = ("--trajectory", "dataset", "--frames", "IMG_03")
        self.render(trained, tmp_path / "plain", *where)
        self.render(trained, tmp_path / "edited", "--edits", tmp_path / "edits.json", *where)
        plain, edited = (read(tmp_path / d / "IMG_03.png") for d in ("plain", "edited"))
        assert np.array_equal(plain, edited)

    def test_a_camera_path_gives_its_own_size_and_frame_rate(self, trained, tmp_path):
        path = write_camera_path(tmp_path / "path.json")
        self.render(trained, tmp_path / "out.mp4", "--camera-path", path)
        assert imageio.imread(tmp_path / "out.mp4").shape == (3, 18, 22, 3)  # padded to even
        assert imageio.immeta(tmp_path / "out.mp4")["fps"] == pytest.approx(6)

    def test_an_orbit_makes_a_video_or_images(self, trained, tmp_path):
        size = ("--num-frames", 4, "--resolution-scale", 0.5)
        self.render(trained, tmp_path / "out.mp4", "--fps", 8, *size)
        assert imageio.imread(tmp_path / "out.mp4").shape == (4, 10, 12, 3)
        assert imageio.immeta(tmp_path / "out.mp4")["fps"] == pytest.approx(8)
        self.render(trained, tmp_path / "images", "--trajectory", "orbit", *size)
        names = sorted(path.name for path in (tmp_path / "images").iterdir())
        assert names == [f"{i:05d}.png" for i in range(4)]
        assert read(tmp_path / "images" / "00000.png").shape == (9, 12, 3)

    @pytest.mark.parametrize(
        ("more", "says"),
        [
            (("--camera-path", "nothing.json"), "no such camera path"),
            (("--edits", "nothing.yml"), "no such edit document"),
            (("--num-frames", "0"), "orbit needs"),
            (("--fps", "0"), "frames per second"),
            (("--fps", "nan"), "frames per second"),
            (("--resolution-scale", "0"), "resolution scale"),
            (("--resolution-scale", "nan"), "resolution scale"),
            (("--resolution-scale", "0.001"), "resolution scale"),
            (("--trajectory", "dataset", "--frames", "IMG_99"), "IMG_99"),
        ],
    )
    def test_bad_options_are_one_line(self, trained, tmp_path, capsys, more, says):
        common = ("render", "--load-config", trained, "--output-path", tmp_path / "out")
        assert says in error_line(capsys, *common, *more)

    @pytest.mark.parametrize("name", ["out.avi", "out.mov", "out.txt"])
    def test_a_video_format_that_is_not_known_is_one_line(self, trained, tmp_path, capsys, name):
        line = error_line(capsys, "render", "--load-config", trained, "--output-path", name)
        assert ".mp4" in line

    def test_a_broken_camera_path_is_one_line(self, trained, tmp_path, capsys):
        (tmp_path / "path.json").write_text('{"camera_path": [{}]}')
        common = ("render", "--load-config", trained, "--output-path", tmp_path / "out")
        line = error_line(capsys, *common, "--camera-path", tmp_path / "path.json")
        assert "not a nerfstudio camera path" in line

    @pytest.mark.parametrize(
        ("write", "says"),
        [
            (lambda p: write_edits(p, {"type": "explode"}), "explode"),
            (lambda p: write_edits(p, {"type": "delet"}), "delete"),
            (lambda p: write_edits(p, {"type": "opacity", "factor": 2}), "factor"),
            (
                lambda p: write_edits(
                    p, {"type": "recolor", "function": "hue", "degrees": math.nan}
                ),
                "degrees",
            ),
            (lambda p: write_edits(p, {"type": "delete"}, threshold=-1), "threshold"),
            (lambda p: write_edits(p, {"type": "delete"}, text=["banana"]), "banana"),
            (lambda p: p.write_text("version: 7\nsteps: []\n"), "version"),
            (lambda p: p.write_text("- ["), "edits.yml"),
            (lambda p: p.write_text(""), "empty"),
            (lambda p: p.write_bytes(b"\xff\xfe\x00"), "edits.yml"),
        ],
    )
    def test_a_bad_document_is_one_line(
        self, trained, tmp_path, capsys, write: Callable[[Path], object], says
    ):
        write(tmp_path / "edits.yml")
        common = ("render", "--load-config", trained, "--output-path", tmp_path / "out")
        line = error_line(capsys, *common, "--num-frames", 1, "--edits", tmp_path / "edits.yml")
        assert says in line
        assert not list(tmp_path.glob("out/*"))


class TestFeatures:
    def test_a_capture_is_encoded_once(self, capture, tmp_path, capsys, colour_teacher):
        command = arguments(
            *("features", "--data", capture, "--teacher", "colour"),
            *("--feature-cache", tmp_path / "cache"),
        )
        main(command)
        assert "12 feature maps of 9x12x5" in " ".join(capsys.readouterr().out.split())
        made = {path: path.stat().st_mtime_ns for path in (tmp_path / "cache").rglob("*.fmap")}
        assert len(made) == 12
        main(command)
        assert {path: path.stat().st_mtime_ns for path in made} == made

    def test_bad_input_is_one_line(self, capture, tmp_path, capsys, colour_teacher):
        common = ("features", "--feature-cache", tmp_path / "cache", "--teacher")
        line = error_line(capsys, *common, "colour", "--data", tmp_path / "nothing")
        assert "no such capture" in line
        line = error_line(capsys, *common, "color", "--data", capture)
        assert "did you mean 'colour'" in line
        (capture / "images" / "IMG_04.png").write_text("no image")
        assert "IMG_04.png" in error_line(capsys, *common, "colour", "--data", capture)


def test_every_command_has_help(capsys):
    for command in ("demo", "query", "render", "features", "generate"):
        with pytest.raises(SystemExit) as raised:
            main([command, "--help"])
        assert raised.value.code == 0
        assert f"dff {command}" in re.sub(r"\s+", " ", capsys.readouterr().out)


def test_an_interruption_is_one_line_too(monkeypatch, capsys, tmp_path):
    def interrupt(*arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("dff.cli.generate.Generate.run", interrupt)
    with pytest.raises(SystemExit) as raised:
        main(["generate", "--output-dir", str(tmp_path)])
    assert raised.value.code == 130
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("stopped")


def test_an_uncaught_error_of_ours_ends_any_program_with_one_line():
    program = (
        "from dff.errors import DffError, report_in_one_line\n"
        "report_in_one_line(); report_in_one_line()\n"
        "raise {}\n"
    )
    for raised, lines in (("DffError('mend this')", 1), ("ValueError('ours to mend')", None)):
        done = subprocess.run(
            [sys.executable, "-c", program.format(raised)], capture_output=True, text=True
        )
        assert done.returncode == 1
        if lines == 1:
            assert done.stderr == "error: mend this\n"
        else:
            assert "Traceback" in done.stderr
