"""One training step on each of several processes; started by ``test_distributed.py``."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch
from torch import distributed

from dff.method import dff_method


def main(capture: Path, folder: Path) -> None:
    torch.set_num_threads(1)
    distributed.init_process_group("gloo")
    rank, world = distributed.get_rank(), distributed.get_world_size()
    config = dff_method.config.pipeline
    config.datamanager.data = capture
    config.datamanager.train_num_rays_per_batch = 64
    config.datamanager.feature_cache = folder / "cache"
    config.model.log2_hashmap_size = 10
    config.model.implementation = "torch"
    torch.manual_seed(0)
    pipeline = config.setup(device="cpu", test_mode="val", world_size=world, local_rank=rank)
    pipeline.train()
    torch.manual_seed(100 + rank)
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
    facts = {
        "indices": index.tolist(),
        "features_are_of_the_rays": bool(torch.equal(again, batch["features"]["mini"])),
        "gradient": gradient.double().flatten().tolist(),
        "loss": float(losses["feature_loss"]),
    }
    (folder / f"rank{rank}.json").write_text(json.dumps(facts))
    distributed.barrier()
    distributed.destroy_process_group()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
