"""Which parts of an evaluation can be done: by hand, and `dff eval` from the outside."""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from dff.cli import main
from dff.errors import DffError
from dff.evaluate.benchmarks import Benchmark, Frame, Scribbles
from dff.evaluate.doable import PARTS, SceneFacts, hindrances, plan, without_figures
from dff.evaluate.summary import summarise

sys.path.insert(0, str(Path(__file__).parent))

from tiny_labels import write_labels

WHOLE = SceneFacts(held_out=True, features=True, text=True)


def read(image: str) -> Frame:
    return Frame(image, {}, torch.ones(2, 2, dtype=torch.bool))


def benchmark(**facts) -> Benchmark:
    """Labels of everything, one thing changed."""
    whole = Benchmark(
        "generated",
        ("red", "sky"),
        ("a", "b"),
        read,
        ("red",),
        label_list=True,
        scribbles=Scribbles("c", (2, 2), ((0.5, 0.5),)),
    )
    return dataclasses.replace(whole, **facts)


BY_NAME = {"labels", "relevancy", "rendered", "selected", "edits"}
SHOWN = {"click", "patch", "scribbles"}


@pytest.mark.parametrize(
    ("scene", "labels", "images", "parts", "says"),
    [
        (WHOLE, benchmark(), "abc", set(), ""),
        (dataclasses.replace(WHOLE, held_out=False), benchmark(), "abc", {"views"}, "held-out"),
        (WHOLE, None, "", BY_NAME | SHOWN, "--data"),
        (dataclasses.replace(WHOLE, features=False), benchmark(), "abc", BY_NAME | SHOWN, "feat"),
        (dataclasses.replace(WHOLE, text=False), benchmark(), "abc", BY_NAME, "understands text"),
        (WHOLE, benchmark(named=False), "abc", BY_NAME, "--names"),
        (WHOLE, benchmark(format="labels"), "abc", {"edits"}, "dff generate"),
        (WHOLE, benchmark(label_list=False), "abc", {"labels"}, "each pixel"),
        (
            WHOLE,
            benchmark(asked=()),
            "abc",
            {"relevancy", "rendered", "selected", "click", "patch"},
            "background",
        ),
        (WHOLE, benchmark(), "c", BY_NAME | SHOWN, "every labelled image is left out"),
        (WHOLE, benchmark(), "bc", {"click", "patch"}, "two labelled images"),
        (WHOLE, benchmark(prompt_images=("d",)), "abc", {"click", "patch"}, "two labelled"),
        (WHOLE, benchmark(scribbles=None), "abc", {"scribbles"}, "no scribbles"),
        (WHOLE, benchmark(), "ab", {"scribbles"}, "scribbles is left out"),
        (WHOLE, benchmark(images=("c",), prompt_images=("a",)), "abc", {"scribbles"}, "only one"),
    ],
)
def test_each_reason_hinders_its_parts_alone(scene, labels, images, parts, says):
    found = hindrances(scene, labels, set(images))
    assert set(found) == parts
    assert all(says in reason for reason in found.values())


def test_everything_is_what_is_allowed_and_what_is_asked_is_accounted_for():
    plain = benchmark(format="labels", scribbles=None)
    everything = plan((), WHOLE, plain, {"a", "b"})
    assert everything.parts == tuple(p for p in PARTS if p not in ("scribbles", "edits"))
    assert everything.notes == ()
    some = plan(("edits", "click", "scribbles"), WHOLE, plain, {"a", "b"})
    assert some.parts == ("click",)
    assert [note.split()[0] for note in some.notes] == ["edits", "scribbles"]
    with pytest.raises(DffError, match=r"--parts views labels relevancy .* patch$"):
        plan(("edits", "scribbles"), WHOLE, plain, {"a", "b"})
    blind = SceneFacts(held_out=False, features=True, text=True)
    with pytest.raises(DffError, match=r"views: .*held-out.*labels, .*, edits: .*give --data\)$"):
        plan((), blind, None, ())


def test_parts_without_a_figure_are_told_from_those_with_one():
    frames = [{"image": "a", "psnr": 20.0}]
    assert without_figures(("views", "click"), summarise(frames, (), ())) == ["click"]


@pytest.fixture
def run(trained, tmp_path):
    """`dff eval` of some labels."""

    def evaluate(labels: Path, *more: object) -> None:
        arguments = ("--load-config", trained, "--data", labels, "--output", tmp_path / "out")
        main(["eval", *map(str, (*arguments, *more))])

    return evaluate


@pytest.mark.parametrize(
    ("stems", "parts", "says"),
    [
        (("IMG_01", "IMG_04"), ("scribbles", "edits"), ("no scribbles", "dff generate")),
        (("IMG_04",), ("click",), ("click: it takes two labelled images", "--parts views labels")),
    ],
)
def test_nothing_of_what_was_asked_is_one_line(run, truth, tmp_path, capsys, stems, parts, says):
    with pytest.raises(SystemExit) as stopped:
        run(write_labels(tmp_path / "labels", truth, stems), "--parts", *parts)
    assert stopped.value.code != 0
    (error,) = capsys.readouterr().err.strip().splitlines()
    assert error.startswith("error: ")
    assert all(words in error for words in says)
    assert not (tmp_path / "out").exists()


def test_labels_that_show_nothing_asked_for_are_one_line(run, truth, tmp_path, capsys):
    labels = write_labels(tmp_path / "labels", lambda stem: np.ones((18, 24)), ("IMG_04",))
    with pytest.raises(SystemExit):
        run(labels, "--parts", "relevancy")
    errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error:")]
    assert len(errors) == 1
    assert "relevancy: no scored image shows" in errors[0]
    assert not (tmp_path / "out" / "metrics.json").exists()


def test_relevancy_alone_is_relevancy_alone_and_what_is_left_out_is_noted(
    run, truth, tmp_path, capsys
):
    run(write_labels(tmp_path / "labels", truth, ("IMG_04",)), "--parts", "relevancy", "click")
    said = " ".join(capsys.readouterr().out.split())
    note = "click is left out: it takes two labelled images"
    assert note in said
    assert "per image" in said
    out = tmp_path / "out"
    assert note in (out / "report.html").read_text()
    found = json.loads((out / "metrics.json").read_text())
    assert {name.split("/")[0] for name in found["figures"]} == {"relevancy"}
    assert any(note in each for each in found["details"]["notes"])
    (frame,) = found["details"]["frames"]
    assert set(frame["asked"]) == {"relevancy"}
    assert found["made"]["options"]["parts"] == ["relevancy"]


def test_the_published_rule_comes_with_localisation(run, truth, tmp_path):
    run(write_labels(tmp_path / "labels", truth, ("IMG_04",)), "--parts", "rendered")
    found = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert {name.split("/")[0] for name in found["figures"]} == {"rendered", "localisation"}
