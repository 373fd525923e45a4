"""The demonstration: every step of the flow once, on a generated scene, ending in a report."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import imageio.v3 as imageio
import numpy as np
import torch
from rich.console import Console

from dff.answering import answer
from dff.data.generated.scene import SceneTruth, load_truth, write_scene
from dff.data.images import load_image
from dff.edits.document import EditDocument, EditStep
from dff.edits.operations import Delete, HueShift
from dff.edits.selections import TextSelection
from dff.edits.storage import load_document, save_document
from dff.evaluate.masks import Confusion
from dff.evaluate.pictures import psnr
from dff.evaluate.segmentation import labels_of_hidden, labels_of_image
from dff.files import atomic_write
from dff.pictures import to_bytes, write_video
from dff.query.text import TextQuery
from dff.query_views import write_query
from dff.render_views import orbit_shots, render_shots
from dff.report import Report
from dff.scene import Scene, View, load
from dff.training import train_scene

VIDEO_FRAMES = 24
VIDEO_FPS = 12.0
SHOWN_VIEWS = 3


@dataclass
class Clock:
    """Seconds each part of the demo took, in this run."""

    console: Console
    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def part(self, title: str) -> Iterator[None]:
        self.console.rule(title)
        start = time.perf_counter()
        yield
        self.seconds[title] = time.perf_counter() - start


@dataclass(frozen=True)
class Scores:
    """Figures on the held-out views.

    Attributes:
        psnr: mean, in dB.
        phrases: of the objects, in the order of the IoUs.
        field: IoU per phrase of the distilled 3D features.
        teacher: IoU per phrase of the teacher's own 2D features.
    """

    psnr: float
    phrases: list[str]
    field: list[float]
    teacher: list[float]

    @property
    def field_mean(self) -> float:
        return float(np.nanmean(self.field))

    @property
    def teacher_mean(self) -> float:
        return float(np.nanmean(self.teacher))


def run_demo(output_dir: Path, seed: int = 2, iterations: int = 1200) -> Path:
    """Write the scene, train, ask, edit, render, score and report; skip what is done.

    Args:
        output_dir: for everything that is written.
        seed: of scene and training.
        iterations: training steps.

    Returns:
        The report.

    Raises:
        DffError: whatever a step refuses.
    """
    console = Console()
    clock = Clock(console)
    with clock.part("Writing the scene"):
        truth = _write_scene(output_dir / "scene", seed, console)
    with clock.part("Training"):
        config = train_scene(
            truth.path, output_dir / "training", iterations=iterations, seed=seed + 42
        )
    scene = load(config)
    views = scene.views("eval")
    removed, recoloured = _pick_objects(truth)
    with clock.part("Asking"):
        answers = {}
        for phrase in (removed, recoloured):
            others = _other_phrases(truth, phrase)
            folder = output_dir / "queries" / phrase.replace(" ", "_")
            query = TextQuery((phrase,), others)
            selection = answer(scene, query)
            answers[phrase] = (folder, write_query(scene, selection, views, folder).text)
            console.print(answers[phrase][1])
    with clock.part("Editing"):
        document = edit_document(truth, removed, recoloured)
        save_document(document, output_dir / "edits.yml")
        edits = scene.compile(load_document(output_dir / "edits.yml"))
        shots = orbit_shots(scene, VIDEO_FRAMES)
        before, after = output_dir / "orbit_before", output_dir / "orbit_after"
        render_shots(scene, shots, before)
        render_shots(scene, shots, after, edits)
        video = output_dir / "before_after.mp4"
        frames = [
            np.concatenate([imageio.imread(d / f"{shot.name}.png") for d in (before, after)], 1)
            for shot in shots
        ]
        write_video(video, frames, VIDEO_FPS)
        shown = views[:: max(1, len(views) // SHOWN_VIEWS)][:SHOWN_VIEWS]
        pairs = [
            (view, scene.render(view.camera)["rgb"], scene.render(view.camera, edits)["rgb"])
            for view in shown
        ]
    with clock.part("Scoring"):
        scores = score(scene, truth, views)
        console.print(
            f"held-out views: PSNR {scores.psnr:.2f} dB, mean IoU {scores.field_mean:.3f} in 3D, "
            f"{scores.teacher_mean:.3f} by the 2D teacher alone"
        )
    return _write_report(output_dir, scene, pairs, answers, scores, clock, video)


def edit_document(truth: SceneTruth, removed: str, recoloured: str) -> EditDocument:
    """Delete one object and turn the hue of another."""
    return EditDocument(
        steps=(
            EditStep(
                name=f"delete the {removed}",
                selection=TextSelection(text=(removed,), negative=_other_phrases(truth, removed)),
                operation=Delete(fill=True),
            ),
            EditStep(
                name=f"recolour the {recoloured}",
                selection=TextSelection(
                    text=(recoloured,), negative=_other_phrases(truth, recoloured)
                ),
                operation=HueShift(degrees=140.0),
            ),
        )
    )


def score(scene: Scene, truth: SceneTruth, views: list[View]) -> Scores:
    """PSNR and IoU per object on held-out views, of the field and of the teacher alone.

    Every pixel is given the best of the objects' phrases, "table" and "background"; objects with
    the same phrase count as one.
    """
    phrases = _object_phrases(truth)
    labels = [*phrases, "table", "background"]
    embeddings = scene.teacher.encode_text(labels)
    numbers = truth.frames
    field_counts, teacher_counts = Confusion.empty(len(labels)), Confusion.empty(len(labels))
    qualities = []
    for view in views:
        target = true_labels(truth, numbers[view.name], labels)
        photo = load_image(view.path)
        outputs = scene.render(view.camera, hidden=True)
        qualities.append(psnr(outputs["rgb"], photo))
        found = labels_of_hidden(scene, outputs["hidden_features"], embeddings)
        field_counts = field_counts.add(found, target)
        teacher_counts = teacher_counts.add(labels_of_image(scene.teacher, photo, labels), target)
    count = len(phrases)
    return Scores(
        float(np.mean(qualities)), phrases, field_counts.ious[:count], teacher_counts.ious[:count]
    )


def true_labels(truth: SceneTruth, frame: int, labels: list[str]) -> torch.Tensor:
    """Ground truth of a frame as indices into the labels, (h, w)."""
    semantics, instances = truth.masks(frame)
    classes = json.loads((truth.path / "labels.json").read_text(encoding="utf-8"))["classes"]
    target = np.full(instances.shape, -1, dtype=np.int64)
    for number, name in classes.items():
        if name in ("table", "background"):
            target[(semantics == int(number)) & (instances == 0)] = labels.index(name)
    for thing in truth.description.objects:
        target[instances == thing.instance] = labels.index(thing.phrase)
    return torch.from_numpy(target)


def _object_phrases(truth: SceneTruth) -> list[str]:
    return list(dict.fromkeys(thing.phrase for thing in truth.description.objects))


def _other_phrases(truth: SceneTruth, phrase: str) -> tuple[str, ...]:
    others = [other for other in _object_phrases(truth) if other != phrase]
    return (*others, "table", "background")


def _pick_objects(truth: SceneTruth) -> tuple[str, str]:
    """Phrases of the object to delete and of the one to recolour: those seen best.

    Seen best is most pixels over all frames; a thing whose phrase another one shares is left out.
    """
    pixels = np.zeros(256, dtype=np.int64)
    for frame in range(len(truth.cameras)):
        pixels += np.bincount(truth.masks(frame)[1].ravel(), minlength=256)
    things = truth.description.objects
    shared = [thing.phrase for thing in things]
    alone = [thing for thing in things if shared.count(thing.phrase) == 1] or list(things)
    ranked = sorted(alone, key=lambda thing: -int(pixels[thing.instance]))
    coloured = [t for t in ranked if t.look.colour not in ("white", "black", "grey", "gray")]
    second = next(t for t in [*coloured, *ranked] if t is not ranked[0] or len(ranked) == 1)
    return ranked[0].phrase, second.phrase


def _write_scene(path: Path, seed: int, console: Console) -> SceneTruth:
    with console.status("rendering photos and ground truth"):
        write_scene(path, seed)
    console.print(f"scene in {path}")
    return load_truth(path)


def _write_report(
    output_dir: Path,
    scene: Scene,
    pairs: list[tuple[View, torch.Tensor, torch.Tensor]],
    answers: dict[str, tuple[Path, str]],
    scores: Scores,
    clock: Clock,
    video: Path,
) -> Path:
    document = load_document(output_dir / "edits.yml")
    names = " and ".join(step.name or step.operation.type for step in document.steps)
    report = Report(
        "dff demo",
        "A generated scene was trained together with its teacher's features; things in it were "
        f"selected by name, and then: {names}.",
    )
    report.heading("Before and after")
    report.figures(
        [
            picture
            for view, before, after in pairs
            for picture in (
                (to_bytes(before), f"{view.name}, as trained"),
                (to_bytes(after), f"{view.name}, edited"),
            )
        ]
    )
    report.video(video, "An orbit: as trained on the left, edited on the right.")
    report.heading("Asked by name")
    for phrase, (folder, text) in answers.items():
        report.paragraph(text)
        report.figures(
            [
                (folder / kind / f"{view.name}.png", f"{phrase}: {kind[:-1]}, {view.name}")
                for view, _, _ in pairs
                for kind in ("heatmaps", "overlays")
            ]
        )
    report.heading("Figures on held-out views")
    report.table(
        ["object", "IoU, 3D features", "IoU, 2D teacher alone"],
        [
            [phrase, _figure(a), _figure(b)]
            for phrase, a, b in zip(scores.phrases, scores.field, scores.teacher, strict=True)
        ]
        + [["mean", _figure(scores.field_mean), _figure(scores.teacher_mean)]],
        f"PSNR of the held-out views: {scores.psnr:.2f} dB.",
    )
    report.table(
        ["part", "seconds, in the last run"],
        [[title, f"{seconds:.0f}"] for title, seconds in clock.seconds.items()],
        "Parts that were done before are skipped, and take no time.",
    )
    figures = {
        "psnr": scores.psnr,
        "iou_field": dict(zip(scores.phrases, scores.field, strict=True)),
        "iou_teacher": dict(zip(scores.phrases, scores.teacher, strict=True)),
        "mean_iou_field": scores.field_mean,
        "mean_iou_teacher": scores.teacher_mean,
        "seconds": clock.seconds,
    }
    with atomic_write(output_dir / "metrics.json") as stream:
        stream.write(json.dumps(figures, indent=2).encode())
    return report.write(output_dir / "report.html")


def _figure(value: float) -> str:
    return "not seen" if math.isnan(value) else f"{value:.3f}"
