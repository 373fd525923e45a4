"""The pipeline: nerfstudio's, told which teacher there is and checking what it loads."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any, Literal, cast

import torch
from nerfstudio.pipelines.base_pipeline import VanillaPipeline, VanillaPipelineConfig
from torch.cuda.amp.grad_scaler import GradScaler

from dff.checkpoint import check_record, read_record
from dff.data.datamanager import DFFDataManager, DFFDataManagerConfig
from dff.errors import DffError, report_in_one_line
from dff.model import DFFModel, DFFModelConfig
from dff.quiet import quiet_nerfstudio
from dff.teachers import list_teachers


@dataclass
class DFFPipelineConfig(VanillaPipelineConfig):
    """Configuration of the pipeline."""

    _target: type = field(default_factory=lambda: DFFPipeline)
    datamanager: DFFDataManagerConfig = field(default_factory=DFFDataManagerConfig)
    """Rays and their targets."""
    model: DFFModelConfig = field(default_factory=DFFModelConfig)
    """Fields, sampling, losses."""
    teachers: str = "mini"
    """The 2D teacher to distil, by name."""


class DFFPipeline(VanillaPipeline):
    """Hands the teacher to data manager and model; refuses checkpoints that do not fit."""

    config: DFFPipelineConfig
    datamanager: DFFDataManager

    def __init__(
        self,
        config: DFFPipelineConfig,
        device: str,
        test_mode: Literal["test", "val", "inference"] = "val",
        world_size: int = 1,
        local_rank: int = 0,
        grad_scaler: GradScaler | None = None,
    ) -> None:
        report_in_one_line()
        quiet_nerfstudio()
        if "," in config.teachers:
            raise DffError(f"one teacher at a time: choose one of {', '.join(list_teachers())}")
        teacher = config.teachers if config.model.train_features else None
        manager = dataclasses.replace(config.datamanager, teacher=teacher)
        super().__init__(
            dataclasses.replace(config, datamanager=manager),
            device,
            test_mode,
            world_size,
            local_rank,
            grad_scaler,
        )
        self.config = config

    @property
    def dff_model(self) -> DFFModel:
        """The model, without the wrapper of distributed training."""
        return cast(DFFModel, self.model)

    def load_pipeline(self, loaded_state: dict[str, Any], step: int) -> None:
        """Load a checkpoint.

        Raises:
            DffError: it was trained with another teacher, with tiny-cuda-nn on a machine without,
                or its shapes are not this model's.
        """
        record = read_record(loaded_state)
        model = self.dff_model
        check_record(record, model.implementation, self.config.teachers, self.datamanager.teacher)
        if record.teacher is None:
            model.drop_features()
        else:
            model.record_teacher(record.teacher)
        state = {key.removeprefix("module."): value for key, value in loaded_state.items()}
        model.update_to_step(step)
        try:
            # Strictly: nerfstudio's own falls back to loading what fits.
            self.load_state_dict(state, strict=True)
        except RuntimeError as error:
            first = next(
                (line.strip() for line in str(error).splitlines()[1:]), str(error).splitlines()[0]
            )
            raise DffError(f"the checkpoint does not fit this configuration: {first}") from error
        self.to(torch.device(self.device))
