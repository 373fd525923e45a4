"""Speed, quality and cost of training beside nerfacto's, in one run on one machine.

    uv run python tools/bench.py --data SCENE --json bench.json

Prints as a table, and writes as JSON: mean seconds per step of nerfacto (nerfstudio's own, its
defaults, torch implementation; with CUDA and tiny-cuda-nn that one too), of dff without and with
the feature field (in its warm-up, and after it), and their ratios at equal rays; the parts of a
step; held-out PSNR after given seconds of training (looking is not counted) and the seconds to
given PSNRs; what features of other lengths cost; seconds per rendered frame; to find the surface,
bake and ask; the cache's bytes; peak memory; and how all this grows with image count, resolution,
feature length and grid (`tools/bench_scale.py` on made-up captures, eight minutes of it), as
exponents and, beside the JSON, a plot. Leave the machine alone while it runs.
"""

from __future__ import annotations

import copy
import json
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
import tyro
from bench_parts.costs import (
    asking_seconds,
    bytes_below,
    cost_by_dimension,
    peak_gigabytes,
    render_seconds,
)
from bench_parts.runs import (
    Capture,
    Run,
    dff,
    has_tcnn,
    nerfacto,
    prepare,
    train_and_look,
)
from bench_scale import Scale, grown
from rich.console import Console
from rich.table import Table

from dff.errors import DffError
from dff.evaluate.metrics_file import plain
from dff.files import atomic_write

BASELINE_LOOKS = 6


@dataclass
class Bench:
    """Measure training speed, quality and cost."""

    data: Path
    """A capture in nerfstudio format."""
    json: Path | None = None
    """Where to write the figures."""
    scale: float = 1.0
    """Share of the images' size to train and evaluate at."""
    rays: int = 1024
    """Rays per step where speeds are compared; for its quality dff has its own default."""
    baseline_steps: int = 8
    """Steps of nerfacto to time, after two that are not; 0 leaves it out."""
    baseline_seconds: tuple[float, ...] = ()
    """Training times of nerfacto at which its held-out PSNR is taken; none skips it, and with it
    the times to the targets."""
    steps: int = 60
    """Steps of dff to time, after ten that are not."""
    parts_steps: int = 30
    """Steps whose parts are timed."""
    seconds: tuple[float, ...] = (15, 30, 75)
    """Training times at which the held-out PSNR is taken; none skips it."""
    targets: tuple[float, ...] = (20, 22, 24)
    """PSNRs whose training time is wanted, within the last of those."""
    every: float = 5.0
    """Seconds of training between looks for them."""
    schedule_steps: int = 1400
    """Length of the run for which learning rates are planned."""
    eval_views: int = 5
    """Held-out views for the PSNR."""
    features: bool = True
    """Also train with the feature field, for its cost and the PSNR with it."""
    dims: tuple[int, ...] = (64, 128, 512)
    """Feature lengths whose cost is measured, on made-up features; none skips it."""
    growth: bool = True
    """Also measure how costs grow, on captures made for it."""
    settings: tuple[str, ...] = ()
    """Model options to try, as NAME=JSON."""
    threads: int = field(default_factory=torch.get_num_threads)
    """Threads of torch."""


def measure(
    bench: Bench, console: Console, keep: Callable[[dict[str, Any]], None] = lambda figures: None
) -> dict[str, Any]:
    """All figures, flat but for what is measured by dimension or part.

    Args:
        bench: what to measure.
        console: told of progress.
        keep: given the figures that there are after each part, so that a run that is stopped leaves
            those.
    """
    capture = Capture(bench.data, bench.scale, bench.rays, bench.schedule_steps)
    figures: dict[str, Any] = {
        "version": 2,
        "scene": bench.data.name,
        "scale": bench.scale,
        "rays": bench.rays,
        "threads": bench.threads,
        "cuda": torch.cuda.is_available(),
    }
    if bench.baseline_steps:
        for kind in ("torch", "tcnn") if has_tcnn() else ("torch",):
            run = prepare(nerfacto(kind), capture)
            seconds = run.mean_step(2, bench.baseline_steps)
            figures[f"nerfacto_{kind}_seconds_per_step"] = seconds
            console.print(f"nerfacto, {kind}: {seconds:.3f} s/step")
            if bench.baseline_seconds:
                marks = bench.baseline_seconds
                # Its views take minutes to render.
                rare = replace(bench, every=marks[-1] / BASELINE_LOOKS)
                name = f"nerfacto_{kind}"
                measure_quality(rare, run, name, marks, bench.targets, figures, console)
                keep(figures)
    for features in (False, True) if bench.features else (False,):
        name = "dff_with_features" if features else "dff"
        with tempfile.TemporaryDirectory() as folder:
            config = dff(features, bench.settings)
            config.pipeline.datamanager.feature_cache = Path(folder)
            start = time.perf_counter()
            run = prepare(copy.deepcopy(config), capture)
            if features:
                figures["prepare_with_encoding_seconds"] = time.perf_counter() - start
                figures["cache_bytes"] = bytes_below(Path(folder))
            measure_steps(bench, run, name, figures, console)
            add_ratios(figures)
            keep(figures)
            if bench.seconds:
                # From the first step on, so that no target is passed unseen.
                run = prepare(config, replace(capture, rays=None))
                measure_quality(bench, run, name, bench.seconds, bench.targets, figures, console)
            measure_looking(run, name, figures)
            keep(figures)
    if bench.features and bench.dims:
        figures["by_dimension"] = cost_by_dimension(capture, bench.dims, 10, bench.steps)
    figures["peak_rss_gib"] = peak_gigabytes()
    return figures


def add_ratios(figures: dict[str, Any]) -> None:
    """What the seconds per step that are known so far say beside each other."""
    plain = figures["dff_seconds_per_step"]
    both = figures.get("dff_with_features_seconds_per_step")
    for kind in ("torch", "tcnn"):
        other = figures.get(f"nerfacto_{kind}_seconds_per_step")
        if other is not None:
            figures[f"step_ratio_vs_nerfacto_{kind}"] = other / plain
    if both is not None:
        warming_up = figures["dff_with_features_seconds_per_step_while_warming_up"]
        figures["feature_share_of_step"] = 1.0 - plain / both
        figures["feature_share_while_warming_up"] = 1.0 - plain / warming_up
        other = figures.get("nerfacto_torch_seconds_per_step")
        if other is not None:
            figures["step_ratio_with_features_vs_nerfacto_torch"] = other / both


def measure_steps(
    bench: Bench, run: Run, name: str, figures: dict[str, Any], console: Console
) -> None:
    """Seconds of steps, and of their parts."""
    if run.pipeline.dff_model.feature_field is None:
        seconds = run.mean_step(10, bench.steps)
    else:
        warming_up, seconds = run.mean_feature_steps(10, bench.steps)
        figures[f"{name}_seconds_per_step_while_warming_up"] = warming_up
    figures[f"{name}_seconds_per_step"] = seconds
    figures[f"{name}_rays_per_second"] = bench.rays / seconds
    console.print(f"{name}: {seconds:.3f} s/step")
    if bench.parts_steps:
        figures[f"{name}_step_parts"] = run.step_parts(bench.parts_steps)


def measure_quality(
    bench: Bench,
    run: Run,
    name: str,
    seconds: Sequence[float],
    targets: Sequence[float],
    figures: dict[str, Any],
    console: Console,
) -> None:
    """Held-out PSNR over training time."""
    quality = train_and_look(
        run,
        seconds,
        targets,
        bench.every,
        bench.eval_views,
        lambda words: console.print(f"{name}: {words}"),
    )
    for mark, value in quality.at.items():
        figures[f"{name}_psnr_at_{mark:g}s"] = value.plain
        figures[f"{name}_fitted_psnr_at_{mark:g}s"] = value.fitted
    for target, reached in quality.reached.items():
        figures[f"{name}_seconds_to_{target:g}_db"] = reached


def measure_looking(run: Run, name: str, figures: dict[str, Any]) -> None:
    """Seconds to render a frame, and with features to bake and to ask."""
    figures[f"{name}_render_seconds"] = render_seconds(run)
    if run.pipeline.dff_model.feature_field is not None:
        figures["asking_seconds"] = asking_seconds(run)


def show(figures: Mapping[str, Any], console: Console) -> None:
    """Everything as a table."""
    table = Table(title=f"{figures['scene']}, {figures['rays']} rays a step")
    table.add_column("what")
    table.add_column("figure", justify="right")
    for name, value in flat(figures).items():
        table.add_row(name.replace("_", " "), text_of(value))
    console.print(table)


def flat(figures: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    """Nested figures by one name each."""
    found: dict[str, Any] = {}
    for name, value in figures.items():
        if isinstance(value, Mapping):
            found |= flat(value, f"{before}{name}: ")
        else:
            found[f"{before}{name}"] = value
    return found


def text_of(value: Any) -> str:
    """A figure for people."""
    if value is None:
        return "not reached"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def main(bench: Bench) -> None:
    """Measure, show and write."""
    torch.set_num_threads(bench.threads)
    console = Console()

    def keep(figures: dict[str, Any]) -> None:
        if bench.json is not None:
            with atomic_write(bench.json) as stream:
                stream.write(f"{json.dumps(figures, indent=2)}\n".encode())

    figures = measure(bench, console, keep)
    show(figures, console)
    if "step_ratio_vs_nerfacto_torch" in figures:
        ratio = figures["step_ratio_vs_nerfacto_torch"]
        console.print(f"{ratio:.1f} times nerfacto's steps per second")
    keep(figures)
    if bench.growth:
        growth = grown(Scale(threads=bench.threads), console)
        console.print(growth.table)
        keep(figures | {"growth_exponents": plain(growth.exponents)})
        if bench.json is not None:
            growth.plot(bench.json.with_suffix(".png"))


if __name__ == "__main__":
    try:
        main(tyro.cli(Bench))
    except DffError as error:
        raise SystemExit(f"error: {error}") from error
