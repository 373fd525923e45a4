"""`dff features` from end to end, and every way to get it wrong."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dff.cli import main
from dff.data import feature_cache


def run(capsys, *parts: object) -> str:
    """What a command prints, spaces made one."""
    capsys.readouterr()
    main(["features", *(str(part) for part in parts)])
    return re.sub(r"\s+", " ", capsys.readouterr().out)


def refused(capsys, *parts: object) -> str:
    """The one line that a command ends with which must fail."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as raised:
        main(["features", *(str(part) for part in parts)])
    assert raised.value.code in (1, 2)
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    return line


@pytest.fixture
def cache(tmp_path) -> tuple[str, Path]:
    return "--feature-cache", tmp_path / "cache"


def maps(cache: tuple[str, Path]) -> list[Path]:
    return sorted(cache[1].glob("??/*.fmap"))


def test_coefficients_are_cached_and_found_again(capture, cache, capsys, colour_teacher):
    command = ("--data", capture, "--teacher", "colour", "--pca", 3, *cache)
    printed = run(capsys, *command)
    assert "12 images by teacher 'colour': 12 to encode" in printed
    assert "3 coefficients of 5 features: cosine" in printed
    assert "12 feature maps of 9x12x3" in printed
    assert run(capsys, *command).strip() == f"12 feature maps of 9x12x3 in {cache[1]}"


def test_one_edited_photo_is_encoded_alone(capture, cache, capsys, colour_teacher):
    command = ("--data", capture, "--teacher", "colour", *cache)
    run(capsys, *command)
    Image.new("RGB", (24, 18), (9, 200, 30)).save(capture / "images" / "IMG_05.png")
    (capture / "images" / "IMG_07.png").rename(capture / "images" / "renamed.png")
    transforms = capture / "transforms.json"
    transforms.write_text(transforms.read_text().replace("IMG_07", "renamed"))
    assert "1 to encode" in run(capsys, *command)
    assert len(maps(cache)) == 13


def test_photos_of_several_sizes_are_counted(tmp_path, cache, capsys, colour_teacher):
    folder = tmp_path / "photos"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for name, shape in {"a": (8, 12, 3), "b": (12, 8, 3), "c": (10, 10)}.items():
        Image.fromarray(rng.integers(0, 256, shape, dtype=np.uint8)).save(folder / f"{name}.jpg")
    printed = run(capsys, "--data", folder, "--teacher", "colour", *cache)
    assert "3 feature maps of 3 sizes, 5 numbers a cell" in printed


def test_the_cache_is_listed_verified_and_pruned(capture, cache, capsys, colour_teacher):
    assert "0 maps" in run(capsys, "--list", *cache)
    run(capsys, "--data", capture, "--teacher", "colour", *cache)
    run(capsys, "--data", capture, "--teacher", "colour", "--pca", 2, *cache)
    listed = run(capsys, "--list", *cache)
    assert "colour c0 5 2 12 " in listed
    assert "colour c0 5 - 12 " in listed
    assert "24 maps" in listed
    assert "0 maps" in run(capsys, "--list", "--teacher", "mini", *cache)
    assert "25 files" in run(capsys, "--verify", *cache)

    maps(cache)[3].write_bytes(maps(cache)[3].read_bytes()[:-1])
    line = refused(capsys, "--verify", *cache)
    assert "1 of 25 files" in line
    assert "--prune" in line
    dry = run(capsys, "--prune", "--dry-run", *cache)
    assert "1 damaged 1 files" in dry
    assert "would be freed" in dry
    assert len(maps(cache)) == 24
    assert "1 damaged" in run(capsys, "--prune", *cache)
    assert "24 files" in run(capsys, "--verify", *cache)
    printed = run(capsys, "--prune", "--teacher", "colour", "--older-than", 1, *cache)
    assert "0 files" in printed
    assert "23 map of colour" in run(capsys, "--prune", "--teacher", "colour", *cache)
    assert [path for path in cache[1].rglob("*") if path.is_file()] == []


def test_what_does_not_go_together_is_refused(capture, cache, capsys, colour_teacher):
    data = ("--data", capture, "--teacher", "colour", *cache)
    for parts, says in (
        (cache, "give --data SCENE"),
        (("--list", "--prune", *cache), "one at a time"),
        (("--verify", *data), "leave out --data"),
        (("--verify", "--teacher", "colour", *cache), "leave out --teacher"),
        (("--dry-run", *data), "belong to --prune"),
        (("--older-than", 3, "--list", *cache), "belong to --prune"),
        (("--prune", "--older-than", -3, *cache), "0 or more"),
        ((*data, "--pca", 0), "--pca must be at least 1"),
        ((*data, "--device", "gpu"), "cannot compute on --device gpu"),
        (("--data", capture, "--teacher", "colour,colour", *cache), "named twice"),
        (
            ("--data", capture, "--teacher", "mini,dino", "--teacher.checkpoint", "a", *cache),
            "which teacher's weights is a? Give --teacher.dino.checkpoint",
        ),
        (("--data", capture / "none", "--teacher", "lseg", *cache), "no such capture"),
    ):
        assert says in refused(capsys, *parts)
    assert not cache[1].exists()


def test_a_teacher_without_weights_costs_no_waiting(capture, cache, capsys, monkeypatch, tmp_path):
    def refuse(*arguments: object) -> None:
        raise AssertionError("work was begun")

    monkeypatch.setattr(feature_cache.FeatureCache, "ensure", refuse)
    missing = tmp_path / "missing.safetensors"
    for names in ("mini", "mini,precomputed"):
        flag = "--teacher.checkpoint" if names == "mini" else "--teacher.precomputed.folder"
        line = refused(capsys, "--data", capture, "--teacher", names, flag, missing, *cache)
        assert "missing.safetensors" in line


def test_options_of_a_teacher_reach_it(capture, cache, capsys, tmp_path):
    folder = tmp_path / "own maps"
    folder.mkdir()
    for image in (capture / "images").iterdir():
        values = np.random.default_rng(1).normal(size=(7, 4, 6)).astype(np.float32)
        np.save(folder / f"{image.stem}.npy", values)
    options = ("--teacher", "precomputed", "--teacher.precomputed.folder", folder)
    printed = run(
        capsys, "--data", capture, *options, "--teacher.precomputed.layout", "chw", *cache
    )
    assert "12 feature maps of 4x6x7" in printed
