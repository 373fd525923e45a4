"""What a query costs once a scene is baked, beside asking the feature field at every ray sample.

    uv run python tools/bench_query.py --json bench_query.json
    uv run python tools/bench_query.py --load-config CONFIG --text "red apple"

Made-up surfaces (spheres, each of one kind of feature) of 200,000 voxels are asked by one text, by
a hundred at once, and part by part. The unbaked way decodes every ray sample of a view 480 pixels
wide with a feature field of the default size, and scores it; finding the samples is not counted.
Given a trained scene, a copy of it is baked, asked by text and by a click, and compared with its
own unbaked view. Memory is what a process of its own holds (RSS, looked at every millisecond; Linux
only) beyond what it held before. Times are medians, those of the bake and of the unbaked way are of
one run. Leave the machine alone meanwhile.
"""

from __future__ import annotations

import itertools
import json
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
import tyro
from jaxtyping import Float, Int
from made_up_surface import (
    HEIGHT,
    SCALE,
    WIDTH,
    MadeUp,
    SurfaceOptions,
    made_up,
    made_up_samples,
)
from own_process import in_process, most_held, resident_bytes
from rich.console import Console
from rich.table import Table
from torch import Tensor

import dff
from dff.answering import answer
from dff.compiling import choose_threshold
from dff.errors import DffError
from dff.fields.feature_field import FeatureField
from dff.model_config import DFFModelConfig
from dff.query.scores import QueryEmbedding, query_scores
from dff.query.shown import Click, ClickQuery
from dff.query.text import TextQuery, embed_query
from dff.query.threshold import soft_mask
from dff.scene import Scene
from dff.selection.exact import BakedFeatures, ExactQuery, TeacherQuery
from dff.selection.islands import held_alone
from dff.selection.refine import SELECTED
from dff.selection.selection import Selection
from dff.selection.specks import without_specks
from dff.selection.surface_grid import SurfaceGrid

# Rays whose samples are decoded at once: 24 samples of 512 numbers each are 50 MB.
CHUNK = 1024


@dataclass
class BenchQuery(SurfaceOptions):
    """Measure what a query on a baked scene costs."""

    dims: tuple[int, ...] = (64, 512)
    """Dimensions of teachers."""
    repeats: int = 9
    """Of everything but the bake and the unbaked way."""
    unbaked_share: float = 0.1
    """Share of the view's rays, spread evenly, on which the unbaked way is timed and scaled up."""
    load_config: Path | None = None
    """The config.yml of a trained scene to bake and ask too."""
    text: str = "apple"
    """What to ask that scene for."""
    click: str | None = None
    """FRAME:x,y to click there; the middle of the first view by default."""
    threads: int = field(default_factory=torch.get_num_threads)
    """Threads of torch."""
    json: Path | None = None
    """Where to write the figures."""


@dataclass(frozen=True)
class Row:
    """One figure.

    Attributes:
        of: which surface or scene.
        what: was done.
        value: milliseconds, or megabytes.
        unit: ``ms`` or ``MB``.
        goal: the value is to stay below it; None where there is none.
        unbaked: how many times as long the unbaked way takes; None where that says nothing.
    """

    of: str
    what: str
    value: float
    unit: str = "ms"
    goal: float | None = None
    unbaked: float | None = None


def ask_by_parts(
    grid: SurfaceGrid, baked: BakedFeatures, query: QueryEmbedding
) -> tuple[dict[str, float], Tensor]:
    """Milliseconds of each part of a text query, as `dff.answering.answer_text` has them.

    Returns:
        Them, and the values that are selected.
    """
    clock = [time.perf_counter()]

    def tick(result: Any) -> Any:
        clock.append(time.perf_counter())
        return result

    scores = tick(baked.scores(query))
    threshold = tick(choose_threshold(scores, grid.rays))
    values = tick(soft_mask(scores, threshold))
    kept = tick(without_specks(grid, values > 0))
    values = tick(values * kept)
    held = tick(held_alone(grid, values >= SELECTED))
    values = tick(values + (1 - values) * held)
    names: tuple[str, ...] = (
        *("scores", "threshold", "mask", "without specks", "values"),
        *("what nothing else holds", "with it"),
    )
    spent = [1e3 * (after - before) for before, after in itertools.pairwise(clock)]
    parts = dict(zip(names, spent, strict=True))
    return parts, values


def ask_many(scene: MadeUp) -> list[Tensor]:
    """Scores of all texts, each against the query's negatives."""
    negatives = scene.query.negatives
    return scene.baked.scores_of(
        [QueryEmbedding(text[None], negatives, SCALE, "pairwise") for text in scene.texts]
    )


def repeated(action: Callable[[], Any], repeats: int) -> tuple[float, float]:
    """Milliseconds of the first time, and the median of the times after it."""
    times = []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        action()
        times.append(1e3 * (time.perf_counter() - start))
    return times[0], float(np.median(times[1:]))


@torch.no_grad()
def unbaked(
    feature_field: FeatureField,
    teacher: str,
    query: QueryEmbedding,
    samples: Callable[[Tensor], Tensor],
    rays: int,
    share: float,
) -> float:
    """Milliseconds of decoding and scoring every ray sample of a view.

    Args:
        feature_field: asked at the samples.
        teacher, query: what is asked.
        samples: world positions (r, s, 3) of the samples of rays, by the rays' numbers.
        rays: of the view.
        share: of them that are timed, in blocks spread evenly; the time is scaled up.
    """
    blocks = torch.arange(rays).split(CHUNK)
    chosen = np.linspace(0, len(blocks) - 1, max(1, round(share * len(blocks)))).round()
    spent, done = 0.0, 0
    # One more to warm up.
    for number, block in enumerate([blocks[0], *(blocks[int(k)] for k in chosen)]):
        positions = samples(block)
        begin = time.perf_counter()
        query_scores(feature_field.features_at(positions, teacher), query)
        if number > 0:
            spent, done = spent + time.perf_counter() - begin, done + len(block)
    return 1e3 * spent * rays / done


def made_up_rows(bench: BenchQuery, dim: int) -> list[Row]:
    """Time and memory of queries on a made-up surface for a teacher of some dimensions."""
    of = f"{bench.voxels} voxels, D={dim}"
    scene = made_up(bench, dim)
    config = DFFModelConfig()
    box = torch.tensor([[-1.0, -1.0, -1.0], [1.0, 1.0, 1.0]])
    asked = FeatureField(box, config.feature_grid(), bench.hidden, False, "torch")
    asked.add_head("made up", dim)
    samples = made_up_samples(config.eval_num_nerf_samples)
    view = unbaked(asked, "made up", scene.query, samples, WIDTH * HEIGHT, bench.unbaked_share)
    rows = [Row(of, f"unbaked: every sample of {WIDTH}x{HEIGHT} rays", view)]
    rows += part_rows(of, scene.grid, scene.baked, scene.query, view, bench.repeats)
    _, many = repeated(lambda: ask_many(scene), bench.repeats)
    each = many / bench.texts
    rows.append(Row(of, f"scores of {bench.texts} texts, for each", each, "ms", 5, view / each))
    held, building, query, texts = in_process(memory, bench, dim)
    return [
        *rows,
        Row(of, "held by the baked surface", held, "MB"),
        Row(of, "at most, building the surface", building, "MB"),
        Row(of, "at most, a query", query, "MB", 500),
        Row(of, f"at most, {bench.texts} texts", texts, "MB", 500),
    ]


def part_rows(
    of: str,
    grid: SurfaceGrid,
    baked: BakedFeatures,
    query: QueryEmbedding,
    view: float,
    repeats: int,
) -> list[Row]:
    """A new query in all and by its parts; what a look at it needs besides, apart."""
    ask_by_parts(grid, baked, query)
    runs = [ask_by_parts(grid, baked, query) for _ in range(repeats)]
    total = float(np.median([sum(parts.values()) for parts, _ in runs]))
    rows = [Row(of, "a new query", total, "ms", 50, view / total)]
    for name in runs[0][0]:
        part = float(np.median([parts[name] for parts, _ in runs]))
        rows.append(Row(of, f"  {name}", part, unbaked=view / part))
    values = runs[0][1]
    exact = ExactQuery((TeacherQuery("made up", query),), 0.5)
    first, rims = repeated(lambda: Selection(grid, values, exact=exact).settled, repeats)
    return [
        *rows,
        Row(of, "neighbours of voxels, once a bake", first - rims),
        Row(of, "rims, when first looked at", rims),
    ]


def memory(bench: BenchQuery, dim: int) -> tuple[float, float, float, float]:
    """MB held more than before: baked; at most while building, by a query, by many texts."""
    torch.set_num_threads(bench.threads)
    small = made_up(BenchQuery(voxels=500, resolution=48, hidden=bench.hidden, texts=2), dim)
    ask_by_parts(small.grid, small.baked, small.query)
    ask_many(small)
    before = resident_bytes()
    with most_held() as building:
        scene = made_up(bench, dim)
    held = resident_bytes()
    with most_held() as query:
        ask_by_parts(scene.grid, scene.baked, scene.query)
    with most_held() as texts:
        ask_many(scene)
    most = [(peak[0] - before) / 1e6 for peak in (building, query, texts)]
    return (held - before) / 1e6, most[0], most[1], most[2]


@contextmanager
def bare_copy(config: Path) -> Iterator[Path]:
    """A copy of a trained scene that has not been baked: its config.yml, gone afterwards."""
    run = config if config.is_dir() else config.parent
    if not (run / "config.yml").is_file():
        raise DffError(f"no such configuration: {run / 'config.yml'}")
    baked = shutil.ignore_patterns("surface.safetensors", "events.*")
    with tempfile.TemporaryDirectory() as folder:
        shutil.copytree(run, Path(folder) / "run", ignore=baked)
        yield Path(folder) / "run" / "config.yml"


def trained_rows(config: Path, bench: BenchQuery) -> list[Row]:
    """Time of baking a trained scene, and of asking it by text and by a click."""
    with bare_copy(config) as copy:
        scene = dff.load(copy, device="cpu")
        text = TextQuery((bench.text,))
        teacher = scene.teacher_of(text)
        start = time.perf_counter()
        baked = scene.baked(teacher.name)
        bake = 1e3 * (time.perf_counter() - start)
        of = f"{(config if config.is_dir() else config.parent).name}, {len(scene.surface)} voxels"
        query = embed_query(teacher, text)
        feature_field = scene.model.feature_field
        assert feature_field is not None
        samples, rays = view_samples(scene)
        view = unbaked(feature_field, teacher.name, query, samples, rays, bench.unbaked_share)
        rows = [
            Row(of, f"unbaked: every sample of {rays} rays", view),
            Row(of, "bake", bake, "ms", 20_000, view / bake),
            *part_rows(of, scene.surface, baked, query, view, bench.repeats),
        ]
        asked = bench.click or middle_of_first(scene)
        ways: dict[str, Callable[[], Any]] = {
            f"words of '{bench.text}'": lambda: embed_query(teacher, text),
            f"text '{bench.text}' in all": lambda: answer(scene, text),
            f"click {asked} in all": lambda: answer(scene, ClickQuery((Click.parse(asked),))),
        }
        for what, action in ways.items():
            first, again = repeated(action, bench.repeats)
            rows.append(Row(of, f"{what}, first time", first, unbaked=view / first))
            rows.append(Row(of, what, again, unbaked=view / again))
        return rows


def middle_of_first(scene: Scene) -> str:
    """A click on the middle of a scene's first view."""
    view = scene.views()[0]
    return f"{view.name}:{view.size[1] / 2:g},{view.size[0] / 2:g}"


def view_samples(scene: Scene) -> tuple[Callable[[Tensor], Tensor], int]:
    """The samples of rays of a scene's first view, 480 pixels wide, and how many rays it has."""
    camera = scene.views()[0].camera
    camera = camera[torch.zeros(1, dtype=torch.long)]  # a copy: its size is changed
    camera.rescale_output_resolution(WIDTH / int(camera.width))
    rays = camera.generate_rays(camera_indices=0, keep_shape=True).flatten()
    model = scene.model

    @torch.no_grad()
    def positions(chosen: Int[Tensor, " r"]) -> Float[Tensor, "r s 3"]:
        bundle = model.collider(rays[chosen])
        samples, _, _ = model.eval_sampler(bundle, density_fns=model.density_fns)
        return samples.frustums.get_positions()

    return positions, len(rays)


def main(bench: BenchQuery) -> None:
    """Measure, print and write."""
    torch.set_num_threads(bench.threads)
    rows = [row for dim in bench.dims for row in made_up_rows(bench, dim)]
    if bench.load_config is not None:
        rows += trained_rows(bench.load_config, bench)
    report(rows, bench)
    if bench.json is not None:
        figures = {"threads": bench.threads, "rows": [asdict(row) for row in rows]}
        bench.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


def report(rows: list[Row], bench: BenchQuery) -> None:
    """A table of the rows."""
    table = Table(title=f"Queries on baked scenes, {bench.threads} threads")
    for title in ("of", "what", "value", "goal", "unbaked takes"):
        table.add_column(title)
    for row in rows:
        goal = "" if row.goal is None else f"{row.goal:g} {row.unit}"
        late = row.goal is not None and row.value > row.goal
        times = "" if row.unbaked is None else f"{row.unbaked:.3g} times"
        value = f"{row.value:.1f} {row.unit}"
        table.add_row(row.of, row.what, value, goal, times, style="red" if late else None)
    Console(width=120).print(table)


if __name__ == "__main__":
    try:
        main(tyro.cli(BenchQuery))
    except DffError as error:
        raise SystemExit(f"error: {error}") from error
