"""One teacher or two? Train a generated scene with each choice and measure the borders.

    uv run python tools/compare_teachers.py --work WORK --teachers mini mini,dino \
        --teacher.dino.checkpoint WEIGHTS

On held-out views, mean over the scene's objects: IoU and boundary IoU (arXiv 2103.16562) of what a
text selects, each pixel being given the best of the phrases; and of what one click selects, the
click being the pixel deepest inside the object in the training view that shows most of it. A click
is scored at its best threshold, so that features are compared and not ways of choosing one.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
import tyro
from torch import Tensor

from dff.data.generated.scene import SceneTruth, load_truth, write_scene
from dff.demo import true_labels
from dff.evaluate.masks import boundary_iou, intersection_over_union
from dff.evaluate.prompts import deepest
from dff.query.routing import product_of_scores
from dff.query.scores import label_probabilities
from dff.scene import Scene, View, load
from dff.teachers import TeacherOptions
from dff.training import train_scene

THRESHOLDS = torch.linspace(0.02, 0.98, 49)


@dataclass
class CompareTeachers:
    """Measure what a second teacher brings."""

    work: Path
    """Folder for scene, runs and figures."""
    teachers: tuple[str, ...] = ("mini", "mini,dino")
    """Choices to compare, as --pipeline.teachers takes them."""
    teacher: TeacherOptions = field(default_factory=TeacherOptions)
    """Options of the teachers."""
    iterations: int = 1200
    """Training steps."""
    seed: int = 0
    """Of scene and training."""


def main(options: CompareTeachers) -> None:
    scene_dir = options.work / "scene"
    write_scene(scene_dir, options.seed)
    truth = load_truth(scene_dir)
    rows = []
    for teachers in options.teachers:

        def configure(config, teachers=teachers) -> None:
            config.pipeline.teachers = teachers
            config.pipeline.teacher = options.teacher

        path = train_scene(
            scene_dir,
            options.work / teachers.replace(",", "_"),
            iterations=options.iterations,
            seed=options.seed + 42,
            configure=configure,
        )
        for query, figures in measure(load(path), truth).items():
            iou, rim = np.nanmean(figures, axis=0)
            rows.append({"teachers": teachers, "query": query, "iou": iou, "boundary": rim})
    print("| teachers | query | mean IoU | mean boundary IoU |\n|---|---|---|---|")
    for row in rows:
        print(f"| {row['teachers']} | {row['query']} | {row['iou']:.3f} | {row['boundary']:.3f} |")
    (options.work / "figures.json").write_text(json.dumps(rows, indent=1))


@torch.no_grad()
def measure(scene: Scene, truth: SceneTruth) -> dict[str, list[tuple[float, float]]]:
    """(IoU, boundary IoU) of every object in every held-out view, by kind of query."""
    field = scene.model.feature_field
    assert field is not None
    names = [record.name for record in scene.model.teacher_records]
    things = truth.description.objects
    phrases = list(dict.fromkeys(thing.phrase for thing in things))
    labels = [*phrases, "table", "background"]
    embeddings = scene.teacher.encode_text(labels)
    frames = truth.frames
    instances = {view.name: truth.masks(frames[view.name])[1] for view in scene.views()}
    prototypes = {t.instance: click(scene, instances, t.instance) for t in things}
    result: dict[str, list[tuple[float, float]]] = {}
    cosines: dict[str, list[tuple[Tensor, Tensor]]] = {}
    for view in scene.views("eval"):
        hidden = scene.render(view.camera, hidden=True)["hidden_features"]
        features = {name: field.decode(hidden, name) for name in names}
        wanted = true_labels(truth, frames[view.name], labels)
        given = label_probabilities(
            features[scene.teacher.name], embeddings, scene.teacher.logit_scale
        ).argmax(-1)
        for number in range(len(phrases)):
            add(result, "text", given == number, wanted == number)
        for thing in things:
            target = torch.from_numpy(instances[view.name] == thing.instance)
            hit = prototypes[thing.instance]
            scores = {n: torch.cosine_similarity(features[n], hit[n], dim=-1) for n in names}
            if len(names) > 1:
                scores["product"] = product_of_scores(list(scores.values()))
            for name, score in scores.items():
                cosines.setdefault(f"{thing.instance} click by {name}", []).append((score, target))
    for key, pairs in cosines.items():
        kind = key.partition(" ")[2]
        found = [total_iou(pairs, float(threshold)) for threshold in THRESHOLDS]
        best = float(THRESHOLDS[int(np.nanargmax(found))])
        for score, target in pairs:
            add(result, kind, score >= best, target)
    return result


def click(scene: Scene, instances: dict[str, np.ndarray], instance: int) -> dict[str, Tensor]:
    """Each teacher's feature at a pixel well inside an object."""
    field = scene.model.feature_field
    assert field is not None
    views: list[View] = scene.views("train")
    best = max(views, key=lambda view: int((instances[view.name] == instance).sum()))
    x, y = deepest(torch.from_numpy(instances[best.name] == instance))
    hidden = scene.render(best.camera, hidden=True)["hidden_features"][int(y), int(x)]
    names = [record.name for record in scene.model.teacher_records]
    return {name: field.decode(hidden, name) for name in names}


def total_iou(pairs: list[tuple[Tensor, Tensor]], threshold: float) -> float:
    """IoU at a threshold, pixels of all views pooled."""
    masks = torch.stack([score >= threshold for score, _ in pairs])
    return intersection_over_union(masks, torch.stack([target for _, target in pairs]))


def add(
    result: dict[str, list[tuple[float, float]]], kind: str, mask: Tensor, target: Tensor
) -> None:
    """Note a mask's figures where the object is in the picture."""
    if target.any():
        figures = (intersection_over_union(mask, target), boundary_iou(mask, target))
        result.setdefault(kind, []).append(figures)


if __name__ == "__main__":
    main(tyro.cli(CompareTeachers))
