"""Measuring edits: documents and truths say the same, and figures are those of the pictures."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from nerfstudio.data.dataparsers.nerfstudio_dataparser import NerfstudioDataParserConfig

from dff.data.generated.render import render_views
from dff.data.generated.scene import SceneTruth, write_scene
from dff.edits.operations import Duplicate, Insert, Transform
from dff.edits.selections import ClickSelection, TextSelection
from dff.edits.storage import load_document
from dff.errors import DffError
from dff.query.shown import Click

TOOLS = Path(__file__).resolve().parents[2] / "tools"
sys.path.insert(0, str(TOOLS))

import measure_edits  # noqa: E402
from edit_report import Figures, facts, report  # noqa: E402
from measure_edits import MeasureEdits, main, measure_all, measure_case  # noqa: E402

from dff.evaluate.edit_cases import (  # noqa: E402
    EDITS,
    Case,
    Pictures,
    Trained,
    cases,
    selections_of,
    thing_of,
    to_model,
    true_pictures,
)

SMALL = {"num_objects": 4, "num_train": 8, "num_eval": 2, "width": 48, "height": 36}


def parsed(path: Path):
    return NerfstudioDataParserConfig(data=path).setup().get_dataparser_outputs("train")


def with_model(truth: SceneTruth) -> Trained:
    """With nothing of a model but the coordinates that it would have."""
    manager = SimpleNamespace(train_dataparser_outputs=parsed(truth.path))
    scene = SimpleNamespace(pipeline=SimpleNamespace(datamanager=manager))
    return Trained(truth, scene, truth.path.parent / "config.yml")  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def own(tmp_path_factory) -> Trained:
    return with_model(write_scene(tmp_path_factory.mktemp("own") / "scene", 3, **SMALL))


@pytest.fixture(scope="module")
def other(tmp_path_factory) -> Trained:
    return with_model(write_scene(tmp_path_factory.mktemp("other") / "scene", 4, **SMALL))


@pytest.fixture(scope="module")
def made(own, other) -> dict[str, Case]:
    return {case.name: case for case in cases(own, other)}


def vertices(description, number: int) -> torch.Tensor:
    return torch.from_numpy(description.find(number).geometry().vertices)


def test_model_coordinates_are_where_the_cameras_are(own):
    centres = [
        camera.pose
        for camera, out in zip(own.truth.cameras, own.truth.held_out, strict=True)
        if not out
    ]
    mine = to_model(own.scene).apply(torch.tensor(centres, dtype=torch.float64)[:, :3, 3])
    theirs = parsed(own.truth.path).cameras.camera_to_worlds[:, :, 3].double()
    torch.testing.assert_close(mine, theirs, atol=1e-5, rtol=0)


def test_all_edits_are_there_and_none_is_inserted_from_nowhere(own, made):
    assert tuple(made) == EDITS
    assert [case.name for case in cases(own, None)] == list(EDITS[:-1])


@pytest.mark.parametrize("name", ["move", "move with fill", "duplicate", "insert"])
def test_documents_put_things_where_the_truth_has_them(own, other, made, name):
    case = made[name]
    assert isinstance(case.operation, (Transform, Duplicate, Insert))
    matrix = case.operation.as_matrix
    assert matrix is not None
    source = other if name == "insert" else own
    thing = thing_of(source.truth).instance
    before = to_model(source.scene).apply(vertices(source.truth.description, thing))
    after = to_model(own.scene).apply(vertices(case.truth.after, case.truth.touched[-1]))
    torch.testing.assert_close(matrix.apply(before), after, atol=1e-5, rtol=0)


def test_the_thing_is_the_one_a_quarter_from_the_top(own):
    seen = [own.truth.masks(k)[1] for k, out in enumerate(own.truth.held_out) if out]
    counts = [int((np.stack(seen) == number).sum()) for number in range(1, 5)]
    larger = sum(count > counts[thing_of(own.truth).instance - 1] for count in counts)
    assert larger == 1


def test_selections_ask_for_the_thing(own):
    thing = thing_of(own.truth)
    found = selections_of(own.truth, thing)
    click, text = found["click"], found["text"]
    assert isinstance(click, ClickSelection)
    assert isinstance(text, TextSelection)
    asked = Click.parse(click.click[0])
    number = own.truth.frames[asked.frame]
    assert not own.truth.held_out[number]
    assert own.truth.masks(number)[1][int(asked.y), int(asked.x)] == thing.instance
    assert text.text == (thing.phrase,)
    phrases = {each.phrase for each in own.truth.description.objects} - {thing.phrase}
    assert set(text.negative) == phrases | {"table", "background"}


class Pretended:
    """A bench whose edited and unedited pictures are off by known amounts."""

    def __init__(self, before: Pictures, kept: Pictures, off: tuple[float, float]) -> None:
        self.unedited = [image + off[0] for image in before.images]
        self.pictures = [image + off[1] for image in kept.images]
        self.marked = before.shows([1, 2, 3, 4])

    def silhouettes(self, selection):
        return self.marked

    def edited(self, step, name, folder, trusted=()):
        return self.pictures, {"compile_seconds": 0.25, "notice": "no rim"}


@pytest.mark.parametrize("name", ["recolour", "move", "delete", "insert"])
def test_figures_are_those_of_the_pictures(own, made, name, tmp_path):
    case, truth = made[name], own.truth
    frames = [k for k, out in enumerate(truth.held_out) if out]
    cameras = [truth.cameras[k] for k in frames]
    photographed = [c for c, out in zip(truth.cameras, truth.held_out, strict=True) if not out]
    kept, world = true_pictures(case.truth, cameras, photographed)
    before = Pictures.of(list(render_views(truth.description, cameras)))
    bench = Pretended(before, kept, (0.01, 0.02))
    found = measure_case(bench, case, "click", (before, kept, world), tmp_path, ())  # type: ignore
    assert found["unedited"] == pytest.approx(40.0, abs=0.01)
    assert found["edited"] == pytest.approx(40.0 - 20 * math.log10(2), abs=0.01)
    assert (found["compile_seconds"], found["notice"]) == (0.25, "no rim")
    assert math.isnan(found["iou"]) == (name == "insert")
    assert math.isnan(found["thing_edited"]) == (name == "delete")
    assert math.isnan(found["thing_unedited"]) == (name == "insert")
    if name != "recolour":
        # Shadows: the world is not what an edit of baked light can make of it.
        assert found["world_truth"] < 40
    assert (tmp_path / f"{name}_click.png").stat().st_size > 1000
    if name == "recolour":
        # What is selected counts, wherever the thing is: here it is everything on the table.
        pairs = zip(bench.pictures, bench.unedited, strict=True)
        off = torch.cat([(edited - unedited).square() for edited, unedited in pairs])
        away = torch.cat([~measure_edits.widened(mask) for mask in bench.marked])
        assert found["local"] == pytest.approx(-10 * math.log10(off[away].mean()), abs=0.01)


def test_photos_are_measured_by_what_stays(trained, tmp_path):
    options = MeasureEdits(load_config=trained, text=("red",), views=2, pictures=tmp_path)
    rows = list(measure_all(options))
    assert [(row.edit, row.way) for row in rows] == [("recolour", "text"), ("delete", "text")]
    for row in rows:
        assert row.local > 20
        assert math.isnan(row.loss)
        assert load_document(tmp_path / f"{row.edit}_red.yml").steps[0].name == row.edit
        assert (tmp_path / f"{row.edit}_red.png").is_file()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (MeasureEdits(), "say where generated scenes are"),
        (MeasureEdits(work=Path(), edits=("explode",)), "no 'explode' here; there are recolour"),
        (MeasureEdits(work=Path(), ways=("wish",)), "no 'wish' here; there are click, text"),
        (MeasureEdits(load_config=Path("config.yml")), "say what to select"),
    ],
)
def test_bad_options_are_refused(options, words):
    with pytest.raises(DffError, match=words):
        list(measure_all(options))


def test_what_was_measured_before_an_interruption_is_kept(tmp_path, monkeypatch):
    def stopped(options) -> Iterator[Figures]:
        yield Figures("3", "red apple", "recolour", "click", edited=28.0, unedited=29.0)
        raise KeyboardInterrupt

    monkeypatch.setattr(measure_edits, "measure_all", stopped)
    path = tmp_path / "figures.json"
    with pytest.raises(KeyboardInterrupt):
        main(MeasureEdits(json=path))
    (row,) = json.loads(path.read_text())
    assert row["loss"] == 1.0
    assert row["loss_goal"] == 2.0
    assert row["local_goal"] == 50.0


def test_the_table_has_means_and_says_what_failed(capsys):
    rows = [
        Figures("1", "red apple", "delete", "click", edited=20.0, unedited=26.0, local=50.0),
        Figures("2", "blue box", "delete", "click", edited=22.0, unedited=26.0, local=48.0),
        Figures("3", "red car", "delete", "click", failed="selects nothing"),
    ]
    report(rows)
    printed = capsys.readouterr().out
    mean = next(line for line in printed.splitlines() if "mean" in line)
    assert "5.00" in mean
    assert "49.0" in mean
    assert "failed" in printed
    assert facts(rows[0])["loss_goal"] is None
