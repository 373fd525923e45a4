"""Gradients of the same 128 rays, shared out to several processes; for ``test_distributed.py``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import torch
from distributed_step import joined_processes, tiny_pipeline
from nerfstudio.cameras.rays import RayBundle
from torch import Tensor

from dff.pipeline import DFFPipeline

RAYS = 128
# Of which the first trains the feature field, and the second does not.
STEPS = (0, 500)


def keep_what_is_given(pipeline: DFFPipeline, folder: Path) -> None:
    """Write parameters and rays, so that nothing rests on what is drawn elsewhere."""
    state = pipeline.dff_model.state_dict()
    torch.save((state, *pipeline.datamanager.next_train(0)), folder / "given.pt")


def part_of(value: Any, rays: slice) -> Any:
    """What of a bundle, or of its targets, belongs to some of the rays."""
    if isinstance(value, dict):
        return {name: part_of(each, rays) for name, each in value.items()}
    return value[rays]


def gradients_of_step(
    pipeline: DFFPipeline, step: int, bundle: RayBundle, batch: dict[str, Any]
) -> dict[str, Tensor | None]:
    """What a step on these rays gives each parameter, once it is shared."""
    pipeline.zero_grad()
    pipeline.datamanager.next_train = lambda step: (bundle, batch)
    _, losses, _ = pipeline.get_train_loss_dict(step)
    sum(losses.values()).backward()
    return {name: each.grad for name, each in pipeline.dff_model.named_parameters()}


def gradients(
    pipeline: DFFPipeline, folder: Path, rank: int = 0, world: int = 1
) -> dict[int, dict[str, Tensor | None]]:
    """By step and parameter, from what was kept; the rays are those of this rank."""
    state, bundle, batch = torch.load(folder / "given.pt", weights_only=False)
    model = pipeline.dff_model
    model.load_state_dict(state)
    # Samples lie where the ray alone says: two processes draw other numbers than one.
    model.proposal_sampler.initial_sampler.train_stratified = False
    model.proposal_sampler.pdf_sampler.train_stratified = False
    own = slice(rank * RAYS // world, (rank + 1) * RAYS // world)
    mine = bundle[own], part_of(batch, own)
    return {step: gradients_of_step(pipeline, step, *mine) for step in STEPS}


def main(capture: Path, folder: Path) -> None:
    with joined_processes() as (rank, world):
        pipeline = tiny_pipeline(capture, folder, RAYS, rank, world)
        torch.save(gradients(pipeline, folder, rank, world), folder / f"rank{rank}.pt")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
