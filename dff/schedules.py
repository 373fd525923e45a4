"""Optimizer and learning-rate settings whose state `torch.load(weights_only=True)` accepts."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from nerfstudio.engine.optimizers import AdamOptimizerConfig
from nerfstudio.engine.schedulers import Scheduler, SchedulerConfig
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler


@dataclass
class FusedAdamOptimizerConfig(AdamOptimizerConfig):
    """Adam with one kernel per step for all parameters, on CPU and CUDA."""

    fused: bool = True
    """Use torch's fused implementation."""


@dataclass
class ExponentialDecayConfig(SchedulerConfig):
    """Exponential decay after a linear warm-up, in plain floats.

    nerfstudio's own schedule leaves numpy scalars in the optimizer state, which torch >= 2.6
    refuses to load with ``weights_only=True``.
    """

    _target: type = field(default_factory=lambda: ExponentialDecay)
    lr_final: float = 1e-3
    """Learning rate at the last step."""
    warmup_steps: int = 0
    """Steps over which the learning rate grows linearly from zero."""
    max_steps: int | None = None
    """Steps over which the rate decays; None is the length of the training run."""


class ExponentialDecay(Scheduler):
    """``lr(s) = lr_init (lr_final / lr_init)^(s / max_steps)``, warmed up linearly."""

    config: ExponentialDecayConfig

    def get_scheduler(self, optimizer: Optimizer, lr_init: float) -> LRScheduler:
        """The torch scheduler; ``max_steps`` must have been filled in by then."""
        config = self.config
        assert config.max_steps is not None
        decay = math.log(config.lr_final / lr_init)
        last = config.max_steps

        def factor(step: int) -> float:
            warm = min(1.0, (step + 1) / config.warmup_steps) if config.warmup_steps else 1.0
            return warm * math.exp(decay * min(step / last, 1.0))

        return LambdaLR(optimizer, lr_lambda=factor)
