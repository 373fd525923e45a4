"""`dff export` from end to end on one small scene, and every way to get it wrong."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
import trimesh

from dff.cli import main

TEXT = {"text": ["red"], "negative": ["table", "sky", "green"]}
FINE = ("--resolution", 64, "--rays", 20_000)
# Two balls, red and green, and the table they stand on; see tests/conftest.py.
RED, GREEN = (0.5, 0.0, 0.35), (-0.5, 0.0, 0.35)


def export(trained: Path, path: Path, *more: object) -> Path:
    common = ("export", "--load-config", trained, "--output", path)
    main([str(part) for part in (*common, *FINE, *more)])
    return path


def error_line(capsys, *parts: object) -> str:
    capsys.readouterr()
    with pytest.raises(SystemExit) as raised:
        main([str(part) for part in parts])
    assert raised.value.code in (1, 2)
    errors = capsys.readouterr().err
    assert "Traceback" not in errors
    (line,) = [line for line in errors.splitlines() if line.startswith("error: ")]
    return line


def write_edits(path: Path, *operations: dict, **selection: object) -> Path:
    steps = [{"selection": {**TEXT, **selection}, "operation": each} for each in operations]
    path.write_text(json.dumps({"version": 1, "steps": steps}))
    return path


def points_of(path: Path) -> dict[str, np.ndarray]:
    cloud = trimesh.load(path, process=False)
    vertex = cloud.metadata["_ply_raw"]["vertex"]["data"]
    return {
        "place": np.asarray(cloud.vertices),
        "rgb": np.asarray(cloud.colors)[:, :3] / 255,
        "step": np.asarray(vertex["step"]).ravel(),
        "normal": np.stack([np.asarray(vertex[n]).ravel() for n in ("nx", "ny", "nz")], axis=1),
    }


def on_ball(place: np.ndarray, centre: tuple[float, ...], reach: float = 0.12) -> np.ndarray:
    """Near a ball's surface, above the table it sinks into."""
    away = np.abs(np.linalg.norm(place - centre, axis=1) - 0.35)
    return (away < reach) & (place[:, 2] > 0.2)


@pytest.fixture
def plain(trained, tmp_path) -> dict[str, np.ndarray]:
    """The scene as it is, in the capture's coordinates."""
    return points_of(export(trained, tmp_path / "plain.ply", "--scale", "capture"))


class TestPoints:
    def test_they_lie_on_the_true_surfaces_in_the_captures_coordinates(self, plain):
        # The balls alone: the table has no texture, and the tiny scene does not know how far it is.
        strongest, least = plain["rgb"].max(axis=1), plain["rgb"].min(axis=1)
        above = plain["place"][:, 2] > 0.2
        for channel, centre in ((0, RED), (1, GREEN)):
            coloured = plain["rgb"][:, channel] == strongest
            chosen = coloured & above & (strongest - least > 0.35)
            assert chosen.sum() > 50
            away = np.abs(np.linalg.norm(plain["place"][chosen] - centre, axis=1) - 0.35)
            # A pixel of the tiny pictures is a tenth of a unit wide there.
            assert np.median(away) < 0.05

    def test_colours_are_those_of_the_things(self, plain):
        red, green = (plain["rgb"][on_ball(plain["place"], c)].mean(axis=0) for c in (RED, GREEN))
        assert red[0] - red[1] > 0.3
        assert green[1] - green[0] > 0.2
        assert (plain["step"] == 0).all()
        np.testing.assert_allclose(np.linalg.norm(plain["normal"], axis=1), 1.0, atol=1e-4)

    def test_what_was_deleted_is_missing(self, trained, tmp_path, plain):
        edits = write_edits(tmp_path / "edits.json", {"type": "delete"})
        more = ("--edits", edits, "--scale", "capture")
        edited = points_of(export(trained, tmp_path / "edited.ply", *more))
        before, after = (
            {c: on_ball(found["place"], c, 0.08).sum() for c in (RED, GREEN)}
            for found in (plain, edited)
        )
        assert before[RED] > 30
        assert after[RED] < 0.15 * before[RED]
        assert after[GREEN] > 0.85 * before[GREEN]

    def test_what_was_recoloured_is_and_knows_its_step(self, trained, tmp_path, plain):
        hue = {"type": "recolor", "function": "hue", "degrees": 240}
        document = write_edits(tmp_path / "edits.json", {"type": "opacity", "factor": 1.0}, hue)
        data = json.loads(document.read_text())
        data["steps"][0]["enabled"] = False
        (tmp_path / "edits.json").write_text(json.dumps(data))
        more = ("--edits", tmp_path / "edits.json", "--scale", "capture")
        edited = points_of(export(trained, tmp_path / "edited.ply", *more))
        ball = on_ball(edited["place"], RED)
        colour = edited["rgb"][ball].mean(axis=0)
        assert colour[2] - colour[0] > 0.25
        assert (edited["step"][ball] == 2).mean() > 0.8
        assert set(np.unique(edited["step"])) == {0, 2}
        assert (edited["step"][on_ball(edited["place"], GREEN)] == 0).mean() > 0.95

    def test_world_is_the_default_and_the_capture_a_similarity_away(
        self, trained, scene, tmp_path, plain
    ):
        here = points_of(export(trained, tmp_path / "here.ply"))
        parsed = scene.pipeline.datamanager.train_dataparser_outputs
        transform = parsed.dataparser_transform.numpy()
        moved = parsed.dataparser_scale * (plain["place"] @ transform[:, :3].T + transform[:, 3])
        np.testing.assert_allclose(here["place"], moved, atol=1e-4)


@pytest.mark.parametrize("suffix", [".ply", ".obj", ".glb"])
def test_meshes_open_with_colours(trained, tmp_path, suffix):
    path = export(trained, tmp_path / f"mesh{suffix}", "--format", "mesh", "--scale", "capture")
    mesh = trimesh.load(path, process=False, force="mesh")
    assert len(mesh.faces) > 300
    place = np.asarray(mesh.vertices)
    colours = np.asarray(mesh.visual.vertex_colors)[:, :3] / 255
    red, green = (colours[on_ball(place, c)].mean(axis=0) for c in (RED, GREEN))
    assert red[0] - red[1] > 0.3
    assert green[1] - green[0] > 0.2
    assert np.abs(place).max() < 2.5


def test_splats_open(trained, tmp_path, capsys):
    plyfile = pytest.importorskip("plyfile")
    path = export(trained, tmp_path / "splats.ply", "--format", "splats")
    vertex = plyfile.PlyData.read(str(path))["vertex"]
    assert len(vertex.properties) == 62
    assert vertex.count > 300
    said = capsys.readouterr().out
    assert f"{vertex.count:,} splats in" in " ".join(said.split())
    assert "Rendering" in said


def test_the_suffix_says_the_format_and_a_file_that_is_replaced_is_told(trained, tmp_path, capsys):
    path = export(trained, tmp_path / "new" / "thing.obj")
    assert "faces in" in capsys.readouterr().out
    assert "replaced" not in path.read_text()[:50]
    export(trained, path)
    assert "the file that was there is replaced" in " ".join(capsys.readouterr().out.split())
    assert [each.name for each in path.parent.iterdir()] == ["thing.obj"]


class TestBadInput:
    @pytest.mark.parametrize(
        ("name", "more", "says"),
        [
            ("thing.stl", (), ".ply"),
            ("thing", (), ".ply"),
            ("thing.obj", ("--format", "points"), ".ply"),
            ("thing.glb", ("--format", "splats"), ".ply"),
            ("thing.stl", ("--format", "mesh"), ".ply, .obj or .glb"),
            ("thing.ply", ("--resolution", "0"), "resolution must be"),
            ("thing.ply", ("--resolution", "100000"), "resolution must be"),
            ("thing.ply", ("--rays", "0"), "rays must be"),
            ("thing.ply", ("--rays", "1000000000"), "rays must be"),
            ("thing.ply", ("--edits", "nothing.yml"), "no such edit document"),
        ],
    )
    def test_options_are_one_line(self, trained, tmp_path, capsys, name, more, says):
        common = ("export", "--load-config", trained, "--output", tmp_path / name)
        assert says in error_line(capsys, *common, *more)
        assert not list(tmp_path.iterdir())

    def test_a_missing_configuration(self, tmp_path, capsys):
        line = error_line(
            capsys, "export", "--load-config", tmp_path / "no.yml", "--output", tmp_path / "a.ply"
        )
        assert "no such configuration" in line

    def test_nothing_left(self, trained, tmp_path, capsys):
        edits = write_edits(
            tmp_path / "edits.json", {"type": "extract"}, {"type": "delete"}, threshold=0.5
        )
        common = ("export", "--load-config", trained, "--output", tmp_path / "a.ply")
        line = error_line(capsys, *common, "--edits", edits, "--rays", 5000)
        assert "nothing to export: the edits leave nothing" in line
        assert not (tmp_path / "a.ply").exists()

    def test_a_folder_of_that_name_or_a_file_above(self, trained, tmp_path, capsys):
        common = ("export", "--load-config", trained, "--output")
        (tmp_path / "a.ply").mkdir()
        assert "cannot write" in error_line(capsys, *common, tmp_path / "a.ply")
        (tmp_path / "file").write_text("in the way")
        assert "cannot write" in error_line(capsys, *common, tmp_path / "file" / "a.ply")

    @pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
    def test_a_read_only_folder(self, trained, tmp_path, capsys):
        (tmp_path / "locked").mkdir(mode=0o500)
        common = ("export", "--load-config", trained, "--output")
        assert "cannot write" in error_line(capsys, *common, tmp_path / "locked" / "a.ply")
