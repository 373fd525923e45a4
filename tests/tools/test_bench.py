"""The benchmarks' own sums: exponents, times between looks, rays of peers, growth."""

from __future__ import annotations

import functools
import json
import math
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from nerfstudio.data.dataparsers.nerfstudio_dataparser import NerfstudioDataParserConfig

from dff.errors import DffError

TOOLS = Path(__file__).resolve().parents[2] / "tools"
sys.path.insert(0, str(TOOLS))

import bench_parts.runs as runs  # noqa: E402
from bench import flat, text_of  # noqa: E402
from bench_parts.runs import HeldOut  # noqa: E402
from bench_peers import PEERS, BenchPeers, installed, main, pixels_of, steps_of  # noqa: E402
from bench_scale import COSTS, Scale, exponent, fit, sweeps, write_capture  # noqa: E402


@pytest.mark.parametrize("power", [0.0, 1.0, 1.5])
def test_exponents_of_powers_are_found(power):
    sizes = [10, 100, 1000]
    assert exponent(sizes, [3 * size**power for size in sizes]) == pytest.approx(power)
    assert math.isnan(exponent([5], [1.0]))


def test_every_cost_has_an_exponent_in_everything_that_grows():
    scale = Scale(images=(5, 10), sides=(8, 16), dims=(4, 8), grids=(10, 12))
    costs = {"step seconds": 2.0, "peak GiB": 1.0, "bake seconds": 1.0, "query seconds": 1.0}
    costs |= {"render seconds": 1.0, "cache bytes": 1.0}
    found = {
        what: [(size, {**costs, "cache bytes": float(size)}) for size, _ in points]
        for what, points in sweeps(scale).items()
    }
    exponents = fit(found)
    assert len(exponents) == 4
    for each in exponents.values():
        assert each["cache bytes"] == pytest.approx(1.0)
        assert each["step seconds"] == pytest.approx(0.0)


def test_one_thing_grows_at_a_time():
    for points in sweeps(Scale()).values():
        changed = {
            name
            for name in ("images", "side", "dim", "grid")
            if len({getattr(size, name) for _, size in points}) > 1
        }
        assert len(changed) == 1


def test_a_synthetic_capture_is_one_that_nerfstudio_reads(tmp_path):
    folder = write_capture(tmp_path / "capture", 12, 20)
    outputs = NerfstudioDataParserConfig(data=folder).setup().get_dataparser_outputs("train")
    assert len(outputs.cameras) > 5
    assert pixels_of(folder) == 400


class FakeRun:
    """Trains at one second a step, and its PSNR is that of the table."""

    def __init__(self) -> None:
        self.seconds, self.step = 0.0, 0

    def train_step(self) -> None:
        self.seconds += 1.0
        self.step += 1


def test_times_to_a_psnr_lie_between_looks(monkeypatch):
    monkeypatch.setattr(runs, "held_out_psnr", lambda run, views: HeldOut(10 + run.seconds, 0.0))
    told: list[str] = []
    quality = runs.train_and_look(FakeRun(), (6, 12), (15.5, 20, 30), 4.0, 1, told.append)
    assert quality.at == {6: HeldOut(16.0, 0.0), 12: HeldOut(22.0, 0.0)}
    assert quality.reached[15.5] == pytest.approx(5.5)
    assert quality.reached[20] == pytest.approx(10.0)
    assert quality.reached[30] is None
    assert told


def test_what_an_affine_colour_explains_is_fitted_on_the_left_and_scored_on_the_right():
    generator = torch.Generator().manual_seed(0)
    picture = torch.rand(8, 10, 3, generator=generator)
    colour = torch.tensor([[0.5, 0.1, 0.0], [0.0, 0.6, 0.1], [0.1, 0.0, 0.4]])
    photo = picture @ colour.T + 0.1
    assert runs.psnr(picture, photo) < 20
    assert runs.fitted_psnr(picture, photo) > 100
    # What is wrong on the right alone no fit can explain; the left half does not count.
    wrong = photo.clone()
    wrong[:, 5:] += 0.1
    assert runs.fitted_psnr(picture, wrong) == pytest.approx(20.0, abs=1e-3)
    spoilt = photo.clone()
    spoilt[:, :5] += torch.rand(8, 5, 3, generator=generator)
    assert runs.fitted_psnr(picture, spoilt) < 40


def test_without_held_out_views_there_is_no_psnr():
    manager = SimpleNamespace(eval_dataset=[])
    run = SimpleNamespace(pipeline=SimpleNamespace(datamanager=manager))
    with pytest.raises(DffError, match="no held-out views"):
        runs.held_out_psnr(run, 5)  # type: ignore[arg-type]


def test_an_option_that_the_model_has_not_is_refused():
    assert runs.dff(True, ["feature_hidden_dim=32"]).pipeline.model.feature_hidden_dim == 32
    with pytest.raises(DffError, match="no option 'colour'"):
        runs.dff(True, ["colour=1"])


def test_parts_of_a_step_are_timed_and_nothing_stays_patched():
    calls = []
    model = SimpleNamespace(
        forward=lambda: calls.append("forward"),
        get_metrics_dict=lambda: None,
        get_loss_dict=lambda: None,
    )
    manager = SimpleNamespace(next_train=lambda step: calls.append("rays"))

    class Pipeline:
        def __init__(self) -> None:
            self.model, self.datamanager = model, manager

        def get_train_loss_dict(self, step):
            import torch

            manager.next_train(step)
            model.forward()
            return None, {"loss": torch.zeros((), requires_grad=True)}, None

    optimizers = SimpleNamespace(
        zero_grad_all=lambda: None,
        optimizer_step_all=lambda: None,
        scheduler_step_all=lambda step: None,
    )
    before = model.forward
    run = runs.Run(Pipeline(), optimizers, [])  # type: ignore[arg-type]
    parts = run.step_parts(3)
    assert set(parts) == set(runs.PARTS)
    assert parts["forward"] > 0
    assert calls.count("forward") == 3
    assert model.forward is before


def test_figures_are_flattened_for_the_table():
    assert flat({"a": 1, "b": {"c": None, "d": 2.0}}) == {"a": 1, "b: c": None, "b: d": 2.0}
    assert text_of(None) == "not reached"


def test_peers_see_the_same_number_of_rays():
    for peer in PEERS:
        steps = steps_of(peer, 5_000_000, 480 * 640)
        per_step = peer.rays or 480 * 640
        assert steps * per_step == pytest.approx(5_000_000, rel=0.05)
    assert steps_of(PEERS[0], 1, 10) == 1


def test_peers_that_are_not_there_are_named(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("bench_peers.entry_points", lambda group: [])
    assert installed(PEERS) == []
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    with pytest.raises(DffError, match="give a capture in nerfstudio format"):
        main(BenchPeers(tmp_path))
    write_capture(tmp_path / "capture", 2, 8)
    main(BenchPeers(tmp_path / "capture"))
    said = capsys.readouterr().out
    assert "not installed: LERF, F3RM, Feature Splatting" in said
    assert "nothing to run" in said
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    main(BenchPeers(tmp_path / "capture"))
    assert "need CUDA" in capsys.readouterr().out


@pytest.mark.slow
def test_one_command_gives_the_ratio_and_all_costs(tmp_path, monkeypatch):
    from bench import Bench
    from bench import main as bench

    sizes = {"images": (4, 8), "sides": (16,), "dims": (8,), "grids": (12,)}
    small = functools.partial(Scale, **sizes, steps=2, bake_rays=500, rays=64)
    monkeypatch.setattr("bench.Scale", small)
    folder = write_capture(tmp_path / "capture", 12, 24)
    path = tmp_path / "bench.json"
    options = Bench(folder, path, rays=64, baseline_steps=1, steps=2, parts_steps=1)
    options.seconds, options.targets, options.every = (0.5,), (1.0, 90.0), 0.2
    options.baseline_seconds = (0.6,)
    options.eval_views, options.dims = 1, (16,)
    bench(options)
    figures = json.loads(path.read_text())
    assert figures["step_ratio_vs_nerfacto_torch"] == pytest.approx(
        figures["nerfacto_torch_seconds_per_step"] / figures["dff_seconds_per_step"]
    )
    assert figures["dff_seconds_to_90_db"] is None
    assert figures["nerfacto_torch_psnr_at_0.6s"] > 0
    assert np.isfinite(figures["by_dimension"]["16"]["seconds_per_step"])
    for name in ("asking_seconds", "cache_bytes", "peak_rss_gib", "dff_step_parts"):
        assert figures[name]
    assert set(figures["growth_exponents"]["images"]) == set(COSTS)
    assert np.isfinite(figures["growth_exponents"]["images"]["cache bytes"])
    assert path.with_suffix(".png").read_bytes().startswith(b"\x89PNG")
