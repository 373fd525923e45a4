"""Random choices of a run: each use has its own seed, whatever else was drawn before."""

from __future__ import annotations

import numpy as np
import torch

PURPOSES = {"paint": 0, "camera": 1, "step": 2, "editor": 3, "order": 4}


def seed_of(seed: int, purpose: str, number: int) -> int:
    """A seed for one use of a run's random choices.

    No state is carried from step to step: a run that goes on draws what an unbroken one draws.

    Args:
        seed: of the run.
        purpose: one of `PURPOSES`.
        number: of the step, camera or picture.
    """
    words = np.random.SeedSequence([seed, PURPOSES[purpose], number]).generate_state(1, np.uint64)
    return int(words[0] >> np.uint64(1))


def generator_for(seed: int, purpose: str, number: int) -> torch.Generator:
    """Random numbers on the CPU, for one use; see `seed_of`."""
    return torch.Generator().manual_seed(seed_of(seed, purpose, number))
