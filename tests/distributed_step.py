"""One training step on each of several processes; started by ``test_distributed.py``."""

from __future__ import annotations

import copy
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import distributed

from dff.method import dff_method
from dff.pipeline import DFFPipeline


@contextmanager
def joined_processes() -> Iterator[tuple[int, int]]:
    """This process as one of those that were started: its rank, and how many there are."""
    torch.set_num_threads(1)
    distributed.init_process_group("gloo")
    yield distributed.get_rank(), distributed.get_world_size()
    distributed.barrier()
    distributed.destroy_process_group()


def tiny_pipeline(capture: Path, folder: Path, rays: int, rank: int, world: int) -> DFFPipeline:
    """What a process trains, with so many rays a step."""
    config = copy.deepcopy(dff_method.config.pipeline)
    config.datamanager.data = capture
    config.datamanager.train_num_rays_per_batch = rays
    config.datamanager.feature_cache = folder / "cache"
    config.model.log2_hashmap_size = 10
    config.model.implementation = "torch"
    torch.manual_seed(0)
    pipeline = config.setup(device="cpu", test_mode="val", world_size=world, local_rank=rank)
    pipeline.train()
    return pipeline


def main(capture: Path, folder: Path) -> None:
    with joined_processes() as (rank, world):
        pipeline = tiny_pipeline(capture, folder, 64, rank, world)
        torch.manual_seed(100 + rank)
        facts = facts_of_step(pipeline)
        (folder / f"rank{rank}.json").write_text(json.dumps(facts))


def facts_of_step(pipeline: DFFPipeline) -> dict:
    """Which rays a step drew, whether their features are theirs, and what it learnt."""
    drawn = []
    manager = pipeline.datamanager
    draw = manager.next_train
    manager.next_train = lambda step: drawn.append(draw(step)) or drawn[-1]
    _, losses, _ = pipeline.get_train_loss_dict(0)
    sum(losses.values()).backward()
    batch = drawn[0][1]
    index = batch["indices"]
    cameras = manager.train_dataset.cameras
    again = manager.features["mini"].sample(
        index[:, 0],
        index[:, 1],
        index[:, 2],
        cameras.height[index[:, 0], 0],
        cameras.width[index[:, 0], 0],
    )
    gradient = pipeline.dff_model.feature_field.head("mini").decoder.weight.grad
    return {
        "indices": index.tolist(),
        "features_are_of_the_rays": bool(torch.equal(again, batch["features"]["mini"])),
        "gradient": gradient.double().flatten().tolist(),
        "loss": float(losses["feature_loss"]),
    }


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
