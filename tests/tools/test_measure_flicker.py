"""Measuring flicker: frames lie where they are, and masks are those that were asked for."""

from __future__ import annotations

import dataclasses
import json
import math
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch

from dff.data.generated.scene import SceneTruth, write_scene
from dff.errors import DffError
from dff.evaluate.flicker import DepthFrame, SharedPlaces, shared_places, warped_iou, world_points

TOOLS = Path(__file__).resolve().parents[2] / "tools"
sys.path.insert(0, str(TOOLS))

import measure_flicker  # noqa: E402
from measure_flicker import (  # noqa: E402
    MeasureFlicker,
    main,
    measure,
    queries_of,
    rendered_frame,
    report,
    steadiness,
    true_frame,
    true_mask,
    truth_of,
)

NOWHERE = Path("config.yml")


@pytest.fixture(scope="module")
def generated(tmp_path_factory) -> SceneTruth:
    folder = tmp_path_factory.mktemp("generated") / "scene"
    return write_scene(folder, 3, num_objects=3, num_train=12, num_eval=2, width=64, height=48)


def test_true_frames_lie_where_the_rays_end(generated):
    frame = true_frame(generated, 2)
    origin, directions = generated.cameras[2].rays()
    depth = generated.depth(2).reshape(-1, 1)
    there = frame.there.flatten().numpy()
    expected = (origin + depth * directions)[there]
    np.testing.assert_allclose(world_points(frame).view(-1, 3)[there], expected, atol=1e-4)


def test_true_masks_hardly_flicker(generated):
    for thing in generated.description.objects:
        masks = [true_mask(generated, number, thing.phrase) for number in (5, 6)]
        assert all(mask.any() for mask in masks)
        places = shared_places(true_frame(generated, 5), true_frame(generated, 6))
        assert warped_iou(places, *masks) > 0.9
        # The same pixels of the other frame are other places.
        assert warped_iou(places, masks[0], masks[0]) < 0.8


def test_true_masks_are_those_of_the_phrase(generated):
    first = generated.description.objects[0]
    _, instances = generated.masks(0)
    assert np.array_equal(true_mask(generated, 0, first.phrase), instances == first.instance)
    assert not true_mask(generated, 0, "glass eye").any()


def test_rendered_frames_lie_where_the_scene_is(scene):
    view = scene.views()[3]
    seen = scene.see(view.camera)
    frame = rendered_frame(view, seen)
    assert frame.there.equal(seen.there)
    assert torch.allclose(world_points(frame)[seen.there], seen.points[seen.there], atol=1e-4)


def test_distorted_cameras_are_refused(scene):
    view = scene.views()[0]
    camera = view.camera[0:1]
    camera.distortion_params = torch.tensor([[0.1, 0, 0, 0, 0, 0]])
    with pytest.raises(DffError, match="undistort the capture"):
        rendered_frame(dataclasses.replace(view, camera=camera), scene.see(view.camera))


def test_questions(generated):
    options = MeasureFlicker(NOWHERE)
    phrases = [thing.phrase for thing in generated.description.objects]
    queries = queries_of(options, generated)
    assert [query.positives for query in queries] == [(phrase,) for phrase in phrases]
    assert queries[0].negatives == (*phrases[1:], "table", "background")
    given = MeasureFlicker(NOWHERE, phrases=("red", "green"), negatives=("sky",))
    assert [query.negatives for query in queries_of(given, None)] == [
        ("green", "sky"),
        ("red", "sky"),
    ]
    with pytest.raises(DffError, match="name what to ask with --phrases"):
        queries_of(options, None)


def test_steadiness_is_the_mean_over_pairs_that_show_it():
    whole = SharedPlaces(torch.arange(4), torch.arange(4))
    masks = [torch.tensor(mask, dtype=torch.bool) for mask in ([1, 1, 0, 0], [1, 0, 0, 0])]
    none = torch.zeros(4, dtype=torch.bool)
    # 1 of 2, nothing of 1, nothing of nothing.
    assert steadiness([*masks, none, none], [whole] * 3) == pytest.approx((0.5 + 0.0) / 2)
    assert math.isnan(steadiness([none, none], [whole]))


def test_a_capture_is_measured_by_rendered_depth(scene):
    assert truth_of(scene) is None
    options = MeasureFlicker(NOWHERE, phrases=("red", "green"), negatives=("table", "sky"))
    figures = measure(scene, options, None)
    assert set(figures) == {"red", "green"}
    for row in figures.values():
        assert set(row) == {"3D", "2D"}
        # Balls a few pixels wide, seen from 30 degrees apart.
        assert row["3D"] > 0.6
        assert row["2D"] > 0.6
    with pytest.raises(DffError, match="smaller --every"):
        measure(scene, dataclasses.replace(options, every=100), None)


def test_a_mask_fixed_in_the_picture_flickers(scene, monkeypatch):
    fixed = torch.zeros(18, 24)
    fixed[6:14, 2:9] = 1.0
    monkeypatch.setattr(measure_flicker, "photo_scores", lambda *_: fixed)
    options = MeasureFlicker(NOWHERE, phrases=("red",), negatives=("table", "sky"))
    row = measure(scene, options, None)["red"]
    assert row["2D"] < 0.6 < row["3D"]


def test_truth_is_measured_where_it_is_known(scene, monkeypatch, tmp_path, capsys):
    views = scene.views()[::4]
    frames = [rendered_frame(view, scene.see(view.camera)) for view in views]
    numbers = {view.name: number for number, view in enumerate(scene.views())}
    kept: dict[int, DepthFrame] = dict(zip((0, 4, 8), frames, strict=True))
    ball = torch.zeros(18, 24, dtype=torch.bool)
    ball[8:12, 8:16] = True
    truth = type("Truth", (), {"frames": numbers})()
    monkeypatch.setattr(measure_flicker, "dff", type("dff", (), {"load": lambda path: scene}))
    monkeypatch.setattr(measure_flicker, "truth_of", lambda scene: truth)
    monkeypatch.setattr(measure_flicker, "true_frame", lambda truth, number: kept[number])
    monkeypatch.setattr(measure_flicker, "true_mask", lambda truth, number, phrase: ball)
    path = tmp_path / "figures.json"
    main(MeasureFlicker(NOWHERE, ("red",), ("table", "sky"), every=4, json=path))
    row = json.loads(path.read_text())["red"]
    expected = np.mean([warped_iou(shared_places(*two), ball, ball) for two in pairwise(frames)])
    assert row["truth"] == pytest.approx(expected)
    assert f"{row['truth']:.3f}" in capsys.readouterr().out


def test_phrases_without_a_figure_are_left_out_of_the_mean(capsys):
    report({"red": {"3D": 0.5}, "green": {"3D": math.nan, "truth": 0.25}})
    last = capsys.readouterr().out.strip().splitlines()[-2]
    assert "mean" in last
    assert "0.500" in last
    assert "0.250" in last
