"""``edited.yml``: nerfstudio's own functions show what `dff render` shows."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from nerfstudio.cameras.camera_paths import get_path_from_json
from nerfstudio.scripts.render import _render_trajectory_video
from nerfstudio.utils.eval_utils import eval_setup
from PIL import Image

import dff
from dff.baking import RAYS
from dff.camera_paths import look_at
from dff.cli import main
from dff.edited_config import edit_files, write_edited_config
from dff.errors import DffError
from dff.scene import read_config

# A click needs no teacher, so nothing has to be answered here by one.
BALL = {"click": ["IMG_04:12,9"]}


def write_document(path: Path, *operations: dict) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    steps = [{"selection": BALL, "operation": operation} for operation in operations]
    path.write_text(json.dumps({"version": 1, "steps": steps}))
    return path


def write_camera_path(path: Path) -> dict:
    """Two frames, taller than wide, as the capture's photos are not."""
    frames = []
    for place in ([1.6, 0.2, 0.9], [1.0, 1.2, 1.0]):
        up = torch.tensor([0.0, 0.0, 1.0])
        pose = look_at(torch.tensor(place), torch.tensor([0.0, 0.0, 0.1]), up)
        matrix = torch.cat([pose, torch.tensor([[0.0, 0.0, 0.0, 1.0]])])
        frames.append({"camera_to_world": matrix.flatten().tolist(), "fov": 60.0, "aspect": 1.0})
    data = {
        "camera_type": "perspective",
        "render_height": 31,
        "render_width": 23,
        "fps": 2,
        "seconds": 1.0,
        "camera_path": frames,
    }
    path.write_text(json.dumps(data))
    return data


def read(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path)).astype(int)


def render_with_nerfstudio(config: Path, camera_path: dict, folder: Path) -> None:
    """As ``ns-render camera-path --output-format images --image-format png``."""
    _, pipeline, _, _ = eval_setup(config, test_mode="inference")
    _render_trajectory_video(
        pipeline,
        get_path_from_json(camera_path),
        output_filename=folder,
        rendered_output_names=["rgb"],
        output_format="images",
        image_format="png",
        seconds=1.0,
    )


@pytest.mark.parametrize(
    "operations",
    [
        [{"type": "delete"}, {"type": "recolor", "function": "hue", "degrees": 90}],
        [{"type": "duplicate", "translate": [0.3, 0.0, 0.0], "count": 2}],
    ],
)
def test_nerfstudio_shows_what_dff_render_shows(trained, tmp_path, monkeypatch, operations):
    document = write_document(tmp_path / "work" / "edits.yml", *operations)
    camera_path = write_camera_path(tmp_path / "path.json")
    edited = tmp_path / "elsewhere" / "edited.yml"
    common = ("render", "--load-config", str(trained), "--camera-path", str(tmp_path / "path.json"))
    main([*common, "--output-path", str(tmp_path / "plain")])
    monkeypatch.chdir(tmp_path / "work")
    more = ("--edits", "edits.yml", "--write-config", str(edited))
    main([*common, "--output-path", str(tmp_path / "ours"), *more])
    assert document.read_text() == (tmp_path / "work" / "edits.yml").read_text()
    # From another folder: nothing in it depends on where one is.
    monkeypatch.chdir(tmp_path)
    render_with_nerfstudio(edited, camera_path, tmp_path / "theirs")
    main(
        ["render", "--load-config", str(edited), *common[3:], "--output-path", str(tmp_path / "us")]
    )
    for name in ("00000.png", "00001.png"):
        ours, theirs = read(tmp_path / "ours" / name), read(tmp_path / "theirs" / name)
        assert ours.shape == (31, 23, 3)
        assert np.abs(ours - theirs).max() <= 1
        assert np.array_equal(read(tmp_path / "us" / name), ours)
    # And something was changed.
    assert np.abs(read(tmp_path / "plain" / "00000.png") - ours).max() > 40


def test_the_scene_behind_it_is_the_one_that_was_trained(trained, tmp_path, scene):
    document = write_document(tmp_path / "edits.yml", {"type": "delete"})
    write_edited_config(trained, tmp_path / "edited.yml", [document])
    edited = dff.load(tmp_path / "edited.yml", device="cpu")
    assert edited.fingerprint == scene.fingerprint
    assert edited.checkpoint.resolve() == scene.checkpoint.resolve()
    camera = scene.views("eval")[0].camera
    assert torch.equal(edited.render(camera)["rgb"], scene.render(camera)["rgb"])


def test_documents_act_on_top_of_each_other(trained, tmp_path):
    first = write_document(tmp_path / "first.yml", {"type": "delete"})
    second = write_document(tmp_path / "second.yml", {"type": "extract"})
    write_edited_config(trained, tmp_path / "one.yml", [first])
    write_edited_config(tmp_path / "one.yml", tmp_path / "two.yml", [second], [tmp_path])
    model = read_config(tmp_path / "two.yml").pipeline.model
    assert edit_files(model) == (first.resolve(), second.resolve())
    assert model.edit_scene == trained.resolve()
    assert model.edit_trust == (tmp_path.resolve(),)
    assert edit_files(read_config(trained).pipeline.model) == ()


def test_a_configuration_from_before_there_were_edits_is_read(trained, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(trained.parent, run)
    text = (run / "config.yml").read_text()
    kept = [line for line in text.splitlines() if not line.strip().startswith("edit_")]
    # An empty tuple is written as a list of nothing below its name.
    kept = [line for line in kept if line.strip() != "- !!python/tuple []"]
    (run / "config.yml").write_text("\n".join(kept))
    config = read_config(run / "config.yml")
    assert "edit_file" not in vars(config.pipeline.model)
    document = write_document(tmp_path / "edits.yml", {"type": "delete"})
    write_edited_config(run / "config.yml", run / "edited.yml", [document])
    model = read_config(run / "edited.yml").pipeline.model
    assert edit_files(model) == (document.resolve(),)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda model, document: document.unlink(), "no such edit document"),
        (lambda model, document: document.write_text("- ["), "edits.yml"),
        (lambda model, document: setattr(model, "edit_scene", None), "edit_scene"),
        (
            lambda model, document: setattr(model, "edit_scene", Path("/gone/config.yml")),
            "no such configuration",
        ),
    ],
)
def test_what_is_wrong_with_the_edits_is_one_line_in_nerfstudio_too(
    trained, tmp_path, change, says
):
    document = write_document(tmp_path / "edits.yml", {"type": "delete"})
    path = tmp_path / "edited.yml"
    write_edited_config(trained, path, [document])
    config = read_config(path)
    change(config.pipeline.model, document)
    path.write_text(yaml.dump(config))
    with pytest.raises(DffError, match=says) as raised:
        eval_setup(path, test_mode="inference")
    assert "\n" not in str(raised.value)


def test_bad_input_writes_nothing(trained, tmp_path):
    document = write_document(tmp_path / "edits.yml", {"type": "delete"})
    with pytest.raises(DffError, match="own configuration"):
        write_edited_config(trained, trained, [document])
    with pytest.raises(DffError, match="no such configuration"):
        write_edited_config(tmp_path / "config.yml", tmp_path / "edited.yml", [document])
    with pytest.raises(DffError, match="no such edit document"):
        write_edited_config(trained, tmp_path / "edited.yml", [tmp_path / "nothing.yml"])
    (tmp_path / "file").touch()
    with pytest.raises(DffError, match="cannot write"):
        write_edited_config(trained, tmp_path / "file" / "edited.yml", [document])
    assert not (tmp_path / "edited.yml").exists()


@pytest.mark.slow
@pytest.mark.parametrize("command", ["camera-path", "spiral", "dataset"])
def test_ns_render_itself(trained, tmp_path, command, monkeypatch):
    import os
    import subprocess
    import sys

    # The other process finds the surface with all of them: another surface, another selection.
    monkeypatch.setattr("dff.scene.BAKED_RAYS", RAYS)
    document = write_document(tmp_path / "edits.yml", {"type": "delete"})
    edited = tmp_path / "edited.yml"
    write_edited_config(trained, edited, [document])
    write_camera_path(tmp_path / "path.json")
    options = {
        "camera-path": ["--camera-path-filename", tmp_path / "path.json"],
        "spiral": ["--seconds", "0.1"],
        # Of a split of one image nerfstudio does not keep the name.
        "dataset": ["--rendered-output-names", "rgb", "--split", "train"],
    }[command]
    if command != "dataset":
        options += ["--output-format", "images"]
    program = "from nerfstudio.scripts.render import entrypoint; entrypoint()"
    command_line = [sys.executable, "-c", program, command, "--load-config", edited]
    command_line += ["--output-path", tmp_path / "out", "--image-format", "png", *options]

    def run() -> subprocess.CompletedProcess:
        return subprocess.run(
            [str(part) for part in command_line],
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )

    done = run()
    assert done.returncode == 0, done.stderr
    (shown, *_) = sorted((tmp_path / "out").rglob("*.png"))
    if command == "dataset":
        out = str(tmp_path / "ours")
        common = ["render", "--load-config", str(edited), "--output-path", out]
        main([*common, "--trajectory", "dataset", "--frames", shown.stem])
        assert np.abs(read(shown) - read(tmp_path / "ours" / shown.name)).max() <= 1
    document.write_text("version: 1\nsteps: [{selection: {click: [x]}, operation: {type: no}}]")
    done = run()
    assert done.returncode == 1
    assert [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert "Traceback" not in done.stderr
