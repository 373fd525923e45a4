"""How much memory feature maps hold, and how long sampling takes, by the number of images.

    python tools/bench_feature_memory.py --images 50 1000 --dim 512
    python tools/bench_feature_memory.py --images 50 1000 --dim 512 --encode --pca 64

Sampled maps are synthetic: files of the right size full of holes, so that a thousand of them take
no disk. With --encode they are written by the cache, from a teacher that gives noise, and do. Each
line is measured in a process of its own.
"""

from __future__ import annotations

import multiprocessing
import resource
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
import tyro
from own_process import resident_bytes
from PIL import Image
from torch import Tensor

from dff.data.feature_cache import FeatureCache
from dff.data.feature_file import MapEntry, MapFacts, map_bytes
from dff.data.feature_maps import FeatureMaps
from dff.data.feature_rows import MAPPED_BYTES
from dff.teachers import Teacher


@dataclass
class Options:
    """Bench memory and time of sampling."""

    images: tuple[int, ...] = (50, 1000)
    """Numbers of images."""
    height: int = 54
    """Rows of a map."""
    width: int = 72
    """Columns of a map."""
    dim: int = 512
    """Features of a cell: D, or K with --pca K."""
    rays: int = 1024
    """Pixels of a batch."""
    batches: int = 2000
    """Batches, of random pixels of random images."""
    mapped_bytes: int = MAPPED_BYTES
    """Maps of fewer bytes in all are mapped into memory; a large number maps them always."""
    encode: bool = False
    """Fill a cache instead of sampling."""
    pca: int | None = None
    """With --encode: coefficients to keep."""


class NoiseTeacher(Teacher):
    """Noise of a given shape for any image."""

    name, fingerprint, logit_scale = "noise", "0", 1.0

    def __init__(self, shape: tuple[int, int, int]) -> None:
        self.dim = shape[2]
        self._shape = shape

    @property
    def has_text(self) -> bool:
        """It has none."""
        return False

    def grid_shape(self, height: int, width: int) -> tuple[int, int]:
        """The same for all."""
        return self._shape[:2]

    def encode_image(self, image: Tensor) -> Tensor:
        """Unit vectors that depend on the image."""
        generator = torch.Generator().manual_seed(int(image.sum() * 1e4))
        return F.normalize(torch.randn(self._shape, generator=generator), dim=-1)

    def encode_text(self, phrases: Sequence[str]) -> Tensor:
        """There is no text tower."""
        raise NotImplementedError


def empty_maps(folder: Path, count: int, shape: tuple[int, int, int]) -> list[MapEntry]:
    """Files as long as maps of this shape, without content."""
    entries = []
    for index in range(count):
        path = folder / f"{index}.fmap"
        with path.open("wb") as stream:
            stream.truncate(map_bytes(shape))
        entries.append(MapEntry(path, shape, MapFacts()))
    return entries


def measure(entries: list[MapEntry], options: Options) -> tuple[float, float, float, float]:
    """MB held more at the end and at most; microseconds per batch: on the clock, of a CPU."""
    before = resident_bytes()
    maps = FeatureMaps(entries, mapped_bytes=options.mapped_bytes)
    rng = np.random.default_rng(0)
    clock, busy, most = [], [], before
    for _ in range(options.batches):
        image = rng.integers(0, len(entries), options.rays)
        ys, xs = rng.integers(0, 480, options.rays), rng.integers(0, 640, options.rays)
        start, start_busy = time.perf_counter(), time.process_time()
        maps.sample(image, ys, xs, 480, 640)
        clock.append(time.perf_counter() - start)
        busy.append(time.process_time() - start_busy)
        most = max(most, resident_bytes())
    held = (resident_bytes() - before) / 1e6
    # Means: page faults come in bursts and are part of the cost.
    return held, (most - before) / 1e6, 1e6 * float(np.mean(clock)), 1e6 * float(np.mean(busy))


def encode(folder: Path, count: int, options: Options) -> tuple[float, float]:
    """MB held more at the end than with one image, and at most, of filling a cache."""
    images = []
    for index in range(count + 1):
        path = folder / f"{index}.png"
        Image.new("RGB", (8, 6), (index % 251, index // 251, 7)).save(path)
        images.append(path)
    teacher = NoiseTeacher((options.height, options.width, options.dim))
    FeatureCache(folder / "one", teacher).ensure(images[:1], progress=False)
    before = resident_bytes()
    maps = FeatureCache(folder / "all", teacher, pca=options.pca).ensure(images[1:], progress=False)
    assert len(maps) == count
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return (resident_bytes() - before) / 1e6, (most - before) / 1e6


def main(options: Options) -> None:
    """Measure and print a table."""
    shape = (options.height, options.width, options.dim)
    if options.encode:
        print(f"encoding maps of {shape}, pca {options.pca}\nimages  held MB  most MB")
        for count in options.images:
            with tempfile.TemporaryDirectory() as folder:
                with multiprocessing.get_context("spawn").Pool(1) as pool:
                    held, most = pool.apply(encode, (Path(folder), count, options))
                print(f"{count:6d}  {held:7.0f}  {most:7.0f}", flush=True)
        return
    print(f"{options.batches} batches of {options.rays} rays from maps of {shape}")
    print("images  held MB  most MB  us/batch  CPU us/batch")
    with tempfile.TemporaryDirectory() as folder:
        for count in options.images:
            entries = empty_maps(Path(folder), count, shape)
            with multiprocessing.get_context("spawn").Pool(1) as pool:
                held, most, clock, busy = pool.apply(measure, (entries, options))
            print(f"{count:6d}  {held:7.0f}  {most:7.0f}  {clock:8.0f}  {busy:12.0f}", flush=True)


if __name__ == "__main__":
    main(tyro.cli(Options))
