"""How time and memory grow with the capture and the features.

    uv run python tools/bench_scale.py --json scale.json --plot scale.png

One thing at a time is made larger: the number of images, their resolution, the feature length D,
and the grid of the radiance field. For each size a synthetic capture is trained for a few steps in
a process of its own; taken are seconds per step, the most memory held, seconds to find the surface
and bake features, per query and per rendered frame, and the cache's bytes. For each of these the
exponent ``a`` of ``cost = c size^a`` is fitted: 0 does not grow, 1 grows as fast as the size. Leave
the machine alone while it runs.
"""

from __future__ import annotations

import json
import math
import multiprocessing
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import tyro
from bench_parts.costs import asking_seconds, made_up_run, peak_gigabytes, render_seconds
from bench_parts.runs import Capture
from PIL import Image
from rich.console import Console
from rich.progress import track
from rich.table import Table

from dff.camera_paths import look_at
from dff.errors import DffError
from dff.evaluate.metrics_file import plain
from dff.evaluate.plots import write_panels
from dff.files import atomic_write

COSTS = (
    "step seconds",
    "peak GiB",
    "bake seconds",
    "query seconds",
    "render seconds",
    "cache bytes",
)


@dataclass(frozen=True)
class Size:
    """One point: a synthetic capture and a model.

    Attributes:
        images: their number.
        side: of an image in pixels.
        dim: D.
        grid: log2 of the entries per level of the radiance field's grid.
    """

    images: int = 40
    side: int = 96
    dim: int = 64
    grid: int = 17


@dataclass
class Scale:
    """Measure growth."""

    images: tuple[int, ...] = (10, 100, 1000)
    """Numbers of images."""
    sides: tuple[int, ...] = (64, 128, 256)
    """Sides of an image, in pixels."""
    dims: tuple[int, ...] = (64, 256, 1024)
    """Feature lengths."""
    grids: tuple[int, ...] = (15, 17, 19)
    """Log2 of the entries per level of the grid."""
    steps: int = 60
    """Steps that are timed, after ten that are not."""
    bake_rays: int = 50_000
    """Rays with which the surface is looked for."""
    rays: int = 1024
    """Rays per step."""
    json: Path | None = None
    """Where to write the figures."""
    plot: Path | None = None
    """Where to write the plot, a .png."""
    threads: int = field(default_factory=torch.get_num_threads)
    """Threads of torch."""


def write_capture(folder: Path, images: int, side: int) -> Path:
    """A ball in front of a chequered ground, seen from a ring; made of formulas, so it is quick."""
    (folder / "images").mkdir(parents=True)
    frames = []
    y, x = np.mgrid[:side, :side] / side - 0.5
    for number in range(images):
        angle = 2 * math.pi * number / images
        origin = torch.tensor([3 * math.cos(angle), 3 * math.sin(angle), 1.2])
        pose = look_at(origin, torch.zeros(3), torch.tensor([0.0, 0.0, 1.0]))
        ground = ((np.floor(8 * x + angle) + np.floor(8 * y)) % 2) * 90.0 + 80
        picture = np.stack([ground, ground * 0.9, ground * 0.7], axis=-1)
        ball = np.hypot(x, y) < 0.2
        picture[ball] = np.array([200, 60, 40]) * (1 - np.hypot(x, y)[ball, None])
        name = f"images/{number:05d}.png"
        Image.fromarray(picture.astype(np.uint8)).save(folder / name)
        frames.append({"file_path": name, "transform_matrix": [*pose.tolist(), [0, 0, 0, 1]]})
    about = {"fl_x": side, "fl_y": side, "cx": side / 2, "cy": side / 2, "w": side, "h": side}
    (folder / "transforms.json").write_text(json.dumps({**about, "frames": frames}))
    return folder


def measure(size: Size, steps: int, rays: int, bake_rays: int, threads: int) -> dict[str, float]:
    """The costs of one point; run it in a process of its own, for its memory."""
    torch.set_num_threads(threads)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        capture = Capture(write_capture(folder / "capture", size.images, size.side), rays=rays)
        run, facts = made_up_run(
            capture, size.dim, folder / "features", (f"log2_hashmap_size={size.grid}",)
        )
        seconds = run.mean_step(10, steps)
        rendered = render_seconds(run, 2)
        asked = asking_seconds(run, rays=bake_rays)
        return {
            "step seconds": seconds,
            "bake seconds": asked["surface"] + asked["bake features"],
            "query seconds": asked["query"],
            "render seconds": rendered["with features"],
            "cache bytes": facts["cache_bytes"],
            "peak GiB": peak_gigabytes(),
        }


def in_process(size: Size, scale: Scale) -> dict[str, float]:
    """One point, in a process that starts afresh."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, context) as pool:
        options = (scale.steps, scale.rays, scale.bake_rays, scale.threads)
        return pool.submit(measure, size, *options).result()


def exponent(sizes: Sequence[float], costs: Sequence[float]) -> float:
    """``a`` of ``cost = c size^a``, by least squares of the logarithms; NaN for one size."""
    if len(sizes) < 2 or min(costs) <= 0:
        return math.nan
    return float(np.polyfit(np.log(sizes), np.log(costs), 1)[0])


def sweeps(scale: Scale) -> dict[str, list[tuple[float, Size]]]:
    """By what grows, the sizes (pixels count along both sides, the grid by its entries)."""
    usual = Size()
    return {
        "images": [(n, replace(usual, images=n)) for n in scale.images],
        "pixels of an image": [(s * s, replace(usual, side=s)) for s in scale.sides],
        "feature length D": [(d, replace(usual, dim=d)) for d in scale.dims],
        "grid entries per level": [(2**g, replace(usual, grid=g)) for g in scale.grids],
    }


def fit(found: Mapping[str, Sequence[tuple[float, Mapping[str, float]]]]) -> dict[str, Any]:
    """By what grows, and by cost, the exponent."""
    return {
        what: {
            cost: exponent([size for size, _ in points], [each[cost] for _, each in points])
            for cost in COSTS
        }
        for what, points in found.items()
    }


def text_of(power: float) -> str:
    """An exponent for people."""
    return "–" if math.isnan(power) else f"{power:.2f}"


@dataclass(frozen=True)
class Growth:
    """What was measured.

    Attributes:
        measured: by what grows, sizes and the costs of each.
        exponents: by what grows, and by cost.
    """

    measured: Mapping[str, Sequence[tuple[float, Mapping[str, float]]]]
    exponents: Mapping[str, Mapping[str, float]]

    @property
    def table(self) -> Table:
        """The exponents for people."""
        table = Table(title="Exponents: 0 does not grow, 1 grows as fast as the size")
        for title in ("cost", *self.exponents):
            table.add_column(title)
        for cost in COSTS:
            row = (text_of(self.exponents[what][cost]) for what in self.exponents)
            table.add_row(cost, *row)
        return table

    def plot(self, path: Path) -> None:
        """A panel for each thing that grows, as a .png."""
        panels = {
            what: {
                f"{cost} ({text_of(self.exponents[what][cost])})": (
                    [size for size, _ in points],
                    [each[cost] / points[0][1][cost] for _, each in points],
                )
                for cost in COSTS
            }
            for what, points in self.measured.items()
        }
        write_panels(path, panels, "cost, first size = 1")


def grown(scale: Scale, console: Console) -> Growth:
    """Measure every size and fit."""
    planned = sweeps(scale)
    sizes = list(dict.fromkeys(size for points in planned.values() for _, size in points))
    costs = {}
    for size in track(sizes, description="measuring growth", console=console):
        costs[size] = in_process(size, scale)
    found = {
        what: [(number, costs[size]) for number, size in points] for what, points in planned.items()
    }
    return Growth(found, fit(found))


def main(scale: Scale) -> None:
    """Measure, fit, show and write."""
    console = Console()
    growth = grown(scale, console)
    console.print(growth.table)
    if scale.json is not None:
        content = {"version": 1, "threads": scale.threads, "rays": scale.rays}
        content |= {"exponents": growth.exponents, "measured": growth.measured}
        with atomic_write(scale.json) as stream:
            stream.write(f"{json.dumps(plain(content), indent=1)}\n".encode())
    if scale.plot is not None:
        growth.plot(scale.plot)
        console.print(f"plot in {scale.plot}")


if __name__ == "__main__":
    try:
        main(tyro.cli(Scale))
    except DffError as error:
        raise SystemExit(f"error: {error}") from error
