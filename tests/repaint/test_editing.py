"""The image-editing guide with a pipeline that turns pictures red, called as the real one is."""

from __future__ import annotations

import importlib.util
import signal
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from dff.edits.storage import load_document
from dff.errors import DffError
from dff.query.text import TextQuery
from dff.repaint import image_editing
from dff.repaint.canvas import Canvas
from dff.repaint.guides import editing_guide
from dff.repaint.image_editing import PipelineEditor, find_editor, load_editor
from dff.repaint.run import repaint
from dff.repaint.settings import EditorOptions, TrainingSettings

sys.path.insert(0, str(Path(__file__).parent))

from repaint_stubs import RedPipeline

OPTIONS = EditorOptions(every=4, views=3, size=24, rays=150, num_inference_steps=2)
TRAINING = TrainingSettings(steps=40, learning_rate=0.1, save_every=6, preview_every=0)


@pytest.fixture
def canvas(scene) -> Canvas:
    return Canvas.of(scene, scene.select(TextQuery(("green",), ("red", "table", "sky"))))


def red(canvas: Canvas, output: Path, pipeline: RedPipeline, training=TRAINING, **options):
    guide = editing_guide(
        canvas, PipelineEditor(pipeline, OPTIONS), "make it red", OPTIONS, training
    )
    return repaint(canvas, guide, "make it red", output, training, **options)


def test_the_selected_ball_turns_red_and_the_rest_does_not(scene, canvas, tmp_path, truth):
    pipeline = RedPipeline()
    losses = red(canvas, tmp_path / "red", pipeline)
    assert losses[-1] < 0.3 * losses[0]
    assert [call["prompt"] for call in pipeline.calls] == ["make it red"] * 10
    edits = scene.compile(load_document(tmp_path / "red.yml"), tmp_path)
    squares = []
    for view in scene.views("all")[::3]:
        before = scene.render(view.camera)
        after = scene.render(view.camera, edits, touched=True)
        colour = after["rgb"][torch.from_numpy(truth(view.name) == 3)].mean(dim=0)
        assert float(colour[0]) > 0.8
        assert float(colour[1:].max()) < 0.2
        assert torch.equal(after["accumulation"], before["accumulation"])
        outside = after["touched"][..., 0] < 0.01
        squares.append((after["rgb"] - before["rgb"])[outside].square())
    assert float(torch.cat(squares).mean()) < 10 ** (-50 / 10)


def test_every_view_has_its_turn_with_noise_of_its_own(canvas, tmp_path):
    pipeline = RedPipeline()
    guide = editing_guide(canvas, PipelineEditor(pipeline, OPTIONS), "red", OPTIONS, TRAINING)
    paint = canvas.new_paint(True, 0)
    for step in range(0, 12, 4):
        guide.loss(paint, step)
    assert sorted(guide.state()) == ["0", "1", "2"]
    assert len({float(call["noise"]) for call in pipeline.calls}) == 3


def test_a_run_that_is_stopped_goes_on_with_the_pictures_it_had(canvas, tmp_path):
    short = replace(TRAINING, steps=10)

    def stop(number: int, loss: float) -> None:
        if number == 5:
            signal.raise_signal(signal.SIGINT)

    red(canvas, tmp_path / "whole", RedPipeline(), short)
    with pytest.raises(KeyboardInterrupt):
        red(canvas, tmp_path / "parts", RedPipeline(), short, on_step=stop)
    pipeline = RedPipeline()
    assert len(red(canvas, tmp_path / "parts", pipeline, short)) == 4
    assert len(pipeline.calls) == 1
    whole, parts = ((tmp_path / f"{n}.safetensors").read_bytes() for n in ("whole", "parts"))
    assert whole == parts


def test_pictures_of_any_size_come_back_at_their_size():
    pipeline = RedPipeline()
    found = PipelineEditor(pipeline, OPTIONS)(torch.rand(21, 35, 3), "red", 1)
    assert found.shape == (21, 35, 3)
    assert pipeline.calls[0]["size"] == (32, 24)
    torch.testing.assert_close(found, torch.tensor([1.0, 0, 0]).expand(21, 35, 3))


def test_the_same_seed_is_the_same_noise():
    pipeline = RedPipeline()
    editor = PipelineEditor(pipeline, OPTIONS)
    for seed in (1, 1, 2):
        editor(torch.rand(16, 16, 3), "red", seed)
    noise = [float(call["noise"]) for call in pipeline.calls]
    assert noise[0] == noise[1] != noise[2]


def test_a_blanked_picture_is_no_target():
    with pytest.raises(DffError, match="safety check"):
        PipelineEditor(RedPipeline(flagged=True), OPTIONS)(torch.rand(16, 16, 3), "red", 1)


def with_packages(monkeypatch, *there: str) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(
        image_editing.importlib.util,
        "find_spec",
        lambda name: (
            (object() if name in there else None)
            if name in ("diffusers", "transformers")
            else found(name)
        ),
    )


def test_a_missing_package_is_one_line(monkeypatch):
    with_packages(monkeypatch, "transformers")
    with pytest.raises(DffError, match=r"package diffusers: pip install 'dff\[repaint\]'"):
        find_editor(OPTIONS)


def test_missing_weights_are_one_line(monkeypatch):
    with_packages(monkeypatch, "diffusers", "transformers")
    monkeypatch.setattr(image_editing, "is_reachable", lambda: False)
    with pytest.raises(DffError, match="timbrooks/instruct-pix2pix: not on this machine"):
        find_editor(OPTIONS)


def test_a_folder_without_a_pipeline_is_one_line(monkeypatch, tmp_path):
    with_packages(monkeypatch, "diffusers", "transformers")
    with pytest.raises(DffError, match=r"model_index\.json"):
        find_editor(replace(OPTIONS, model=str(tmp_path)))


class LoadedPipeline(RedPipeline):
    """What ``from_pretrained`` gives, and how it was asked."""

    @classmethod
    def from_pretrained(cls, place: str, torch_dtype: torch.dtype) -> LoadedPipeline:
        if "broken" in place:
            raise OSError("something\nlong")
        found = cls()
        found.asked = (place, torch_dtype)
        return found

    def to(self, device: object) -> LoadedPipeline:
        return self

    def set_progress_bar_config(self, **options: object) -> None:
        assert options == {"disable": True}


def test_the_pipeline_is_loaded_as_diffusers_does_it(monkeypatch, tmp_path):
    with_packages(monkeypatch, "diffusers", "transformers")
    package = SimpleNamespace(StableDiffusionInstructPix2PixPipeline=LoadedPipeline)
    monkeypatch.setitem(sys.modules, "diffusers", package)
    for name in ("good", "broken"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "model_index.json").write_text("{}")
    editor = load_editor(replace(OPTIONS, model=str(tmp_path / "good")))
    assert editor._pipeline.asked == (str(tmp_path / "good"), torch.float32)
    with pytest.raises(DffError, match="something long"):
        load_editor(replace(OPTIONS, model=str(tmp_path / "broken")))
