"""3D-OVS: ten open-vocabulary scenes (arXiv 2305.14093), a mask for each class in a few images.

    bed/segmentations/classes.txt       one class a line
    bed/segmentations/00/banana.png     not black where image 00 shows the class
    bed/images/00.jpg

A folder of masks is called like its image, or by the image's number. Pixels in no mask are not
known, as classes cover what matters. Give the scene's folder, or its ``segmentations``.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from dff.errors import DffError
from dff.evaluate.benchmarks.frames import HALF, Benchmark, Frame, leaving_out, read_mask


def is_three_d_ovs(folder: Path) -> bool:
    """Whether a folder looks like this format."""
    return any((each / "classes.txt").is_file() for each in (folder, folder / "segmentations"))


def read_three_d_ovs(folder: Path) -> Benchmark:
    """Read the labels of one scene.

    Raises:
        DffError: no classes, no frames, or a mask is missing or empty.
    """
    root = folder if (folder / "classes.txt").is_file() else folder / "segmentations"
    try:
        lines = (root / "classes.txt").read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise DffError(
            f"{folder} is no 3D-OVS scene: it has no segmentations/classes.txt"
        ) from error
    classes = tuple(dict.fromkeys(line.strip() for line in lines if line.strip()))
    if not classes:
        raise DffError(f"{root / 'classes.txt'} names no class")
    folders = {path.name: path for path in sorted(root.iterdir()) if path.is_dir()}
    if not folders:
        raise DffError(f"{root} holds no folder of masks: one for each labelled image")

    def read(image: str) -> Frame:
        masks: dict[str, Tensor] = {}
        for name in classes:
            path = folders[image] / f"{name}.png"
            if not path.exists():
                raise DffError(
                    f"no mask of '{name}' in {folders[image]}: {path.name} is missing; add it, or "
                    f"{leaving_out(image)}"
                )
            masks[name] = read_mask(path, HALF, leaving_out(image))
        sizes = {tuple(mask.shape) for mask in masks.values()}
        if len(sizes) > 1:
            raise DffError(f"the masks in {folders[image]} are of different sizes: {sorted(sizes)}")
        return Frame(image, masks, torch.stack(list(masks.values())).any(dim=0))

    return Benchmark(
        format="3d-ovs",
        classes=classes,
        images=tuple(folders),
        read=read,
        asked=classes,
        label_list=True,
    )
