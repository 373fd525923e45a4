"""Checkpoints of real training runs: what is in them, going on, and what may be wrong with them."""

from __future__ import annotations

import copy
import errno
import os
import shutil
import zipfile
from pathlib import Path
from types import MappingProxyType

import pytest
import torch

import dff.teachers.registry
from dff.checkpoint import CheckpointRecord, TeacherRecord, read_record
from dff.errors import DffError
from dff.fields.visibility import DensityPrior
from dff.method import dff_method
from dff.scene import load
from dff.trainer import DFFTrainer, latest_checkpoint
from dff.training import step_of, train_scene


@pytest.fixture(autouse=True)
def _same_prior_everywhere(monkeypatch) -> None:
    """The prior has tests of its own, and takes longer than three steps."""
    monkeypatch.setattr(DensityPrior, "from_cameras", lambda *cameras: DensityPrior.uniform(0.1))


@pytest.fixture(scope="module")
def _short_run(tmp_path_factory, shared_capture, train_small) -> Path:
    return train_small(shared_capture, tmp_path_factory.mktemp("short"), 3).parents[2]


@pytest.fixture
def short_run(_short_run, tmp_path, colour_teacher) -> Path:
    """The ``config.yml`` of a run of three steps: a copy, to break or to go on with."""
    shutil.copytree(_short_run, tmp_path / "scene")
    return tmp_path / "scene" / "dff" / "run" / "config.yml"


def checkpoints(config: Path) -> list[str]:
    return sorted(path.name for path in (config.parent / "nerfstudio_models").iterdir())


def newest(config: Path) -> Path:
    return latest_checkpoint(config.parent / "nerfstudio_models")


def resumed(config: Path, capture: Path, small, **more) -> DFFTrainer:
    """A trainer that has just loaded the checkpoints of a run, as ``--load-dir`` does."""
    settings = copy.deepcopy(dff_method.config)
    small(settings)
    settings.data = settings.pipeline.datamanager.data = capture
    settings.output_dir = config.parent.parent / "again"
    settings.experiment_name, settings.timestamp = "again", "run"
    settings.vis = "tensorboard"
    settings.load_dir = config.parent / "nerfstudio_models"
    settings.max_num_iterations = 5
    for name, value in more.items():
        setattr(settings.pipeline, name, value)
    trainer = settings.setup()
    trainer.setup()
    return trainer


def same(first: object, second: object) -> bool:
    if isinstance(first, torch.Tensor):
        return isinstance(second, torch.Tensor) and torch.equal(first, second)
    if isinstance(first, dict):
        return first.keys() == second.keys() and all(same(v, second[k]) for k, v in first.items())
    if isinstance(first, (list, tuple)):
        return len(first) == len(second) and all(map(same, first, second))
    return first == second


def test_a_checkpoint_loads_with_weights_only_and_knows_where_it_comes_from(short_run):
    assert checkpoints(short_run) == ["step-000000002.ckpt"]
    state = torch.load(newest(short_run), weights_only=True)
    assert state["step"] == 2
    record = read_record(state["pipeline"])
    assert record == CheckpointRecord("torch", (TeacherRecord("colour", 5, "c0"),))
    assert set(state["optimizers"]) == {"proposal_networks", "fields", "feature_field"}
    assert all(isinstance(value, torch.Tensor) for value in state["pipeline"].values())


def test_going_on_restores_everything_and_the_next_step(short_run, capture, small):
    state = torch.load(newest(short_run), weights_only=True)
    trainer = resumed(short_run, capture, small)
    assert trainer._start_step == 3
    assert same(state["pipeline"], trainer.pipeline.state_dict())
    for name, optimizer in trainer.optimizers.optimizers.items():
        found = optimizer.state_dict()
        assert same(state["optimizers"][name]["state"], found["state"])
        assert found["state"][0]["step"] == 3
        rate = state["optimizers"][name]["param_groups"][0]["lr"]
        assert found["param_groups"][0]["lr"] == rate
    for name, scheduler in trainer.optimizers.schedulers.items():
        assert scheduler.state_dict()["last_epoch"] == state["schedulers"][name]["last_epoch"] == 3


def test_going_on_ends_at_the_number_of_steps_asked_for(
    short_run, tmp_path, capture, small, colour_teacher
):
    config = train_scene(capture, tmp_path / "scene", iterations=5, configure=small)
    assert config == short_run
    assert checkpoints(config) == ["step-000000004.ckpt"]


def test_what_is_finished_is_not_trained_again(short_run, tmp_path, capture, small, monkeypatch):
    def refuse(self, step):
        raise AssertionError("trained again")

    monkeypatch.setattr(DFFTrainer, "train_iteration", refuse)
    assert train_scene(capture, tmp_path / "scene", iterations=3, configure=small) == short_run


def test_an_interrupted_run_goes_on_where_it_saved_last(
    tmp_path, capture, small, colour_teacher, monkeypatch
):
    steps: list[int] = []
    iteration = DFFTrainer.train_iteration

    def until_stopped(self, step):
        if step == 6 and 6 not in steps:
            steps.append(step)
            raise KeyboardInterrupt
        steps.append(step)
        return iteration(self, step)

    monkeypatch.setattr(DFFTrainer, "train_iteration", until_stopped)

    def run() -> Path:
        return train_scene(capture, tmp_path / "scene", iterations=8, save_every=2, configure=small)

    with pytest.raises(KeyboardInterrupt):
        run()
    config = run()
    assert steps == [0, 1, 2, 3, 4, 5, 6, 5, 6, 7]
    assert checkpoints(config) == ["step-000000007.ckpt"]


def test_what_a_killed_writer_left_behind_does_not_stop_going_on(short_run, capture, small):
    (newest(short_run).parent / ".tmp-123-abc").write_bytes(b"half")
    assert resumed(short_run, capture, small)._start_step == 3


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO])
def test_a_checkpoint_that_cannot_be_written_leaves_the_old_one(
    short_run, capture, small, monkeypatch, code
):
    trainer = resumed(short_run, capture, small)
    trainer.checkpoint_dir = newest(short_run).parent
    before = newest(short_run).read_bytes()

    def fail(*paths):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(DffError, match="disk full" if code == errno.ENOSPC else "cannot write"):
        trainer.save_checkpoint(4)
    monkeypatch.undo()
    assert checkpoints(short_run) == ["step-000000002.ckpt"]
    assert newest(short_run).read_bytes() == before
    trainer.save_checkpoint(4)
    assert checkpoints(short_run) == ["step-000000004.ckpt"]


def garbage(path: Path) -> None:
    path.write_bytes(b"this is no checkpoint at all")


def a_word(path: Path) -> None:
    # Where a pickle's opcode wants four bytes there is nothing more.
    path.write_bytes(b"junk")


def empty(path: Path) -> None:
    path.write_bytes(b"")


def truncated(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def flipped(path: Path) -> None:
    # A zip file whose directory is whole but whose pickle is not.
    with zipfile.ZipFile(path) as archive:
        name = next(n for n in archive.namelist() if n.endswith("data.pkl"))
        start = archive.getinfo(name).header_offset + 200
    content = bytearray(path.read_bytes())
    content[start : start + 64] = bytes(64)
    path.write_bytes(content)


def a_list(path: Path) -> None:
    torch.save([1, 2, 3], path)


def no_pipeline(path: Path) -> None:
    torch.save({"step": 2}, path)


def a_program(path: Path) -> None:
    torch.save({"step": 2, "pipeline": {}, "call": os.system}, path)


DAMAGES = [garbage, a_word, empty, truncated, flipped, a_list, no_pipeline, a_program]


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_a_damaged_checkpoint_is_one_line(short_run, capture, small, damage):
    damage(newest(short_run))
    with pytest.raises(DffError, match=r"damaged|cannot") as raised:
        load(short_run, device="cpu")
    assert "\n" not in str(raised.value)
    with pytest.raises(DffError, match="cannot resume") as raised:
        resumed(short_run, capture, small)
    assert "\n" not in str(raised.value)


def rewrite(config: Path, change) -> None:
    path = newest(config)
    state = torch.load(path, weights_only=True)
    change(state["pipeline"])
    torch.save(state, path)


def by_tcnn(pipeline: dict) -> None:
    record = CheckpointRecord("tcnn", (TeacherRecord("colour", 5, "c0"),))
    pipeline["_model.record"] = record.to_tensor()


def by_others(pipeline: dict) -> None:
    del pipeline["_model.record"]


def of_other_size(pipeline: dict) -> None:
    key = next(key for key in pipeline if key.startswith("_model.field.density_mlp"))
    pipeline[key] = torch.zeros(3)


def with_a_tensor_missing(pipeline: dict) -> None:
    del pipeline[next(key for key in pipeline if key.startswith("_model.field.density_mlp"))]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (by_tcnn, "tiny-cuda-nn"),
        (by_others, "not written by dff"),
        (of_other_size, "does not fit"),
        (with_a_tensor_missing, "does not fit"),
    ],
)
def test_a_checkpoint_that_does_not_fit_is_one_line(short_run, capture, small, change, says):
    rewrite(short_run, change)
    with pytest.raises(DffError, match=says) as raised:
        load(short_run, device="cpu")
    assert "\n" not in str(raised.value)
    with pytest.raises(DffError, match=says):
        resumed(short_run, capture, small)


def test_another_teacher_is_refused(short_run, capture, small, colour_teacher, monkeypatch):
    class Other(type(colour_teacher)):
        name, fingerprint = "other", "o0"

    monkeypatch.setattr(
        dff.teachers.registry,
        "_TEACHERS",
        MappingProxyType(
            {
                "colour": lambda device, options: colour_teacher,
                "other": lambda device, options: Other(),
            }
        ),
    )
    with pytest.raises(DffError, match=r"--pipeline\.teachers colour"):
        resumed(short_run, capture, small, teachers="other")


def test_other_weights_of_the_teacher_are_refused(
    short_run, capture, small, colour_teacher, monkeypatch
):
    class Newer(type(colour_teacher)):
        fingerprint = "c1"

    teachers = MappingProxyType({"colour": lambda device, options: Newer()})
    monkeypatch.setattr(dff.teachers.registry, "_TEACHERS", teachers)
    with pytest.raises(DffError, match="other weights"):
        resumed(short_run, capture, small)
    scene = load(short_run, device="cpu")  # the pictures are still good
    with pytest.raises(DffError, match="other weights"):
        _ = scene.teacher


def test_features_cannot_be_left_out_of_a_checkpoint_that_has_them(short_run, capture, small):
    def without(settings) -> None:
        small(settings)
        settings.pipeline.model.train_features = False

    with pytest.raises(DffError, match="train-features"):
        resumed(short_run, capture, without)


def test_a_folder_without_a_checkpoint_is_one_line(short_run, capture, small):
    newest(short_run).unlink()
    with pytest.raises(DffError, match="no checkpoint"):
        load(short_run, device="cpu")
    with pytest.raises(DffError, match="no checkpoint"):
        resumed(short_run, capture, small)


def test_a_capture_that_was_moved_is_one_line(tmp_path, capture, train_small):
    short_run = train_small(capture, tmp_path, 1)
    shutil.move(capture, tmp_path / "elsewhere")
    with pytest.raises(DffError, match="no such capture"):
        load(short_run, device="cpu")


def test_the_newest_checkpoint_is_the_last_step(tmp_path):
    for step in (5, 100, 20):
        (tmp_path / f"step-{step:09d}.ckpt").touch()
    assert step_of(latest_checkpoint(tmp_path)) == 100


def test_a_scene_without_features_trains_loads_and_renders(
    tmp_path, capture, small, colour_teacher
):
    def without(settings) -> None:
        small(settings)
        settings.pipeline.model.train_features = False

    config = train_scene(capture, tmp_path / "plain", iterations=2, configure=without)
    scene = load(config, device="cpu")
    assert scene.render(scene.views("eval")[0].camera)["rgb"].shape == (18, 24, 3)
    with pytest.raises(DffError, match="without features"):
        _ = scene.surface
