"""Pipelines with their optimizers, stepped by hand so that steps alone are timed."""

from __future__ import annotations

import copy
import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
import torch.nn.functional as F
from nerfstudio.configs.method_configs import method_configs
from nerfstudio.data.datamanagers.base_datamanager import VanillaDataManagerConfig
from nerfstudio.data.dataparsers.nerfstudio_dataparser import NerfstudioDataParserConfig
from nerfstudio.engine.callbacks import TrainingCallbackAttributes, TrainingCallbackLocation
from nerfstudio.engine.optimizers import Optimizers
from nerfstudio.engine.trainer import TrainerConfig
from nerfstudio.scripts.train import _set_random_seed
from torch import Tensor

from dff.errors import DffError
from dff.method import dff_method
from dff.schedules import ExponentialDecayConfig

# Steps: the proposal is trained in every fifth of them, the feature field in every third.
BLOCK = 15
# Parts of a step, in their order.
PARTS = ("rays and targets", "forward", "losses", "backward", "optimizers")


@dataclass(frozen=True)
class Capture:
    """What is trained on.

    Attributes:
        data: a capture in nerfstudio format.
        scale: share of the images' size.
        rays: a step; None is each method's own number.
        schedule_steps: length of the run for which learning rates are planned.
    """

    data: Path
    scale: float = 1.0
    rays: int | None = 1024
    schedule_steps: int = 600


@dataclass
class Run:
    """A pipeline and what trains it."""

    pipeline: Any
    optimizers: Optimizers
    callbacks: list[Any]
    step: int = 0
    seconds: float = 0.0
    times: list[float] = field(default_factory=list)
    parts: dict[str, float] = field(default_factory=dict)

    def train_step(self) -> None:
        """One step, timed."""
        start = time.perf_counter()
        self._callbacks(TrainingCallbackLocation.BEFORE_TRAIN_ITERATION)
        self.optimizers.zero_grad_all()
        _, losses, _ = self.pipeline.get_train_loss_dict(self.step)
        with self._timed("backward"):
            torch.stack(list(losses.values())).sum().backward()
        with self._timed("optimizers"):
            self.optimizers.optimizer_step_all()
            self.optimizers.scheduler_step_all(self.step)
        self._callbacks(TrainingCallbackLocation.AFTER_TRAIN_ITERATION)
        self.times.append(time.perf_counter() - start)
        self.seconds += self.times[-1]
        self.step += 1

    def _callbacks(self, location: TrainingCallbackLocation) -> None:
        for callback in self.callbacks:
            callback.run_callback_at_location(self.step, location)

    @contextmanager
    def _timed(self, part: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        self.parts[part] = self.parts.get(part, 0.0) + time.perf_counter() - start

    def _watched(self, part: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*arguments: Any, **more: Any) -> Any:
            with self._timed(part):
                return function(*arguments, **more)

        return timed

    def step_parts(self, steps: int) -> dict[str, float]:
        """Mean seconds of each part of a step, over the next steps."""
        model, manager = self.pipeline.model, self.pipeline.datamanager
        watched = (
            ("rays and targets", manager, "next_train"),
            ("forward", model, "forward"),
            ("losses", model, "get_metrics_dict"),
            ("losses", model, "get_loss_dict"),
        )
        self.parts = {}
        with ExitStack() as stack:
            for part, owner, name in watched:
                timed = self._watched(part, getattr(owner, name))
                stack.enter_context(mock.patch.object(owner, name, timed))
            for _ in range(steps):
                self.train_step()
        return {part: self.parts.get(part, 0.0) / steps for part in PARTS}

    def mean_step(self, warm_up: int, steps: int) -> float:
        """Mean seconds of steps, after some that do not count: the median of the means of blocks.

        Not all steps do the same, and now and then the machine does something else.
        """
        start = self.step + warm_up
        while self.step < start + steps:
            self.train_step()
        size = min(BLOCK, steps)
        blocks = np.array(self.times[start : start + steps // size * size]).reshape(-1, size)
        return float(np.median(blocks.mean(axis=1)))

    def mean_feature_steps(self, warm_up: int, steps: int) -> tuple[float, float]:
        """Mean seconds of steps that all train the feature field, and of as many after those."""
        self.pipeline.config.model.feature_warmup = self.step + warm_up + steps
        return self.mean_step(warm_up, steps), self.mean_step(0, steps)


@contextmanager
def without_lpips() -> Iterator[None]:
    """nerfacto builds an LPIPS network whose weights it would download; no step needs it."""
    name = "torchmetrics.image.lpip.LearnedPerceptualImagePatchSimilarity"
    with mock.patch(name, return_value=torch.nn.Identity()):
        yield


def prepare(config: TrainerConfig, capture: Capture) -> Run:
    """Build a run on a capture."""
    _set_random_seed(0)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    manager = config.pipeline.datamanager
    manager.data = capture.data
    manager.camera_res_scale_factor = capture.scale
    if capture.rays is not None:
        manager.train_num_rays_per_batch = capture.rays
    with without_lpips():
        pipeline = config.pipeline.setup(device=device, test_mode="val")
    groups = pipeline.get_param_groups()
    settings = {name: copy.deepcopy(config.optimizers[name]) for name in groups}
    for group in settings.values():
        if isinstance(group["scheduler"], ExponentialDecayConfig):
            group["scheduler"].max_steps = capture.schedule_steps
    optimizers = Optimizers(settings, groups)
    attributes = TrainingCallbackAttributes(
        optimizers=optimizers, grad_scaler=None, pipeline=pipeline, trainer=None
    )
    pipeline.train()
    return Run(pipeline, optimizers, pipeline.get_training_callbacks(attributes))


def nerfacto(implementation: str = "torch") -> TrainerConfig:
    """nerfstudio's own, its defaults, on the same rays."""
    config = copy.deepcopy(method_configs["nerfacto"])
    config.pipeline.datamanager = VanillaDataManagerConfig(dataparser=NerfstudioDataParserConfig())
    config.pipeline.model.implementation = implementation
    return config


def dff(features: bool, settings: Sequence[str] = ()) -> TrainerConfig:
    """Ours.

    Args:
        features: with the feature field.
        settings: model options, as NAME=JSON.

    Raises:
        DffError: there is no such option.
    """
    config = copy.deepcopy(dff_method.config)
    config.pipeline.model.train_features = features
    for setting in settings:
        name, _, value = setting.partition("=")
        if not hasattr(config.pipeline.model, name):
            raise DffError(f"the model has no option '{name}'")
        setattr(config.pipeline.model, name, json.loads(value))
    return config


def has_tcnn() -> bool:
    """Whether nerfacto's fast implementation runs here."""
    if not torch.cuda.is_available():
        return False
    try:
        import tinycudann  # type: ignore[import-not-found]
    except (ImportError, OSError, RuntimeError):
        return False
    return tinycudann is not None


@dataclass(frozen=True)
class HeldOut:
    """Mean PSNR of held-out views.

    Attributes:
        plain: without any fitting to them.
        fitted: of their right halves, after an affine colour was fitted to each view's left half:
            photos whose exposure drifts say little otherwise.
    """

    plain: float
    fitted: float


def psnr(picture: Tensor, photo: Tensor) -> float:
    """In dB, of values in [0, 1]."""
    return -10.0 * float(torch.log10((picture - photo).square().mean()))


def fitted_psnr(picture: Tensor, photo: Tensor) -> float:
    """PSNR of the right half under the affine colour, (3, 4), that fits the left half best.

    Args:
        picture, photo: (height, width, 3) in [0, 1].
    """
    half = picture.shape[1] // 2
    known = F.pad(picture, (0, 1), value=1.0).double()
    left, wanted = known[:, :half].reshape(-1, 4), photo[:, :half].reshape(-1, 3).double()
    colour = torch.linalg.lstsq(left, wanted).solution
    return psnr((known[:, half:] @ colour).clamp(0.0, 1.0), photo[:, half:].double())


def held_out_psnr(run: Run, views: int) -> HeldOut:
    """Mean PSNR of some held-out views.

    Raises:
        DffError: the capture has none.
    """
    dataset = run.pipeline.datamanager.eval_dataset
    if len(dataset) == 0:
        raise DffError("the capture has no held-out views to take the PSNR of: give more photos")
    chosen = np.linspace(0, len(dataset) - 1, min(views, len(dataset))).round().astype(int)
    run.pipeline.eval()
    plain, fitted = [], []
    for index in chosen:
        outputs = run.pipeline.model.get_outputs_for_camera(dataset.cameras[index : index + 1])
        picture, photo = outputs["rgb"].cpu(), dataset[index]["image"][..., :3]
        plain.append(psnr(picture, photo))
        fitted.append(fitted_psnr(picture, photo))
    run.pipeline.train()
    return HeldOut(float(np.mean(plain)), float(np.mean(fitted)))


@dataclass
class Quality:
    """How the held-out PSNR grows with training time.

    Attributes:
        at: by seconds of training.
        reached: seconds by PSNR, without fitting, to reach; None where it was not.
    """

    at: dict[float, HeldOut]
    reached: dict[float, float | None]


def train_and_look(
    run: Run,
    marks: Sequence[float],
    targets: Sequence[float],
    every: float,
    views: int,
    told: Callable[[str], None],
) -> Quality:
    """Train on, and take the held-out PSNR now and then; looking is not counted.

    Args:
        run: to train.
        marks: seconds of training at which PSNR is wanted; the last one ends it.
        targets: PSNRs whose time is wanted, linearly in between two looks.
        every: seconds between looks while a target is open.
        views: held-out views.
        told: hears the figures.
    """
    quality = Quality({}, dict.fromkeys(targets))
    looks: list[tuple[float, float]] = []
    stops = sorted(marks)
    while stops:
        pending = [target for target, found in quality.reached.items() if found is None]
        following = run.seconds + every if pending else stops[0]
        until = min(stops[0], following)
        while run.seconds < until:
            run.train_step()
        found = held_out_psnr(run, views)
        value = found.plain
        before = looks[-1] if looks else (0.0, -np.inf)
        looks.append((run.seconds, value))
        for target in pending:
            if value >= target:
                share = (target - before[1]) / (value - before[1]) if np.isfinite(before[1]) else 1
                quality.reached[target] = before[0] + float(share) * (run.seconds - before[0])
                told(f"{target:g} dB after {quality.reached[target]:.1f} s")
        if run.seconds >= stops[0]:
            quality.at[stops.pop(0)] = found
            told(
                f"{value:.2f} dB, colours fitted {found.fitted:.2f} dB, after {run.seconds:.0f} s "
                f"({run.step} steps)"
            )
    return quality
