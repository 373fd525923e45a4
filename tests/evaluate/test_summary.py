"""Figures of frames together, by hand; and the files they are kept in."""

from __future__ import annotations

import html
import io
import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console
from torchmetrics.functional.classification import multiclass_accuracy

from dff.errors import DffError
from dff.evaluate.compare import compare, differences
from dff.evaluate.frame_scores import label_figures
from dff.evaluate.metrics_file import Metrics, plain, read_metrics, write_metrics
from dff.evaluate.shown import rich_table
from dff.evaluate.summary import Table, summarise

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


def test_accuracy_per_class_equals_torchmetrics():
    generator = torch.Generator().manual_seed(3)
    labels = (*LABELS, "kiwi")
    frames, targets, guesses = [], [], {"field": [], "teacher": []}
    for _ in range(3):
        # No pixel is a kiwi, and some are of no known class.
        target = torch.randint(-1, 3, (9, 11), generator=generator)
        guess = {name: torch.randint(0, 4, (9, 11), generator=generator) for name in guesses}
        frames.append({"image": "a", "labels": label_figures(guess, target, labels)})
        targets.append(target[target >= 0])
        for name, each in guess.items():
            guesses[name].append(each[target >= 0])
    summary = summarise(frames, labels, ("apple", "banana"))
    figures = summary.figures
    (table,) = (each for each in summary.tables if each.title == "Label list")
    rows = {row[0]: row for row in table.rows}
    for source, column in (("field", "accuracy 3D"), ("teacher", "accuracy 2D")):
        each = multiclass_accuracy(
            torch.cat(guesses[source]), torch.cat(targets), num_classes=4, average="none"
        ).tolist()
        place = table.headers.index(column)
        for name, value in zip(LABELS, each, strict=False):
            assert figures[f"labels/{source}/accuracy/{name}"] == pytest.approx(value)
            assert rows[name][place] == pytest.approx(value)
        assert f"labels/{source}/accuracy/kiwi" not in figures
        assert figures[f"labels/{source}/mean_accuracy"] == pytest.approx(sum(each[1:3]) / 2)
        assert rows["mean of those asked for"][place] == pytest.approx(sum(each[1:3]) / 2)
        assert rows["all pixels"][place] == figures[f"labels/{source}/accuracy"]


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
    summary = summarise(frames, (), ("apple",))
    figures = summary.figures
    assert figures["relevancy/field/iou/apple"] == pytest.approx(9 / 20)
    assert figures["relevancy/field/mean_iou_per_image"] == pytest.approx((0.8 + 0.1) / 2)
    assert figures["relevancy/field/share_above_0.25"] == pytest.approx(0.5)
    assert figures["relevancy/field/mean_boundary_iou"] == pytest.approx((0.8 + 0.1) / 2)
    # What no image shows is not averaged over.
    assert figures["relevancy/field/mean_iou"] == pytest.approx(9 / 20)
    assert "relevancy/field/iou/kiwi" not in figures
    assert figures["localisation/field/accuracy"] == 0.5
    assert figures["localisation/teacher/accuracy"] == 1.0
    table = summary.tables[0]
    place = table.headers.index("per image 3D")
    assert table.rows[-1][place] == figures["relevancy/field/mean_iou_per_image"]


def test_names_are_whole_in_a_narrow_terminal():
    headers = ("class", *(f"{kind} {s}" for s in ("3D", "2D") for kind in ("IoU", "accuracy", "b")))
    headers = (*headers, "accuracy of both")
    heard = Console(file=io.StringIO(), width=70)
    heard.print(rich_table(Table("t", headers, (("background", *(0.5,) * 7),))))
    assert "background" in heard.file.getvalue()


def test_a_way_in_which_no_image_shows_anything_has_no_table():
    nothing = {"kiwi": {"field": counts(0, 4, False), "teacher": counts(0, 4, False)}}
    summary = summarise([{"image": "a", "asked": {"relevancy": nothing}}], (), ("kiwi",))
    assert summary.figures == {}
    assert summary.tables == []


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


def made(**facts: Any) -> Metrics:
    """An evaluation of which some options are known."""
    teachers = facts.pop("teachers", [{"name": "lseg", "fingerprint": "a"}])
    options = {"scale": 1.0, "classes": [], "leave_out": [], "names": []} | facts
    origin = {"labels": "x", "options": options, "teachers": teachers}
    return Metrics(origin, {"views/psnr": 20.0}, {"frames": [{"image": "a"}]})


@pytest.mark.parametrize(
    ("facts", "says"),
    [
        ({}, None),
        ({"scale": 0.5}, "different shares of the images' size (1.0 | 0.5)"),
        ({"classes": ["red", "green"]}, "different classes (none | green, red)"),
        ({"leave_out": ["IMG_01"]}, "left out (none | IMG_01)"),
        ({"names": ["b", "a"]}, "different names (none | b, a)"),
        ({"teachers": [{"name": "clip"}]}, "teachers are not the same (lseg | clip)"),
        (
            {"teachers": [{"name": "lseg", "fingerprint": "b"}]},
            "teachers are not the same in their weights",
        ),
    ],
)
def test_unlike_runs_are_noted_and_their_options_shown(tmp_path, facts, says):
    write_metrics(made(), tmp_path / "a")
    write_metrics(made(**facts), tmp_path / "b")
    heard = Console(file=io.StringIO(), width=200)
    compare([tmp_path / "a", tmp_path / "b"], heard, tmp_path)
    said, page = heard.file.getvalue(), html.unescape((tmp_path / "comparison.html").read_text())
    assert "option leave_out" in page
    if says is None:
        assert "note:" not in said
    else:
        assert said.count("note:") == 1
        assert says in said
        assert says in page


def test_the_order_of_classes_is_no_difference(tmp_path, capsys):
    write_metrics(made(classes=["red", "green"]), tmp_path / "a")
    write_metrics(made(classes=["green", "red"]), tmp_path / "b")
    compare([tmp_path / "a", tmp_path / "b"], Console())
    assert "note:" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("part", "content"),
    [
        ("details", {"frames": [{"psnr": 20.0}]}),
        ("details", {"frames": [{"image": 3}]}),
        ("details", {"frames": ["a"]}),
        ("details", {"frames": None}),
        ("made", {"options": []}),
        ("made", {"teachers": ["lseg"]}),
    ],
)
def test_damage_inside_is_one_line_too(tmp_path, part, content):
    path = write_metrics(made(), tmp_path)
    path.write_text(json.dumps({**json.loads(path.read_text()), part: content}))
    with pytest.raises(DffError, match="damaged"):
        read_metrics(tmp_path)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"version": 1}', '{"version": 1, "figures": []}'])
def test_a_damaged_file_is_one_line(tmp_path, text):
    (tmp_path / "metrics.json").write_text(text)
    with pytest.raises(DffError, match="damaged"):
        read_metrics(tmp_path)
