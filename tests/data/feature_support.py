"""Toy teachers and captures for the tests of the feature cache, also for those in processes."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

from dff.data.feature_cache import FeatureCache
from dff.errors import DffError
from dff.teachers import Teacher


class CountingTeacher(Teacher):
    """Average colours on a grid of one cell per 4 pixels; counts what it is asked."""

    name, dim, fingerprint, logit_scale = "counting", 3, "00", 1.0

    def __init__(self, fingerprint: str = "00", stop_after: int | None = None) -> None:
        self.fingerprint = fingerprint
        self.stop_after = stop_after
        self.encoded = 0
        self.killed_after: int | None = None

    @property
    def has_text(self) -> bool:
        return False

    def encode_text(self, phrases: Sequence[str]) -> torch.Tensor:
        raise DffError("no text")

    def grid_shape(self, height: int, width: int) -> tuple[int, int]:
        return height // 4, width // 4

    def encode_image(self, image: torch.Tensor) -> torch.Tensor:
        if self.encoded == self.stop_after:
            raise KeyboardInterrupt
        if self.encoded == self.killed_after:
            os.kill(os.getpid(), 9)
        self.encoded += 1
        return F.avg_pool2d(image.permute(2, 0, 1)[None], 4)[0].permute(1, 2, 0)


class WideTeacher(CountingTeacher):
    """Unit features of length 12 that lie close to a space of 4: colours and their products."""

    name, dim = "wide", 12

    def encode_image(self, image: torch.Tensor) -> torch.Tensor:
        colours = 8 * (super().encode_image(image).double() - 0.5)
        generator = torch.Generator().manual_seed(5)
        mix = torch.randn(4, 12, generator=generator, dtype=torch.float64)
        ones = torch.ones_like(colours[..., :1])
        small = 0.02 * torch.sin(40 * colours.sum(-1, keepdim=True) * torch.arange(1, 13))
        features = torch.cat([colours, ones], -1) @ mix + small
        return F.normalize(features, dim=-1).float()


def write_images(folder: Path, count: int = 5, size: tuple[int, int] = (16, 24)) -> list[Path]:
    """Noise, each image another."""
    rng = np.random.default_rng(0)
    folder.mkdir(exist_ok=True, parents=True)
    paths = [folder / f"{index:02d}.png" for index in range(count)]
    for path in paths:
        Image.fromarray(rng.integers(0, 256, (*size, 3), dtype=np.uint8)).save(path)
    return paths


def edit(path: Path) -> None:
    """Change an image in place, keeping its size."""
    with Image.open(path) as image:
        pixels = np.asarray(image).copy()
    pixels[:8] = 255 - pixels[:8]
    Image.fromarray(pixels).save(path)


def cache(folder: Path, teacher: Teacher | None = None, **more) -> FeatureCache:
    """A cache in a folder of its own below ``folder``."""
    return FeatureCache(folder / "cache", teacher or CountingTeacher(), **more)


def files(folder: Path, pattern: str = "*") -> list[Path]:
    """The files of that cache."""
    return sorted(path for path in (folder / "cache").rglob(pattern) if path.is_file())
