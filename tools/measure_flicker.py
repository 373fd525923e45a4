"""How much masks flicker from one frame to the next: of the 3D selection, and of the 2D teacher.

    uv run python tools/measure_flicker.py --load-config CONFIG
    uv run python tools/measure_flicker.py --load-config CONFIG --phrases apple banana --every 3

For every phrase the scene is asked once, and the teacher is asked on each photo alone, with the
same words, scores and choice of threshold. Masks of frames that follow each other, in the order of
their files, are compared by the depth: IoU of the first one, warped into the second, with the
second, on places that both see; the mean over all pairs. On a generated scene phrases are those of
its things, depths and cameras the true ones, and the true masks are measured too: pixels have a
size, so these flicker a little. On other captures depths are rendered.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import torch
import torch.nn.functional as F
import tyro
from jaxtyping import Bool, Float
from rich.console import Console
from rich.table import Table
from torch import Tensor

import dff
from dff.answering import answer
from dff.compiling import choose_threshold
from dff.data.generated.scene import SceneTruth, load_truth
from dff.data.images import load_image
from dff.errors import DffError
from dff.evaluate.counts import mean
from dff.evaluate.flicker import (
    TOLERANCE,
    DepthFrame,
    SharedPlaces,
    shared_places,
    warped_iou,
)
from dff.query.scores import query_scores
from dff.query.text import TextQuery, embed_query
from dff.scene import Scene, View
from dff.seen_view import SeenView
from dff.teachers import Teacher

# What a generated scene holds besides its things.
SURROUNDINGS = ("table", "background")

Masks = Sequence[Bool[Tensor, "h w"]]


@dataclass
class MeasureFlicker:
    """Measure how steady masks are from frame to frame."""

    load_config: Path
    """The config.yml of a trained scene."""
    phrases: tuple[str, ...] = ()
    """What to ask for, each against all others; a generated scene's things where none is given."""
    negatives: tuple[str, ...] = ()
    """Asked against too; table and background where a generated scene is asked for its things."""
    every: int = 1
    """Take every so manieth frame."""
    tolerance: float = TOLERANCE
    """Depths of one place that differ by this share still agree."""
    json: Path | None = None
    """Where to write the figures."""


def main(options: MeasureFlicker) -> None:
    """Measure and print."""
    scene = dff.load(options.load_config)
    figures = measure(scene, options, truth_of(scene))
    report(figures)
    if options.json is not None:
        options.json.write_text(json.dumps(figures, indent=1) + "\n")


def measure(
    scene: Scene, options: MeasureFlicker, truth: SceneTruth | None
) -> dict[str, dict[str, float]]:
    """Mean flicker IoU by phrase and way; NaN where no pair of frames shows any of it.

    Args:
        scene: with a teacher that understands text.
        options: see there.
        truth: of the scene, where it is a generated one.
    """
    queries = queries_of(options, truth)
    views = scene.views()[:: max(1, options.every)]
    if len(views) < 2:
        raise DffError("flicker is between two frames or more: take a smaller --every")
    seen = [scene.see(view.camera) for view in views]
    if truth is None:
        frames = [rendered_frame(view, part) for view, part in zip(views, seen, strict=True)]
    else:
        numbers = truth.frames
        frames = [true_frame(truth, numbers[view.name]) for view in views]
    places = [shared_places(*two, options.tolerance) for two in pairwise(frames)]
    images = [load_image(view.path) for view in views]
    teachers = {query: scene.teacher_of(query) for query in queries}
    maps = {
        teacher.name: [teacher.encode_image(image) for image in images]
        for teacher in teachers.values()
    }
    figures = {}
    for query, teacher in teachers.items():
        selection = answer(scene, query)
        scores = [
            photo_scores(teacher, query, features, image.shape[:2])
            for features, image in zip(maps[teacher.name], images, strict=True)
        ]
        ways: dict[str, Masks] = {
            "3D": [part.mask(selection) for part in seen],
            "2D": [score >= choose_threshold(score) for score in scores],
        }
        if truth is not None:
            masks = [true_mask(truth, numbers[view.name], query.positives[0]) for view in views]
            if any(bool(mask.any()) for mask in masks):
                ways["truth"] = masks
        figures[query.positives[0]] = {
            way: steadiness(masks, places) for way, masks in ways.items()
        }
    return figures


def truth_of(scene: Scene) -> SceneTruth | None:
    """Of the capture that a scene was trained on; None where it is no generated one."""
    data = scene.config.data or scene.config.pipeline.datamanager.data
    try:
        return None if data is None else load_truth(Path(data))
    except DffError:
        return None


def queries_of(options: MeasureFlicker, truth: SceneTruth | None) -> list[TextQuery]:
    """A query for each phrase, against the others.

    Raises:
        DffError: there are no phrases, or what is wrong with them.
    """
    phrases, negatives = options.phrases, options.negatives
    if not phrases:
        if truth is None:
            raise DffError("this capture is not a generated scene: name what to ask with --phrases")
        phrases = tuple(dict.fromkeys(thing.phrase for thing in truth.description.objects))
        negatives = negatives or SURROUNDINGS
    return [
        TextQuery((phrase,), (*(other for other in phrases if other != phrase), *negatives))
        for phrase in phrases
    ]


def photo_scores(
    teacher: Teacher, query: TextQuery, features: Float[Tensor, "r c D"], size: Sequence[int]
) -> Float[Tensor, "h w"]:
    """A photo's scores by the teacher's own features of it, these scaled up bilinearly."""
    full = F.interpolate(
        features.movedim(-1, 0)[None], tuple(size), mode="bilinear", align_corners=False
    )
    return query_scores(full[0].movedim(0, -1), embed_query(teacher, query)).cpu()


def rendered_frame(view: View, seen: SeenView) -> DepthFrame:
    """With the depth that the trained scene has.

    Raises:
        DffError: the camera distorts.
    """
    camera = view.camera
    distortion = camera.distortion_params
    if distortion is not None and bool((distortion != 0).any()):
        raise DffError(
            f"the camera of {view.name} distorts: undistort the capture, flicker is measured "
            "between pinhole cameras"
        )
    focal = torch.stack([camera.fx[0, 0], camera.fy[0, 0]]).cpu()
    principal = torch.stack([camera.cx[0, 0], camera.cy[0, 0]]).cpu()
    depth = torch.where(seen.there, seen.depth, math.inf)
    return DepthFrame(camera.camera_to_worlds[0].cpu(), focal, principal, depth)


def true_frame(truth: SceneTruth, number: int) -> DepthFrame:
    """With the depth that a generated scene has, in its own units."""
    camera = truth.cameras[number]
    return DepthFrame(
        torch.tensor(camera.pose)[:3],
        torch.tensor([camera.focal, camera.focal]),
        torch.tensor([camera.width / 2, camera.height / 2]),
        torch.from_numpy(truth.depth(number)),
    )


def true_mask(truth: SceneTruth, number: int, phrase: str) -> Bool[Tensor, "h w"]:
    """Pixels of a frame that show a thing of a phrase."""
    alike = [thing.instance for thing in truth.description.objects if thing.phrase == phrase]
    return torch.isin(truth.instances(number), torch.tensor(alike, dtype=torch.int64))


def steadiness(masks: Masks, places: Sequence[SharedPlaces]) -> float:
    """Mean over pairs of frames that follow each other; pairs that show none of it left out."""
    values = [warped_iou(place, *two) for place, two in zip(places, pairwise(masks), strict=True)]
    return mean(values)


def report(figures: Mapping[str, Mapping[str, float]]) -> None:
    """A table: a row for each phrase, and their mean."""
    ways = list(dict.fromkeys(way for row in figures.values() for way in row))
    table = Table(title="IoU of masks with those of the frame before, warped by depth")
    for title in ("phrase", *ways):
        table.add_column(title)
    for phrase, row in figures.items():
        table.add_row(phrase, *(f"{row.get(way, math.nan):.3f}" for way in ways))
    means = [mean([row.get(way, math.nan) for row in figures.values()]) for way in ways]
    table.add_row("mean", *(f"{value:.3f}" for value in means), style="bold")
    Console(width=100).print(table)


if __name__ == "__main__":
    main(tyro.cli(MeasureFlicker))
