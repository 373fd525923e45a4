"""The bench of edits: that it times what it says, and against the frame beside it."""

from __future__ import annotations

import dataclasses
import itertools
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from dff.errors import DffError

TOOLS = Path(__file__).resolve().parents[2] / "tools"
sys.path.insert(0, str(TOOLS))

import bench_edits  # noqa: E402
from bench_edits import (  # noqa: E402
    UNEDITED,
    BenchEdits,
    Frame,
    bake_selection,
    main,
    rows_of,
    time_frames,
)

NOWHERE = Path("config.yml")


def test_ratios_are_taken_round_by_round():
    # The second round was three times as slow for everybody.
    times = {UNEDITED: [1.0, 3.0, 1.0], "delete": [1.2, 3.6, 1.3]}
    frames = {UNEDITED: Frame(), "delete": Frame(goal=1.25)}
    plain, deleted = rows_of(frames, times, {UNEDITED: 100.0, "delete": 110.0})
    assert (plain.seconds, plain.ratio, plain.goal) == (1.0, 1.0, None)
    assert deleted.seconds == 1.3
    assert deleted.ratio == pytest.approx(1.2)
    assert deleted.goal == 1.25
    assert deleted.memory_ratio == pytest.approx(1.1)
    assert rows_of(frames, times, {})[1].memory_ratio is None


def test_frames_take_turns(monkeypatch):
    ticks = itertools.count()
    monkeypatch.setattr(bench_edits.time, "perf_counter", lambda: float(next(ticks)))
    rendered = []

    class Recorder:
        def render(self, camera, edits, hidden):
            rendered.append((edits, hidden))

    edits: Any = "edits"
    frames = {UNEDITED: Frame(), "delete": Frame(edits, features=True)}
    times = time_frames(Recorder(), None, frames, 3)  # type: ignore[arg-type]
    assert rendered == [(None, False), ("edits", True)] * 4
    assert times == {UNEDITED: [1.0] * 3, "delete": [1.0] * 3}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, "either --text or --click"),
        ({"text": "red", "click": "IMG_00:1,1"}, "either --text or --click"),
        ({"text": "red", "scale": 0.0}, "scale must be above 0"),
        ({"text": "red", "view": "IMG_99"}, "no image is called"),
    ],
)
def test_bad_options_are_refused(scene, tmp_path, changes, words):
    with pytest.raises(DffError, match=words):
        bake_selection(scene, BenchEdits(NOWHERE, **changes), tmp_path)


def test_the_view_that_shows_most_is_rendered(scene, tmp_path):
    bench = BenchEdits(NOWHERE, text="red", scale=0.5)
    camera, shift = bake_selection(scene, bench, tmp_path)
    assert (int(camera.height), int(camera.width)) == (9, 12)
    assert (tmp_path / bench_edits.SELECTION).is_file()
    # Seven tenths of a ball's diagonal, 0.7 across: the rim of its voxels aside.
    assert 0.5 < shift[0] / to_model_scale(scene) / 0.7 < 1.6
    chosen = scene.load_selection(tmp_path / bench_edits.SELECTION)
    shares = [float(scene.see(v.camera).mask(chosen).float().mean()) for v in scene.views("eval")]
    best = scene.views("eval")[shares.index(max(shares))].camera
    assert camera.camera_to_worlds.equal(best.camera_to_worlds)


def to_model_scale(scene) -> float:
    return float(scene.pipeline.datamanager.train_dataparser_outputs.dataparser_scale)


def test_everything_is_measured_and_written(trained, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(bench_edits, "in_process", lambda function, *given: function(*given))
    path = tmp_path / "figures.json"
    bench = BenchEdits(trained, text="red", rounds=1, json=path)
    main(bench)
    figures = json.loads(path.read_text())
    rows = {row["frame"]: row for row in figures["rows"]}
    looked_into = [f"{name}, with features" for name in ("recolour", "delete")]
    recoloured, deleted = looked_into
    assert list(rows) == [
        *(UNEDITED, "recolour", recoloured, "delete", deleted, "transform", "duplicate")
    ]
    assert rows["transform"]["goal"] == 1.8
    assert rows[deleted]["goal"] == 1.3
    for name, row in rows.items():
        assert row["seconds"] > 0
        assert (row["megabytes"] is None) == (name in looked_into)
        assert row["megabytes"] is None or row["megabytes"] > 50
    assert "transform" in capsys.readouterr().out
    main(dataclasses.replace(bench, memory=False))
    assert all(r["megabytes"] is None for r in json.loads(path.read_text())["rows"])
