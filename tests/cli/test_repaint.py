"""`dff repaint` by its command line, with a tiny CLIP that open_clip itself could load."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from dff.cli import main
from dff.query.text import TextQuery
from dff.repaint.settings import TowerOptions
from dff.repaint.stored import read_tensors
from dff.repaint.tower import find_tower, load_tower

sys.path.insert(0, str(Path(__file__).parent.parent / "teachers"))

from clip_reference import CLIP_MEAN, CLIP_STD, TINY, random_model, register, tiny_config

FEW = ("--patches.cameras", "2", "--patches.size", "24", "--patches.augmentations", "8")


def tiny_model() -> torch.nn.Module:
    """Random weights, with patches that count for more than their places."""
    model = random_model(tiny_config())
    model.visual.conv1.weight.mul_(5)
    return model


@pytest.fixture(scope="module")
def published(tmp_path_factory) -> Path:
    """A folder as open_clip publishes models."""
    folder = tmp_path_factory.mktemp("published")
    save_file(tiny_model().state_dict(), folder / "open_clip_model.safetensors")
    images = {"mean": CLIP_MEAN, "std": CLIP_STD, "interpolation": "bicubic"}
    facts = {"model_cfg": tiny_config(), "preprocess_cfg": images}
    (folder / "open_clip_config.json").write_text(json.dumps(facts))
    return folder


@pytest.fixture
def selection(scene, tmp_path) -> Path:
    path = tmp_path / "red.npz"
    scene.select(TextQuery(("red",), ("green", "table", "sky"))).save(path, scene.fingerprint)
    return path


def repaint(*parts: object) -> None:
    main(["repaint", *map(str, parts)])


def refused(capsys, *parts: object, status: int = 1) -> str:
    with pytest.raises(SystemExit) as ended:
        repaint(*parts)
    assert ended.value.code == status
    lines = capsys.readouterr().err.strip().splitlines()
    assert lines[-1].startswith("error: ")
    return lines[-1]


def test_the_tower_is_open_clip_s_own(published):
    """Embeddings of pictures and words are those of open_clip's functions."""
    judge = load_tower(find_tower(TowerOptions(checkpoint=published)))
    model = tiny_model()
    assert judge.size == (32, 32)
    picture = torch.rand(2, 3, 32, 32)
    mean, std = (torch.tensor(each)[:, None, None] for each in (CLIP_MEAN, CLIP_STD))
    wanted = model.encode_image((picture - mean) / std, normalize=True)
    torch.testing.assert_close(judge.pictures(picture), wanted, atol=1e-5, rtol=0)
    tokens = open_clip.SimpleTokenizer()(["an apple", "a pear"])
    words = model.encode_text(tokens, normalize=True)
    torch.testing.assert_close(judge.words(["an apple", "a pear"]), words, atol=1e-5, rtol=0)


def test_from_a_selection_to_a_picture_by_two_commands(
    trained, selection, published, tmp_path, capsys, monkeypatch
):
    monkeypatch.setattr("dff.repaint.run.PREVIEW_SIZE", 40)
    output = tmp_path / "rainbow"
    repaint(
        *("--load-config", trained, "--selection", selection, "--prompt", "a rainbow apple"),
        *("--output", output, "--clip.checkpoint", published, *FEW, "--training.steps", 40),
        *("--training.learning-rate", 0.1, "--training.preview-every", 40),
    )
    said = capsys.readouterr().out
    assert "--edits" in said
    first, last = (float(part) for part in said.split("loss ")[-1].split(":")[0].split(" -> "))
    assert last < first - 0.02
    facts, _ = read_tensors(output.with_suffix(".safetensors"))
    assert facts["prompt"] == "a rainbow apple"
    assert facts["guide"]["source_prompt"] == "red"
    assert facts["steps_done"] == 40
    assert output.with_suffix(".safetensors").stat().st_size < 1_000_000
    with Image.open(tmp_path / "rainbow.previews" / "000040.png") as picture:
        assert picture.size == (80, 40)
    views = ("render", "--load-config", trained, "--trajectory", "dataset", "--frames", "IMG_04")
    main([*map(str, (*views, "--output-path", tmp_path / "before"))])
    edits = ("--edits", output.with_suffix(".yml"), "--output-path", tmp_path / "after")
    main([*map(str, (*views, *edits))])
    before, after = (
        np.asarray(Image.open(tmp_path / name / "IMG_04.png")).astype(int)
        for name in ("before", "after")
    )
    changed = np.abs(after - before).max(axis=-1) > 3
    assert 0 < changed.sum() < 0.4 * changed.size


def test_a_model_registered_by_name_and_a_text_selection(trained, published, tmp_path, capsys):
    register(tmp_path, TINY, tiny_config())
    weights = published / "open_clip_model.safetensors"
    repaint(
        *("--load-config", trained, "--text", "red", "--negative", "green", "table", "sky"),
        *("--prompt", "a plum", "--output", tmp_path / "plum", "--loss", "plain", *FEW),
        *("--clip.model", TINY, "--clip.checkpoint", weights, "--training.steps", 2),
        *("--training.preview-every", 0),
    )
    assert "2 steps" in capsys.readouterr().out
    facts, _ = read_tensors(tmp_path / "plum.safetensors")
    assert facts["guide"]["source_prompt"] is None


def test_without_weights_it_says_so_before_anything_is_loaded(capsys, tmp_path, monkeypatch):
    monkeypatch.setattr("dff.teachers.hub.is_reachable", lambda: False)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    missing = tmp_path / "nowhere" / "config.yml"
    line = refused(
        capsys,
        *("--load-config", missing, "--text", "apple", "--prompt", "x", "--output", tmp_path / "x"),
    )
    assert "not on this machine" in line
    assert "--clip.checkpoint" in line
    assert "--teacher" not in line


COMMON = ("--load-config", "c.yml", "--prompt", "a plum", "--output", "plum")


@pytest.mark.parametrize(
    ("parts", "said", "status"),
    [
        ((*COMMON,), "say once what is painted (nothing was given)", 2),
        ((*COMMON, "--text", "a", "--click", "I:1,2"), "(--text and --click was given)", 2),
        ((*COMMON, "--text", "a", "--training.steps", "0"), "--training.steps must be from 1", 1),
        ((*COMMON, "--text", "a", "--patches.size", "1"), "--patches.size must be from 8", 1),
        ((*COMMON, "--text", "a", "--editor.every", "0"), "--editor.every must be from 1", 1),
        ((*COMMON[:-1], "plum.png", "--text", "a"), "give a name without '.png'", 2),
        ((*COMMON, "--text", "a", "--clip.model", "ViT-B-23"), "did you mean", 1),
        ((*COMMON, "--text", "a", "--clip.checkpoint", "no.pt"), "there is no such file", 1),
        ((*COMMON, "--text", "a", "--by", "instruct-pix2pix"), "pip install 'dff[repaint]'", 1),
    ],
)
def test_bad_input_is_one_line(capsys, monkeypatch, parts, said, status):
    monkeypatch.setattr("dff.repaint.image_editing.importlib.util.find_spec", lambda name: None)
    assert said in refused(capsys, *parts, status=status)


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        ("config", "holds no model of open_clip"),
        ("half", "holds no model of open_clip"),
        ("weights", "holds no weights"),
        ("other", "does not fit this architecture"),
    ],
)
def test_folders_that_hold_no_model(capsys, published, trained, selection, tmp_path, damage, said):
    folder = tmp_path / "model"
    folder.mkdir()
    config = json.loads((published / "open_clip_config.json").read_text())
    if damage == "half":
        del config["model_cfg"]["vision_cfg"]
    if damage != "config":
        (folder / "open_clip_config.json").write_text(json.dumps(config))
    if damage == "other":
        save_file({"weight": torch.zeros(3)}, folder / "open_clip_model.safetensors")
    line = refused(
        capsys,
        *("--load-config", trained, "--selection", selection, "--prompt", "a plum"),
        *("--output", tmp_path / "plum", "--clip.checkpoint", folder),
    )
    assert said in line
