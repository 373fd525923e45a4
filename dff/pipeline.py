"""The pipeline: nerfstudio's, told which teachers there are and checking what it loads."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, cast

import torch
from nerfstudio.models.base_model import Model
from nerfstudio.pipelines.base_pipeline import VanillaPipeline, VanillaPipelineConfig
from torch import Tensor, distributed
from torch.cuda.amp.grad_scaler import GradScaler
from torch.nn.parallel import DistributedDataParallel

from dff.checkpoint import CheckpointRecord, check_record, read_record
from dff.data.datamanager import DFFDataManager, DFFDataManagerConfig
from dff.errors import DffError, report_in_one_line
from dff.fields.baked_density import densities_off_grids
from dff.fields.blocks import DESCRIPTIONS, layout_of
from dff.model import DFFModel, DFFModelConfig
from dff.quiet import quiet_nerfstudio
from dff.teachers import TeacherOptions, check_checkpoint, teacher_names
from dff.teachers.options import DEFAULT_OPTIONS
from dff.viewer_panel import PANEL_TITLE, ViewerPanel


@dataclass
class DFFPipelineConfig(VanillaPipelineConfig):
    """Configuration of the pipeline."""

    _target: type = field(default_factory=lambda: DFFPipeline)
    datamanager: DFFDataManagerConfig = field(default_factory=DFFDataManagerConfig)
    """Rays and their targets."""
    model: DFFModelConfig = field(default_factory=DFFModelConfig)
    """Fields, sampling, losses."""
    teachers: str = "mini"
    """The 2D teacher to distil, by name; several are separated by commas (clip,dino)."""
    teacher: TeacherOptions = DEFAULT_OPTIONS
    """Options of the teachers."""


class DFFPipeline(VanillaPipeline):
    """Hands the teachers to data manager and model; refuses checkpoints that do not fit."""

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
        config.model.check()
        self.teacher_names = teacher_names(config.teachers) if config.model.train_features else ()
        check_checkpoint(self.teacher_names, config.teacher, "--pipeline.teacher")
        manager = dataclasses.replace(
            config.datamanager, teachers=self.teacher_names, teacher_options=config.teacher
        )
        super().__init__(
            dataclasses.replace(config, datamanager=manager),
            device,
            test_mode,
            1,  # nerfstudio would wrap the model for CUDA only
            local_rank,
            grad_scaler,
        )
        self.config = config
        self.world_size = world_size
        if test_mode == "val" and local_rank == 0:  # training
            print(f"Fields: {DESCRIPTIONS[self.dff_model.implementation]}")
        # nerfstudio's viewer finds its elements here.
        self.viewer_panel = ViewerPanel(self)
        # It titles a folder by the first of a module's names in alphabetical order.
        self.add_module(PANEL_TITLE, self.viewer_panel)
        if world_size > 1:
            on_gpu = torch.device(device).type == "cuda"
            wrapped = DistributedDataParallel(
                self._model,
                device_ids=[local_rank] if on_gpu else None,
                find_unused_parameters=True,
            )
            self._model = cast(Model, wrapped)
            distributed.barrier(device_ids=[local_rank] if on_gpu else None)

    @property
    def dff_model(self) -> DFFModel:
        """The model, without the wrapper of distributed training."""
        return cast(DFFModel, self.model)

    def get_train_loss_dict(self, step: int) -> Any:
        """What the model says of a batch; not every step has feature targets."""
        self.dff_model.step = step
        self.datamanager.distilling = self.config.model.distils_at(step)
        return super().get_train_loss_dict(step)

    def load_pipeline(self, loaded_state: dict[str, Any], step: int) -> None:
        """Load a checkpoint, and apply the edits that the configuration names.

        Raises:
            DffError: as `load_weights`; a document is missing or wrong.
        """
        self.load_weights(loaded_state, step)
        if self.test_mode != "val":  # not training
            # A scene is made of pipelines, so it is known here only when one is needed.
            from dff.edited_config import compile_edit_file

            self.dff_model.edits = compile_edit_file(self, step)

    def load_weights(self, loaded_state: dict[str, Any], step: int) -> None:
        """Load a checkpoint, as the scene was trained.

        Raises:
            DffError: it was trained with another teacher, with tiny-cuda-nn on a machine without,
                or its shapes are not this model's.
        """
        record = read_record(loaded_state)
        model = self.dff_model
        names = teacher_names(self.config.teachers)
        check_record(record, layout_of(model.implementation), names, self.datamanager.teachers)
        if record.teachers:
            model.record_teachers(record.teachers)
        else:
            model.drop_features()
        state = {
            # The record is read and checked above; an earlier version's has another length.
            name: model.record if name.endswith(".record") else value
            for key, value in loaded_state.items()
            for name in [_present_name(key.removeprefix("module."), record)]
        }
        model.update_to_step(step)
        self.load_strictly(state)
        self._check_bases()
        if self.test_mode != "val":  # not training
            model.density_fns = densities_off_grids(model.proposal_networks, model.implementation)

    def load_strictly(self, state: Mapping[str, Any]) -> None:
        """Load tensors by their names here, all of them: nerfstudio's own loads what fits.

        Raises:
            DffError: they are not those of this configuration.
        """
        try:
            self.load_state_dict(state, strict=True)
        except RuntimeError as error:
            first, *others = str(error).splitlines()
            line = others[0].strip() if others else first
            raise DffError(f"the checkpoint does not fit this configuration: {line}") from error
        self.to(torch.device(self.device))

    def _check_bases(self) -> None:
        """Going on with training: the cache must give what the heads were trained on.

        Raises:
            DffError: it gives coefficients on another basis, or none where there were some.
        """
        field = self.dff_model.feature_field
        for name, maps in self.datamanager.features.items():
            basis = None if field is None else field.head(name).basis
            if basis is None and maps.basis is None:
                continue
            if basis is None or maps.basis is None or not _same(basis, maps.basis):
                here, there = (
                    "whole features" if each is None else f"{len(each)} coefficients"
                    for each in (maps.basis, basis)
                )
                raise DffError(
                    f"this checkpoint was trained on {there} of teacher '{name}', the cache gives "
                    f"{here}, or on another basis: give the same "
                    "--pipeline.datamanager.feature-pca and feature cache, or train from the start"
                )


def _same(first: Tensor, second: Tensor) -> bool:
    return first.shape == second.shape and torch.allclose(first.cpu(), second.cpu(), atol=1e-5)


def _present_name(key: str, record: CheckpointRecord) -> str:
    """What a tensor is called now: the first release had one head, without a name."""
    if not record.teachers:
        return key
    now = f"feature_field.heads.{record.teachers[0].name}.decoder."
    return key.replace("feature_field.decoder.", now)
