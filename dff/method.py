"""How nerfstudio knows us: the method specification behind ``ns-train dff``."""

from __future__ import annotations

from typing import Any

import torch
from nerfstudio.configs.base_config import MachineConfig, ViewerConfig
from nerfstudio.data.dataparsers.nerfstudio_dataparser import NerfstudioDataParserConfig
from nerfstudio.plugins.types import MethodSpecification

from dff.data.datamanager import DFFDataManagerConfig
from dff.model import DFFModelConfig
from dff.pipeline import DFFPipelineConfig
from dff.schedules import ExponentialDecayConfig, FusedAdamOptimizerConfig
from dff.trainer import DFFTrainerConfig

LEARNING_RATE = 1e-2


def _group() -> dict[str, Any]:
    return {
        "optimizer": FusedAdamOptimizerConfig(lr=LEARNING_RATE, eps=1e-15),
        "scheduler": ExponentialDecayConfig(lr_final=LEARNING_RATE / 10),
    }


def _config() -> DFFTrainerConfig:
    return DFFTrainerConfig(
        method_name="dff",
        steps_per_eval_batch=500,
        steps_per_eval_image=5000,
        steps_per_eval_all_images=100_000,
        steps_per_save=1000,
        max_num_iterations=5000,
        mixed_precision=False,
        machine=MachineConfig(device_type="cuda" if torch.cuda.is_available() else "cpu"),
        pipeline=DFFPipelineConfig(
            datamanager=DFFDataManagerConfig(
                dataparser=NerfstudioDataParserConfig(),
                train_num_rays_per_batch=1536,
                eval_num_rays_per_batch=1024,
            ),
            model=DFFModelConfig(),
        ),
        optimizers={
            "proposal_networks": _group(),
            "fields": _group(),
            "feature_field": _group(),
            "camera_opt": {
                "optimizer": FusedAdamOptimizerConfig(lr=1e-3, eps=1e-15),
                "scheduler": ExponentialDecayConfig(lr_final=1e-4),
            },
        },
        viewer=ViewerConfig(num_rays_per_chunk=1 << 12),
        vis="viewer",
    )


dff_method = MethodSpecification(
    config=_config(),
    description="Feature field distillation: a scene you can select things in and edit.",
)
