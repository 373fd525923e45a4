"""Speed and quality of training beside nerfacto's, in one run on one machine.

    uv run python tools/bench.py --data SCENE --json bench.json

Prints, and writes as JSON: seconds per step of nerfacto (nerfstudio's own, its defaults, torch
implementation on a CPU), of dff without and with the feature field, their ratios at equal rays,
held-out PSNR after given seconds of training (evaluation not counted), and peak memory. Leave the
machine alone while it runs.
"""

from __future__ import annotations

import copy
import json
import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
import tyro
from nerfstudio.configs.method_configs import method_configs
from nerfstudio.data.datamanagers.base_datamanager import VanillaDataManagerConfig
from nerfstudio.data.dataparsers.nerfstudio_dataparser import NerfstudioDataParserConfig
from nerfstudio.engine.callbacks import TrainingCallbackAttributes, TrainingCallbackLocation
from nerfstudio.engine.optimizers import Optimizers
from nerfstudio.engine.trainer import TrainerConfig
from nerfstudio.scripts.train import _set_random_seed

from dff.method import dff_method
from dff.schedules import ExponentialDecayConfig


@dataclass
class Bench:
    """Measure training speed and quality."""

    data: Path
    """A capture in nerfstudio format."""
    json: Path | None = None
    """Where to write the figures."""
    scale: float = 1.0
    """Share of the images' size to train and evaluate at."""
    rays: int = 1024
    """Rays per step, for every method."""
    baseline_steps: int = 8
    """Steps of nerfacto to time, after two that are not."""
    steps: int = 60
    """Steps of dff to time, after ten that are not."""
    seconds: tuple[float, ...] = (15, 30, 75)
    """Training times at which the held-out PSNR is taken; none skips it."""
    schedule_steps: int = 600
    """Length of the run for which learning rates are planned."""
    eval_views: int = 5
    """Held-out views for the PSNR."""
    features: bool = True
    """Also train with the feature field, for its cost and the PSNR with it."""
    settings: tuple[str, ...] = ()
    """Model options to try, as NAME=JSON."""
    threads: int = field(default_factory=torch.get_num_threads)
    """Threads of torch."""


@dataclass
class Run:
    """A pipeline with its optimizers, stepped by hand so that steps alone are timed."""

    pipeline: Any
    optimizers: Optimizers
    callbacks: list[Any]
    step: int = 0
    seconds: float = 0.0
    times: list[float] = field(default_factory=list)

    def train_step(self) -> None:
        start = time.perf_counter()
        for callback in self.callbacks:
            callback.run_callback_at_location(
                self.step, TrainingCallbackLocation.BEFORE_TRAIN_ITERATION
            )
        self.optimizers.zero_grad_all()
        _, losses, _ = self.pipeline.get_train_loss_dict(self.step)
        torch.stack(list(losses.values())).sum().backward()
        self.optimizers.optimizer_step_all()
        self.optimizers.scheduler_step_all(self.step)
        for callback in self.callbacks:
            callback.run_callback_at_location(
                self.step, TrainingCallbackLocation.AFTER_TRAIN_ITERATION
            )
        self.times.append(time.perf_counter() - start)
        self.seconds += self.times[-1]
        self.step += 1


@contextmanager
def without_lpips() -> Iterator[None]:
    """nerfacto builds an LPIPS network whose weights it would download; no step needs it."""
    name = "torchmetrics.image.lpip.LearnedPerceptualImagePatchSimilarity"
    with mock.patch(name, return_value=torch.nn.Identity()):
        yield


def prepare(config: TrainerConfig, bench: Bench) -> Run:
    """Build a run on the benchmark's capture."""
    _set_random_seed(0)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    manager = config.pipeline.datamanager
    manager.data = bench.data
    manager.camera_res_scale_factor = bench.scale
    manager.train_num_rays_per_batch = bench.rays
    with without_lpips():
        pipeline = config.pipeline.setup(device=device, test_mode="val")
    groups = pipeline.get_param_groups()
    settings = {name: copy.deepcopy(config.optimizers[name]) for name in groups}
    for group in settings.values():
        if isinstance(group["scheduler"], ExponentialDecayConfig):
            group["scheduler"].max_steps = bench.schedule_steps
    optimizers = Optimizers(settings, groups)
    attributes = TrainingCallbackAttributes(
        optimizers=optimizers, grad_scaler=None, pipeline=pipeline, trainer=None
    )
    pipeline.train()
    return Run(pipeline, optimizers, pipeline.get_training_callbacks(attributes))


def nerfacto(bench: Bench) -> TrainerConfig:
    config = copy.deepcopy(method_configs["nerfacto"])
    config.pipeline.datamanager = VanillaDataManagerConfig(dataparser=NerfstudioDataParserConfig())
    config.pipeline.model.implementation = "torch"
    return config


def dff(bench: Bench, features: bool) -> TrainerConfig:
    config = copy.deepcopy(dff_method.config)
    config.pipeline.model.train_features = features
    for setting in bench.settings:
        name, value = setting.split("=", 1)
        if not hasattr(config.pipeline.model, name):
            raise SystemExit(f"error: the model has no option '{name}'")
        setattr(config.pipeline.model, name, json.loads(value))
    return config


def psnr(run: Run, views: int) -> float:
    """Mean PSNR of held-out views, without any fitting to them."""
    dataset = run.pipeline.datamanager.eval_dataset
    chosen = np.linspace(0, len(dataset) - 1, min(views, len(dataset))).round().astype(int)
    run.pipeline.eval()
    values = []
    for index in chosen:
        outputs = run.pipeline.model.get_outputs_for_camera(dataset.cameras[index : index + 1])
        error = (outputs["rgb"].cpu() - dataset[index]["image"][..., :3]).square().mean()
        values.append(-10.0 * float(torch.log10(error)))
    run.pipeline.train()
    return float(np.mean(values))


def median_step(run: Run, warm_up: int, steps: int) -> float:
    while run.step < warm_up + steps:
        run.train_step()
    return float(np.median(run.times[warm_up : warm_up + steps]))


def peak_gigabytes() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def main(bench: Bench) -> None:
    torch.set_num_threads(bench.threads)
    figures: dict[str, Any] = {
        "scene": bench.data.name,
        "scale": bench.scale,
        "rays": bench.rays,
        "threads": bench.threads,
        "cuda": torch.cuda.is_available(),
    }
    if bench.baseline_steps:
        seconds = median_step(prepare(nerfacto(bench), bench), 2, bench.baseline_steps)
        figures["nerfacto_torch_seconds_per_step"] = seconds
        print(f"nerfacto, torch: {seconds:.3f} s/step", flush=True)
    for features in (False, True) if bench.features else (False,):
        name = "dff_with_features" if features else "dff"
        run = prepare(dff(bench, features), bench)
        seconds = median_step(run, 10, bench.steps)
        figures[f"{name}_seconds_per_step"] = seconds
        print(f"{name}: {seconds:.3f} s/step", flush=True)
        for mark in sorted(bench.seconds):
            while run.seconds < mark:
                run.train_step()
            value = psnr(run, bench.eval_views)
            figures[f"{name}_psnr_at_{mark:g}s"] = value
            print(f"{name}: {value:.2f} dB after {mark:g} s ({run.step} steps)", flush=True)
    figures["peak_rss_gib"] = peak_gigabytes()
    plain = figures["dff_seconds_per_step"]
    if bench.baseline_steps:
        figures["step_ratio_vs_nerfacto_torch"] = figures["nerfacto_torch_seconds_per_step"] / plain
        print(f"{figures['step_ratio_vs_nerfacto_torch']:.1f} times nerfacto's steps per second")
    if bench.features:
        both = figures["dff_with_features_seconds_per_step"]
        figures["feature_share_of_step"] = 1.0 - plain / both
        print(f"the feature field takes {figures['feature_share_of_step']:.0%} of the step")
    print(f"peak memory {figures['peak_rss_gib']:.2f} GiB")
    if bench.json is not None:
        bench.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(tyro.cli(Bench))
