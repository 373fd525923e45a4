"""Other scenes are loaded once, and anew where they were trained further."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from dff.opened_scenes import MOST, OpenedScenes


@pytest.fixture
def loaded() -> list[Path]:
    return []


@pytest.fixture
def opened(loaded) -> OpenedScenes:
    def load(config: Path, device: torch.device) -> Any:
        loaded.append(config)
        return SimpleNamespace(checkpoint=max(config.parent.glob("step-*.ckpt")), device=device)

    return OpenedScenes(load, lambda: torch.device("cpu"))


def a_run(folder: Path) -> Path:
    folder.mkdir()
    (folder / "step-01.ckpt").write_bytes(b"weights")
    return folder / "config.yml"


def test_a_scene_is_loaded_once(opened, loaded, tmp_path):
    config = a_run(tmp_path / "a")
    assert not opened.has(config)
    assert opened.open(config) is opened.open(config)
    assert opened.has(config)
    assert loaded == [config]


@pytest.mark.parametrize(
    "train",
    [
        lambda folder: (folder / "step-02.ckpt").write_bytes(b"more"),
        lambda folder: os.utime(folder / "step-01.ckpt", ns=(1, 1)),
        lambda folder: (folder / "step-01.ckpt").rename(folder / "step-02.ckpt"),
    ],
)
def test_one_that_was_trained_further_is_loaded_anew(opened, loaded, tmp_path, train):
    config = a_run(tmp_path / "a")
    first = opened.open(config)
    train(config.parent)
    assert not opened.has(config)
    assert opened.open(config) is not first
    assert opened.open(config) is opened.open(config)
    assert loaded == [config, config]


def test_one_without_a_checkpoint_is_none(opened, tmp_path):
    config = a_run(tmp_path / "a")
    opened.open(config)
    (config.parent / "step-01.ckpt").unlink()
    assert not opened.has(config)


def test_only_some_stay_open(opened, tmp_path):
    configs = [a_run(tmp_path / str(number)) for number in range(MOST + 1)]
    for config in configs:
        opened.open(config)
    assert [opened.has(config) for config in configs] == [False] + [True] * MOST
