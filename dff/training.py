"""Train a scene from a script, as ``ns-train dff`` does, going on where an earlier run stopped."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path

from nerfstudio.scripts.train import train_loop

from dff.method import dff_method
from dff.schedules import ExponentialDecayConfig
from dff.trainer import DFFTrainerConfig


def train_scene(
    data: Path,
    output_dir: Path,
    *,
    iterations: int,
    seed: int = 42,
    save_every: int = 200,
    configure: Callable[[DFFTrainerConfig], None] | None = None,
) -> Path:
    """Train, or finish training, a scene.

    Args:
        data: a capture in nerfstudio format.
        output_dir: where ``config.yml`` and the checkpoints go.
        iterations: steps in all.
        seed: of every random choice.
        save_every: steps between checkpoints; an interruption costs at most so many.
        configure: changes the configuration before it is used.

    Returns:
        The ``config.yml``.

    Raises:
        DffError: anything wrong with the capture, the teacher or the folder.
    """
    config = copy.deepcopy(dff_method.config)
    assert isinstance(config, DFFTrainerConfig)
    config.output_dir = output_dir.parent
    config.experiment_name = output_dir.name
    config.timestamp = "run"
    config.data = data
    config.pipeline.datamanager.data = data
    for group in config.optimizers.values():
        if isinstance(group["scheduler"], ExponentialDecayConfig):
            group["scheduler"].max_steps = iterations
    config.max_num_iterations = iterations
    config.steps_per_save = save_every
    config.steps_per_eval_batch = 0
    config.steps_per_eval_image = 0
    config.machine.seed = seed
    config.vis = "tensorboard"
    if configure is not None:
        configure(config)
    path = config.get_base_dir() / "config.yml"
    checkpoint_dir = config.get_checkpoint_dir()
    found = sorted(checkpoint_dir.glob("step-*.ckpt"))
    if found and path.exists() and step_of(found[-1]) >= iterations - 1:
        return path
    config.save_config()
    if found:
        config.load_dir = checkpoint_dir
        # nerfstudio counts the steps that are still to come.
        config.max_num_iterations = iterations - 1 - step_of(found[-1])
    train_loop(local_rank=0, world_size=1, config=config)
    return path


def step_of(checkpoint: Path) -> int:
    """The step a checkpoint was written after, from its name."""
    return int(checkpoint.stem.split("-")[1])
