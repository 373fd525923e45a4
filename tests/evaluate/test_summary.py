"""Figures of frames together, by hand; and the files they are kept in."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch

from dff.errors import DffError
from dff.evaluate.compare import compare, differences
from dff.evaluate.frame_scores import label_figures
from dff.evaluate.metrics_file import Metrics, plain, read_metrics, write_metrics
from dff.evaluate.summary import summarise

LABELS = ("table", "apple", "banana")


def counts(both: int, either: int, present: bool = True) -> dict[str, Any]:
    return {
        "both": both,
        "either": either,
        "right": 90 + both,
        "pixels": 100,
        "boundary": both / either if either else None,
        "present": present,
    }


def test_label_lists_are_pooled_and_averaged_over_things():
    target = torch.tensor([[0, 0, 1, 1], [2, 2, -1, -1]])
    field = torch.tensor([[0, 1, 1, 1], [2, 2, 0, 0]])
    teacher = torch.tensor([[0, 0, 0, 1], [1, 2, 2, 2]])
    frame = {
        "image": "a",
        "labels": label_figures({"field": field, "teacher": teacher}, target, LABELS),
    }
    summary = summarise([frame, frame], LABELS, ("apple", "banana"))
    figures = summary.figures
    assert figures["labels/field/iou/table"] == pytest.approx(1 / 2)
    assert figures["labels/field/iou/apple"] == pytest.approx(2 / 3)
    assert figures["labels/field/iou/banana"] == pytest.approx(1)
    assert figures["labels/field/mean_iou"] == pytest.approx((2 / 3 + 1) / 2)
    assert figures["labels/field/accuracy"] == pytest.approx(5 / 6)
    # The teacher: apple 1 of 3, banana 1 of 2.
    assert figures["labels/teacher/mean_iou"] == pytest.approx((1 / 3 + 1 / 2) / 2)
    # Against the teacher every pixel counts, those without truth too: apple 1 of 4, banana 1 of 4.
    assert figures["agreement_with_teacher/mean_iou"] == pytest.approx((1 / 4 + 1 / 4) / 2)
    assert figures["agreement_with_teacher/accuracy"] == pytest.approx(3 / 8)
    labels, confusion = summary.confusions["3D field against ground truth"]
    assert labels == LABELS
    assert confusion == [[2, 2, 0], [0, 4, 0], [0, 0, 4]]


def test_one_at_a_time_is_pooled_and_per_image():
    frames = [
        {
            "image": "a",
            "asked": {
                "relevancy": {
                    "apple": {"field": counts(8, 10), "teacher": counts(5, 10)},
                    "kiwi": {"field": counts(0, 0, False), "teacher": counts(0, 4, False)},
                }
            },
            "localised": {"field": {"apple": True}, "teacher": {"apple": True}},
        },
        {
            "image": "b",
            "asked": {"relevancy": {"apple": {"field": counts(1, 10), "teacher": counts(5, 10)}}},
            "localised": {"field": {"apple": False}, "teacher": {"apple": True}},
        },
    ]
    figures = summarise(frames, (), ("apple",)).figures
    assert figures["relevancy/field/iou/apple"] == pytest.approx(9 / 20)
    assert figures["relevancy/field/mean_iou_per_image"] == pytest.approx((0.8 + 0.1) / 2)
    assert figures["relevancy/field/share_above_0.25"] == pytest.approx(0.5)
    assert figures["relevancy/field/mean_boundary_iou"] == pytest.approx((0.8 + 0.1) / 2)
    # What no image shows is not averaged over.
    assert figures["relevancy/field/mean_iou"] == pytest.approx(9 / 20)
    assert "relevancy/field/iou/kiwi" not in figures
    assert figures["localisation/field/accuracy"] == 0.5
    assert figures["localisation/teacher/accuracy"] == 1.0


def test_views_are_averaged_and_lpips_is_left_out_where_it_is_not():
    frames = [
        {"image": name, "psnr": value, "ssim": 0.5, "lpips": None, "psnr_without_features": value}
        for name, value in (("a", 20.0), ("b", 30.0))
    ]
    summary = summarise(frames, (), ())
    assert summary.figures["views/psnr"] == 25.0
    assert "views/lpips" not in summary.figures
    (table,) = summary.tables
    assert "LPIPS" not in table.headers
    assert table.rows[-1][0] == "mean"


def test_nothing_gives_nothing():
    summary = summarise([], (), ())
    assert summary.figures == {}
    assert summary.tables == []


def test_what_is_no_number_is_null_in_the_file(tmp_path):
    content = plain({"a": math.nan, "b": (1, math.inf), "c": Path("x")})
    assert json.dumps(content, allow_nan=False) == '{"a": null, "b": [1, null], "c": "x"}'
    write_metrics(Metrics({"command": "x"}, {"views/psnr": 20.0}, {}), tmp_path)
    found = read_metrics(tmp_path)
    assert found.figures == {"views/psnr": 20.0}
    assert read_metrics(tmp_path / "metrics.json").made == {"command": "x"}


def test_differences_are_to_the_first_and_of_what_all_have(tmp_path, capsys):
    from rich.console import Console

    first = Metrics({"labels": "x"}, {"views/psnr": 20.0, "only/here": 1.0}, {})
    second = Metrics({"labels": "y"}, {"views/psnr": 23.0, "labels/field/mean_iou": 0.5}, {})
    table = differences(["a", "b"], [first, second])
    assert table.rows == (("views/psnr", 20.0, 23.0, 3.0),)
    write_metrics(first, tmp_path / "a")
    write_metrics(second, tmp_path / "b")
    compare([tmp_path / "a", tmp_path / "b"], Console())
    assert "not the same files" in capsys.readouterr().out
    write_metrics(Metrics({}, {"other": 1.0}, {}), tmp_path / "c")
    with pytest.raises(DffError, match="no figure in common"):
        compare([tmp_path / "a", tmp_path / "c"], Console())


@pytest.mark.parametrize("text", ["", "{", "[]", '{"version": 1}', '{"version": 1, "figures": []}'])
def test_a_damaged_file_is_one_line(tmp_path, text):
    (tmp_path / "metrics.json").write_text(text)
    with pytest.raises(DffError, match="damaged"):
        read_metrics(tmp_path)
