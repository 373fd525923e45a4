"""The last run is the one whose checkpoint was written last."""

from __future__ import annotations

import os

import pytest

from dff.errors import DffError
from dff.runs import last_run


def a_run(folder, scene: str, stamp: str, when: int | None):
    run = folder / scene / "dff" / stamp
    (run / "nerfstudio_models").mkdir(parents=True)
    (run / "config.yml").write_text("")
    if when is not None:
        checkpoint = run / "nerfstudio_models" / "step-000000010.ckpt"
        checkpoint.write_text("")
        os.utime(checkpoint, (when, when))
    return run / "config.yml"


def test_the_one_that_was_trained_last(tmp_path):
    a_run(tmp_path, "fox", "2026-01-02_000000", 100)
    newest = a_run(tmp_path, "fruit", "2026-01-01_000000", 200)
    a_run(tmp_path, "fruit", "2026-01-03_000000", None)  # never got to a checkpoint
    assert last_run(tmp_path) == newest


def test_none_is_one_line(tmp_path):
    with pytest.raises(DffError, match="no trained dff scene below"):
        last_run(tmp_path / "nowhere")
