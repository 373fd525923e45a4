"""How well text, one patch, one click and corrective clicks select the objects of generated scenes.

    uv run python tools/measure_queries.py --work WORK --seeds 11 12 13 14 15 --json FILE

Scenes are generated and trained where they are not there yet. Prompts are taken from training
views; every figure is the IoU on the held-out views, their pixels pooled, an object seen in fewer
than 50 of them left out. A click is on the pixel deepest inside the object, in each of the three
training views that show most of it; its figure is the mean over the three. A patch is the
object's bounding box in the first of them, and counts for all objects of the same phrase, as words
do. Corrective clicks go, one after the other, to the deepest pixel of the widest mistake in eight
training views, as a person would; what is less than about four pixels wide is left alone.
"""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import tyro
from jaxtyping import Int
from rich.console import Console
from rich.table import Table
from torch import Tensor

import dff
from dff.answering import Query, answer
from dff.data.generated.scene import SceneTruth, write_scene
from dff.errors import DffError
from dff.evaluate.masks import intersection_over_union
from dff.evaluate.prompts import box_of, deepest, depth_within
from dff.query.shown import Click, ClickQuery, Patch, PatchQuery
from dff.query.text import TextQuery
from dff.scene import Scene, View
from dff.seen_view import SeenView
from dff.training import train_scene

WAYS = ("text", "patch", "click", "1 correction", "2 corrections", "3 corrections")
LEAST_PIXELS = 50
# A mistake narrower than this many pixels from its middle to its rim is left alone.
LEAST_MISTAKE = 2.0


@dataclass
class MeasureQueries:
    """Measure all ways of asking on generated scenes."""

    work: Path
    """Folder with a folder for each seed: scene and training."""
    seeds: tuple[int, ...] = (11, 12, 13, 14, 15)
    """Of scenes and training."""
    iterations: int = 1200
    """Training steps."""
    json: Path | None = None
    """Where to write the figures."""


@dataclass(frozen=True, eq=False)
class Seen:
    """A view with its truth: (h, w) numbers of the things, 0 for none."""

    view: View
    seen: SeenView
    instances: Int[Tensor, "h w"]


def main(options: MeasureQueries) -> None:
    figures: dict[str, dict[str, dict[str, float]]] = {}
    for seed in options.seeds:
        folder = options.work / str(seed)
        truth = write_scene(folder / "scene", seed)
        config = train_scene(
            truth.path, folder / "training", iterations=options.iterations, seed=seed + 42
        )
        figures[str(seed)] = measure(dff.load(config), truth)
        report(figures)
        if options.json is not None:
            options.json.write_text(json.dumps(figures, indent=1))


def measure(scene: Scene, truth: SceneTruth) -> dict[str, dict[str, float]]:
    """IoU by object and way of asking."""
    held_out = [look(scene, truth, view) for view in scene.views("eval")]
    training = scene.views("train")
    corrections = [look(scene, truth, view) for view in training[:: len(training) // 8][:8]]
    masks = {view.name: truth.instances(truth.frames[view.name]) for view in training}
    phrases = [thing.phrase for thing in truth.description.objects]
    figures = {}
    for thing in truth.description.objects:
        number = thing.instance
        alike = [t.instance for t in truth.description.objects if t.phrase == thing.phrase]
        if sum(int((part.instances == number).sum()) for part in held_out) < LEAST_PIXELS:
            continue
        best = sorted(training, key=lambda view: -int((masks[view.name] == number).sum()))[:3]
        others = tuple(dict.fromkeys([p for p in phrases if p != thing.phrase]))
        box = box_of(masks[best[0].name] == number)
        found = {
            "text": ask(
                scene, TextQuery((thing.phrase,), (*others, "table", "background")), held_out, alike
            ),
            "patch": ask(scene, PatchQuery((Patch(best[0].name, box),)), held_out, alike),
        }
        clicks = []
        for view in best:
            click = Click(view.name, *deepest(masks[view.name] == number))
            clicks.append(ask(scene, ClickQuery((click,)), held_out, [number]))
        found["click"] = float(np.mean(clicks))
        first = Click(best[0].name, *deepest(masks[best[0].name] == number))
        found |= corrected(scene, first, corrections, held_out, number)
        figures[f"{number} {thing.phrase}"] = found
    return figures


def corrected(
    scene: Scene, first: Click, views: list[Seen], held_out: list[Seen], number: int
) -> dict[str, float]:
    """IoU after each of three corrective clicks; a mistake of nothing needs none."""
    positives, negatives = [first], []
    found = {}
    value = ask(scene, ClickQuery((first,)), held_out, [number])
    for way in WAYS[3:]:
        query = ClickQuery(tuple(positives), tuple(negatives))
        selection = answer(scene, query)
        worst, depth, wanted = None, LEAST_MISTAKE, True
        for part in views:
            mask, target = part.seen.mask(selection), part.instances == number
            for mistake, is_wanted in ((target & ~mask, True), (mask & ~target, False)):
                reach = depth_within(mistake)
                if reach.max() > depth:
                    depth, wanted = float(reach.max()), is_wanted
                    worst = Click(part.view.name, *deepest(mistake))
        if worst is not None:
            (positives if wanted else negatives).append(worst)
            try:
                query = ClickQuery(tuple(positives), tuple(negatives))
                value = ask(scene, query, held_out, [number])
            except DffError:
                # On the spot of an earlier click: a person would leave it.
                (positives if wanted else negatives).pop()
        found[way] = value
    return found


def ask(scene: Scene, query: Query, views: list[Seen], numbers: list[int]) -> float:
    """IoU of a query's answer with some things, the views' pixels pooled."""
    selection = answer(scene, query)
    masks = torch.cat([part.seen.mask(selection).flatten() for part in views])
    wanted = torch.tensor(numbers)
    targets = torch.cat([torch.isin(part.instances, wanted).flatten() for part in views])
    return intersection_over_union(masks, targets)


def look(scene: Scene, truth: SceneTruth, view: View) -> Seen:
    return Seen(view, scene.see(view.camera), truth.instances(truth.frames[view.name]))


def report(figures: dict[str, dict[str, dict[str, float]]]) -> None:
    """A table: a row for each object and for each seed's mean, then mean and worst of all."""
    table = Table(title="IoU on held-out views")
    for title in ("seed", "object", *WAYS):
        table.add_column(title)
    everything = defaultdict(list)
    for seed, objects in figures.items():
        for name, found in objects.items():
            table.add_row(seed, name, *(f"{found[way]:.3f}" for way in WAYS))
        means = {way: np.mean([found[way] for found in objects.values()]) for way in WAYS}
        table.add_row(seed, "mean", *(f"{means[way]:.3f}" for way in WAYS), style="bold")
        for way in WAYS:
            everything[way] += [found[way] for found in objects.values()]
    for title, take in (("mean", np.mean), ("worst", np.min)):
        cells = (f"{take(everything[way]):.3f}" for way in WAYS)
        table.add_row("all", title, *cells, style="bold")
    Console(width=120).print(table)


if __name__ == "__main__":
    main(tyro.cli(MeasureQueries))
