"""A whole repainting of a trained scene by a CLIP that sees mean colours: proof by pictures."""

from __future__ import annotations

import dataclasses
import signal
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from dff.edits.storage import load_document
from dff.errors import DffError, UsageError
from dff.pictures import to_bytes
from dff.query.text import TextQuery
from dff.repaint.canvas import Canvas
from dff.repaint.files import RepaintFiles
from dff.repaint.guides import clip_guide, source_words
from dff.repaint.run import repaint
from dff.repaint.settings import PatchSettings, TrainingSettings
from dff.repaint.stored import read_tensors

sys.path.insert(0, str(Path(__file__).parent))

from repaint_stubs import colour_judge

PATCHES = PatchSettings(cameras=6, size=24, augmentations=3)
TRAINING = TrainingSettings(steps=40, learning_rate=0.1, save_every=20, preview_every=0)


@pytest.fixture
def canvas(scene) -> Canvas:
    return Canvas.of(scene, scene.select(TextQuery(("red",), ("green", "table", "sky"))))


def blue(canvas: Canvas, output: Path, training: TrainingSettings = TRAINING, **options):
    guide_options = {"source": "red", "loss": "directional", **options.pop("guide", {})}
    guide = clip_guide(
        canvas,
        colour_judge(),
        "blue",
        "stub",
        patches=PATCHES,
        training=training,
        **guide_options,
    )
    return repaint(canvas, guide, "blue", output, training, **options)


def pictures(scene, output: Path, truth) -> list[dict]:
    """Renders before and after by the document, and where the selection's silhouette is."""
    document = output.with_suffix(".yml")
    edits = scene.compile(load_document(document), document.parent)
    found = []
    for view in scene.views("all")[::3]:
        before = scene.render(view.camera)
        after = scene.render(view.camera, edits, touched=True)
        found.append({"before": before, "after": after, "label": truth(view.name)})
    return found


@pytest.mark.parametrize("loss", ["directional", "plain"])
def test_the_selected_ball_turns_blue_and_nothing_else_changes(
    scene, canvas, tmp_path, truth, loss
):
    losses = blue(canvas, tmp_path / "blue", guide={"loss": loss})
    assert len(losses) == TRAINING.steps
    assert sum(losses[-5:]) < sum(losses[:5])
    squares = []
    for seen in pictures(scene, tmp_path / "blue", truth):
        inside = torch.from_numpy(seen["label"] == 2)
        colour = seen["after"]["rgb"][inside].mean(dim=0)
        assert float(colour[2]) > 0.5
        assert float(colour[2]) > 2 * float(colour[:2].max())
        for name in ("accumulation", "depth", "expected_depth"):
            assert torch.equal(seen["after"][name], seen["before"][name])
        outside = seen["after"]["touched"][..., 0] < 0.01
        assert int(outside.sum()) > 200
        squares.append((seen["after"]["rgb"] - seen["before"]["rgb"])[outside].square())
    error = float(torch.cat(squares).mean())
    assert error < 10 ** (-50 / 10)


def test_the_preserving_loss_keeps_the_rim(scene, canvas, tmp_path, truth):
    changes = {}
    for weight in (0.0, 100.0):
        output = tmp_path / f"weight{weight:.0f}"
        blue(canvas, output, replace(TRAINING, preserve=weight))
        total = 0.0
        for seen in pictures(scene, output, truth):
            share = seen["after"]["touched"]
            change = (seen["after"]["rgb"] - seen["before"]["rgb"]).square().sum(-1, keepdim=True)
            total += float(((1 - share) * change).sum())
        changes[weight] = total
    assert changes[100.0] < 0.7 * changes[0.0]


def test_the_model_stays_as_it_was_trained(scene, canvas, tmp_path):
    before = {name: value.clone() for name, value in scene.model.state_dict().items()}
    blue(canvas, tmp_path / "blue", replace(TRAINING, steps=3))
    after = scene.model.state_dict()
    assert all(torch.equal(value, after[name]) for name, value in before.items())


def test_the_same_seed_gives_the_same_file_and_another_one_another(canvas, tmp_path):
    short = replace(TRAINING, steps=5)
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        torch.manual_seed(ord(name))
        blue(canvas, tmp_path / name, replace(short, seed=seed))
    files = [(tmp_path / f"{name}.safetensors").read_bytes() for name in "abc"]
    assert files[0] == files[1]
    assert (
        read_tensors(tmp_path / "c.safetensors")[0] != read_tensors(tmp_path / "a.safetensors")[0]
    )
    assert files[0] != files[2]


class Killed(BaseException):
    """The process is gone."""


def test_a_run_that_is_stopped_goes_on_bit_for_bit(canvas, tmp_path):
    short = replace(TRAINING, steps=12, save_every=4)
    whole = blue(canvas, tmp_path / "whole", short)

    def stop(number: int, loss: float) -> None:
        if number == 5:
            signal.raise_signal(signal.SIGINT)

    def kill(number: int, loss: float) -> None:
        if number == 10:
            raise Killed

    files = RepaintFiles.of(tmp_path / "parts")
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        blue(canvas, tmp_path / "parts", short, on_step=stop)
    assert signal.getsignal(signal.SIGINT) is before
    assert read_tensors(files.paint)[0]["steps_done"] == 6
    assert files.resume.exists()
    with pytest.raises(Killed):
        blue(canvas, tmp_path / "parts", short, on_step=kill)
    # Killed in step 11: what was saved after step 8 is there.
    assert read_tensors(files.resume)[0]["steps_done"] == 8
    rest = blue(canvas, tmp_path / "parts", short)
    assert rest == whole[8:]
    assert files.paint.read_bytes() == (tmp_path / "whole.safetensors").read_bytes()
    assert not files.resume.exists()
    assert blue(canvas, tmp_path / "parts", short) == []


def test_an_unfinished_repainting_can_be_looked_at(scene, canvas, tmp_path, truth):
    def stop(number: int, loss: float) -> None:
        if number == 20:
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        blue(canvas, tmp_path / "blue", on_step=stop)
    seen = pictures(scene, tmp_path / "blue", truth)[0]
    assert not torch.equal(seen["after"]["rgb"], seen["before"]["rgb"])


def test_previews_show_before_and_now(canvas, tmp_path, monkeypatch):
    monkeypatch.setattr("dff.repaint.run.PREVIEW_SIZE", 40)
    blue(canvas, tmp_path / "blue", replace(TRAINING, steps=3, preview_every=2))
    folder = tmp_path / "blue.previews"
    assert sorted(path.name for path in folder.iterdir()) == ["000002.png", "000003.png"]
    before, now = np.split(np.asarray(Image.open(folder / "000003.png")).astype(float), 2, axis=1)
    view = canvas.random_views(40, TRAINING.seed)(0)
    assert np.abs(before - to_bytes(view.picture)).max() <= 1
    assert np.abs(now - before)[view.share.numpy()[..., 0] == 0].max() <= 1
    assert np.abs(now - before).max() > 5


def test_another_request_for_the_same_output_is_refused_unless_told(canvas, tmp_path):
    short = replace(TRAINING, steps=2)
    blue(canvas, tmp_path / "blue", short)
    with pytest.raises(DffError, match=r"another run .settings.seed was 0, now 3.*--overwrite"):
        blue(canvas, tmp_path / "blue", replace(short, seed=3))
    with pytest.raises(DffError, match=r"guide.loss was 'directional', now 'plain'"):
        blue(canvas, tmp_path / "blue", short, guide={"loss": "plain"})
    assert len(blue(canvas, tmp_path / "blue", replace(short, seed=3), overwrite=True)) == 2


def test_how_often_is_saved_or_shown_changes_nothing(canvas, tmp_path):
    short = replace(TRAINING, steps=2)
    blue(canvas, tmp_path / "blue", short)
    assert blue(canvas, tmp_path / "blue", replace(short, save_every=1, preview_every=7)) == []


def test_a_damaged_resume_file_is_one_line(canvas, tmp_path):
    short = replace(TRAINING, steps=4, save_every=2)
    files = RepaintFiles.of(tmp_path / "blue")

    def kill(number: int, loss: float) -> None:
        if number == 2:
            raise Killed

    with pytest.raises(Killed):
        blue(canvas, tmp_path / "blue", short, on_step=kill)
    whole = files.resume.read_bytes()
    files.resume.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DffError, match="damaged"):
        blue(canvas, tmp_path / "blue", short)


def test_another_selection_is_another_run(scene, canvas, tmp_path):
    short = replace(TRAINING, steps=2)
    blue(canvas, tmp_path / "blue", short)
    other = Canvas.of(scene, scene.select(TextQuery(("green",), ("red", "table", "sky"))))
    with pytest.raises(DffError, match="selection was"):
        blue(other, tmp_path / "blue", short)


def test_nothing_selected_is_nothing_to_paint(canvas):
    empty = canvas.selection.within(lambda values: values * 0, "nothing")
    with pytest.raises(DffError, match="nothing to paint"):
        Canvas.of(canvas.scene, empty)


def test_the_source_prompt_is_what_was_asked_for(canvas):
    assert source_words(canvas.selection) == "red"
    assert source_words(replace(canvas.selection, made_by=("click IMG_00:3,4",))) == "a photo"
    with pytest.raises(DffError, match="looks like already"):
        clip_guide(canvas, colour_judge(), "Red", "stub", patches=PATCHES)


@pytest.mark.parametrize(
    ("changes", "option"),
    [
        ({"steps": 0}, "--training.steps"),
        ({"learning_rate": float("nan")}, "--training.learning-rate"),
        ({"preserve": -1.0}, "--training.preserve"),
        ({"seed": -1}, "--training.seed"),
        ({"save_every": 0}, "--training.save-every"),
    ],
)
def test_settings_out_of_range_name_their_option(canvas, tmp_path, changes, option):
    with pytest.raises(DffError, match=option):
        blue(canvas, tmp_path / "blue", replace(TRAINING, **changes))


@pytest.mark.parametrize("name", ["blue.png", "blue.npz"])
def test_the_output_has_a_name_that_says_what_it_is(tmp_path, name):
    with pytest.raises(UsageError, match="--output"):
        RepaintFiles.of(tmp_path / name)


@pytest.mark.parametrize("name", ["v1.0", "v1.0.safetensors", "v1.0.yml"])
def test_files_lie_beside_each_other_by_one_name(tmp_path, name):
    files = RepaintFiles.of(tmp_path / name)
    names = [path.name for path in dataclasses.astuple(files)]
    assert names[:2] == ["v1.0.safetensors", "v1.0.yml"]
    assert all(name.startswith("v1.0.") for name in names)
    assert len(set(names)) == 5


def test_the_output_is_no_folder(tmp_path):
    with pytest.raises(UsageError, match="is a folder"):
        RepaintFiles.of(tmp_path)
