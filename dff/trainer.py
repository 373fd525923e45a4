"""nerfstudio's trainer with checkpoints that survive an interruption, and clear errors on load."""

from __future__ import annotations

import io
import pickle
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from nerfstudio.engine.trainer import Trainer, TrainerConfig
from nerfstudio.utils.decorators import check_main_thread

from dff.errors import DffError, report_in_one_line
from dff.files import DAMAGED, atomic_write
from dff.schedules import ExponentialDecayConfig


@dataclass
class DFFTrainerConfig(TrainerConfig):
    """nerfstudio's trainer; learning rates decay over the length of the run unless told."""

    _target: type = field(default_factory=lambda: DFFTrainer)

    def set_timestamp(self) -> None:
        """Name the run; nerfstudio does so before it starts any process.

        Raises:
            DffError: several processes are asked for where nerfstudio can start only one.
        """
        # nerfstudio's command is not ours, and nothing of ours has run before this.
        report_in_one_line()
        machine = self.machine
        if machine.device_type != "cuda" and machine.num_devices * machine.num_machines > 1:
            raise DffError(
                "nerfstudio 1.1.5 starts several training processes on CUDA alone: leave out "
                f"--machine.num-devices {machine.num_devices} (dff features can be sharded: "
                "torchrun --nproc-per-node N -m dff.cli features ...)"
            )
        super().set_timestamp()

    def setup(self, **kwargs: Any) -> Any:
        """Build the trainer."""
        for group in self.optimizers.values():
            schedule = group["scheduler"]
            if isinstance(schedule, ExponentialDecayConfig) and schedule.max_steps is None:
                schedule.max_steps = self.max_num_iterations
        return super().setup(**kwargs)


class DFFTrainer(Trainer):
    """Saves whole checkpoints or none; says in one line what is wrong with one it is given."""

    @check_main_thread
    def save_checkpoint(self, step: int) -> None:
        """Save model, optimizers and schedules; older checkpoints go once the new one is whole."""
        pipeline = getattr(self.pipeline, "module", self.pipeline)
        state = {
            "step": step,
            "pipeline": pipeline.state_dict(),
            "optimizers": {k: v.state_dict() for k, v in self.optimizers.optimizers.items()},
            "schedulers": {k: v.state_dict() for k, v in self.optimizers.schedulers.items()},
            "scalers": self.grad_scaler.state_dict(),
        }
        buffer = io.BytesIO()
        torch.save(state, buffer)
        path = self.checkpoint_dir / f"step-{step:09d}.ckpt"
        # nerfstudio takes every file in the folder for a checkpoint: half of one must not be there.
        with atomic_write(path, scratch=self.base_dir) as stream:
            stream.write(buffer.getbuffer())
        if self.config.save_only_latest_checkpoint:
            for other in self.checkpoint_dir.glob("step-*.ckpt"):
                if other != path:
                    other.unlink()

    def _load_checkpoint(self) -> None:
        """Load what ``--load-dir`` or ``--load-checkpoint`` names.

        Raises:
            DffError: there is no checkpoint, or it is damaged or of another configuration.
        """
        config = self.config
        if config.load_dir is not None and config.load_step is None:
            # nerfstudio's own choice trips over any other file in the folder.
            config.load_checkpoint = latest_checkpoint(config.load_dir)
            config.load_dir = None
        if config.load_checkpoint is not None and not config.load_checkpoint.exists():
            raise DffError(f"no such checkpoint: {config.load_checkpoint}")
        try:
            super()._load_checkpoint()
        except DAMAGED as error:
            place = config.load_checkpoint or config.load_dir
            raise DffError(f"cannot resume from {place}: {short_reason(error)}") from error


def short_reason(error: BaseException) -> str:
    """What went wrong with a checkpoint, for people."""
    if isinstance(error, pickle.UnpicklingError):
        return "the file is damaged, or holds more than plain tensors"
    return " ".join(str(error).split())[:120] or "the file is damaged"


def latest_checkpoint(folder: Path) -> Path:
    """The newest ``step-*.ckpt`` of a folder.

    Raises:
        DffError: there is none.
    """
    found = sorted(folder.glob("step-*.ckpt"))
    if not found:
        raise DffError(f"no checkpoint in {folder}: training was stopped before it saved one")
    return found[-1]
