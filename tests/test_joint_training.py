"""The feature field must not touch view synthesis: not in gradients, not in random numbers."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from nerfstudio.engine.optimizers import Optimizers
from nerfstudio.scripts.train import _set_random_seed

from dff.data.generated.scene import write_scene
from dff.method import dff_method
from dff.pipeline import DFFPipeline


@pytest.fixture(scope="module")
def capture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("joint") / "scene"
    write_scene(path, 3, num_objects=6, num_train=4, num_eval=1, width=32, height=24)
    return path


def train(
    capture: Path, cache: Path, features: bool, steps: int = 4, warmup: int = 500, every: int = 1
) -> tuple[DFFPipeline, list[int]]:
    """Some steps of training, and which of them trained the feature field."""
    config = copy.deepcopy(dff_method.config)
    config.pipeline.datamanager.data = capture
    config.pipeline.datamanager.feature_cache = cache
    config.pipeline.datamanager.train_num_rays_per_batch = 64
    model = config.pipeline.model
    model.train_features = features
    model.feature_warmup, model.feature_every = warmup, every
    model.implementation = "torch"
    model.log2_hashmap_size = model.feature_log2_hashmap_size = 12
    _set_random_seed(0)  # as ns-train does
    pipeline = config.pipeline.setup(device="cpu", test_mode="val")
    groups = pipeline.get_param_groups()
    settings = {name: copy.deepcopy(config.optimizers[name]) for name in groups}
    for group in settings.values():
        group["scheduler"].max_steps = steps
    optimizers = Optimizers(settings, groups)
    pipeline.train()
    distilled = []
    for step in range(steps):
        optimizers.zero_grad_all()
        _, losses, _ = pipeline.get_train_loss_dict(step)
        if "feature_loss" in losses:
            distilled.append(step)
        sum(losses.values()).backward()
        before = _feature_weights(pipeline)
        optimizers.optimizer_step_all()
        moved = any(map(torch.Tensor.any, map(torch.ne, before, _feature_weights(pipeline))))
        assert moved == ("feature_loss" in losses)
    return pipeline, distilled


def _feature_weights(pipeline: DFFPipeline) -> list[torch.Tensor]:
    field = pipeline.dff_model.feature_field
    return [] if field is None else [p.detach().clone() for p in field.parameters()]


@pytest.mark.parametrize(("warmup", "every"), [(500, 3), (1, 2)])
def test_training_with_and_without_features_gives_the_same_radiance_field(
    capture, tmp_path, warmup, every
):
    pipeline, _ = train(capture, tmp_path, True, warmup=warmup, every=every)
    with_features = pipeline.state_dict()
    without = train(capture, tmp_path, False)[0].state_dict()
    shared = [name for name in without if not name.endswith("record")]
    assert any("field.encoding.table" in name for name in shared)
    for name in shared:
        assert torch.equal(with_features[name], without[name]), name


def test_after_the_warm_up_every_third_step_trains_the_feature_field(capture, tmp_path):
    _, distilled = train(capture, tmp_path, True, steps=9, warmup=2, every=3)
    assert distilled == [0, 1, 3, 6]
