"""A generated scene as a benchmark: phrases of its things, table and background at every pixel."""

from __future__ import annotations

import json
from pathlib import Path

import torch

from dff.data.generated.scene import SceneTruth, load_truth
from dff.errors import DffError
from dff.evaluate.benchmarks.frames import Benchmark, Frame

SURROUNDINGS = ("table", "background")


def is_generated(folder: Path) -> bool:
    """Whether a folder looks like a generated scene."""
    return all((folder / name).exists() for name in ("labels.json", "instances", "transforms.json"))


def read_generated(folder: Path) -> Benchmark:
    """The held-out frames; clicks and patches are taken from the others.

    Things of the same phrase are one class, and clicked one by one.

    Raises:
        DffError: the folder holds no whole generated scene.
    """
    truth = load_truth(folder)
    things = {f"{t.instance} {t.phrase}": t.phrase for t in truth.description.objects}
    phrases = tuple(dict.fromkeys(things.values()))
    numbers = truth.frames
    out = dict(zip(numbers, truth.held_out, strict=True))
    held_out = tuple(name for name in numbers if out[name])
    if not held_out:
        raise DffError(f"{folder} has no held-out frames: generate it with some to evaluate on")
    surroundings = _surroundings(truth)

    def read(image: str) -> Frame:
        try:
            semantics, instances = (torch.from_numpy(m.copy()) for m in truth.masks(numbers[image]))
        except (OSError, ValueError) as error:
            raise DffError(
                f"{folder} lacks the truth of {image}: generate the scene again ({error})"
            ) from error
        single = {name: instances == int(name.split()[0]) for name in things}
        masks: dict[str, torch.Tensor] = {}
        for name, phrase in things.items():
            masks[phrase] = masks[phrase] | single[name] if phrase in masks else single[name]
        for name, value in surroundings.items():
            masks[name] = (semantics == value) & (instances == 0)
        known = torch.stack(list(masks.values())).any(dim=0)
        return Frame(
            image,
            {name: mask for name, mask in masks.items() if mask.any()},
            known,
            {name: mask for name, mask in single.items() if mask.any()},
        )

    return Benchmark(
        format="generated",
        classes=(*phrases, *SURROUNDINGS),
        images=held_out,
        read=read,
        asked=phrases,
        things=things,
        label_list=True,
        prompt_images=tuple(name for name in numbers if not out[name]),
        same_size=True,
    )


def _surroundings(truth: SceneTruth) -> dict[str, int]:
    """Class numbers of what is no thing."""
    classes = json.loads((truth.path / "labels.json").read_text(encoding="utf-8"))["classes"]
    return {name: int(number) for number, name in classes.items() if name in SURROUNDINGS}
