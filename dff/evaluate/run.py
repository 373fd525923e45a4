"""A whole evaluation: every frame scored once and kept, then summed, shown and written.

DIR/frames/IMG_0001.json, DIR/edits.json   numbers as they are found; a later run goes on from them
DIR/pictures/                              what the report shows
DIR/metrics.json, DIR/report.html          written last
"""

from __future__ import annotations

import dataclasses
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from dff.errors import DffError
from dff.evaluate.asked import SHOWN_WAYS, TEXT_WAYS, Asked, ask_everything
from dff.evaluate.benchmarks import Benchmark, read_benchmark
from dff.evaluate.benchmarks.generated import is_generated
from dff.evaluate.benchmarks.labels import is_labels
from dff.evaluate.chosen_views import restricted, views_of
from dff.evaluate.doable import (
    EDITS,
    LABELS,
    NOT_SHOWN,
    VIEWS,
    SceneFacts,
    left_out,
    nothing_scored,
    plan,
    without_figures,
)
from dff.evaluate.edited_scene import measure_edits
from dff.evaluate.edits_table import edit_rows, summarise_edits
from dff.evaluate.frame_scores import FrameScorer
from dff.evaluate.kept import identity_of, keep, portable, read_kept, shown_of
from dff.evaluate.metrics_file import Metrics, plain, write_metrics
from dff.evaluate.pictures import load_lpips
from dff.evaluate.pieces import Found, ReportPicture, write_frame_pictures
from dff.evaluate.shown import print_tables, write_report
from dff.evaluate.summary import summarise
from dff.scene import Scene, View


@dataclass(frozen=True)
class EvalOptions:
    """What is evaluated, and how.

    Attributes:
        config: the scene's config.yml.
        output: folder for what is written.
        data: labels; None looks beside the photos.
        format: of the labels, or ``auto``.
        names: of the values of masks, where the labels do not say.
        classes: only these.
        leave_out: images not to score.
        parts: of `dff.evaluate.doable.PARTS`; none for all that scene and labels allow.
        shown: frames with pictures in the report.
        scale: share of the photos' size at which is rendered, above 0.
    """

    config: Path
    output: Path
    data: Path | None = None
    format: str = "auto"
    names: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()
    leave_out: tuple[str, ...] = ()
    parts: tuple[str, ...] = ()
    shown: int = 3
    scale: float = 1.0


def evaluate(scene: Scene, options: EvalOptions, console: Console) -> Path:
    """Evaluate a scene, or finish an evaluation that was interrupted.

    Args:
        scene: trained.
        options: what to do.
        console: where progress and tables go.

    Returns:
        The report.

    Raises:
        DffError: the labels do not fit the scene, are damaged, or allow nothing that was asked.
    """
    start = time.perf_counter()
    data = labels_beside(scene) if options.data is None else options.data
    benchmark, wanted = None, {}
    if data is not None:
        benchmark = read_benchmark(data, options.format, options.names)
        benchmark = restricted(benchmark, options.classes)
        wanted = views_of(scene, benchmark, options.leave_out)
    elif options.names or options.classes or options.leave_out:
        raise DffError("names, classes and images to leave out are of labels: give --data too")
    planned = plan(options.parts, _facts(scene), benchmark, wanted)
    notes, parts = list(planned.notes), planned.parts
    views = frames_of(scene, benchmark, wanted, parts)
    lpips, missing = load_lpips()
    if missing and VIEWS in parts:
        notes.append(missing)
    key = identity_of(scene, options, data)
    with _progress(console) as progress:
        task = progress.add_task("asking", total=len(views))

        def told(what: str) -> None:
            progress.update(task, description=what)

        kept = {view.name: read_kept(options.output, view.name, key) for view, _ in views}
        asked = _ask_unless_kept(scene, benchmark, wanted, parts, kept, told)
        scorer = FrameScorer(scene, asked, benchmark, options.scale, lpips, VIEWS in parts)
        frames, pictures = _score_all(
            scorer, views, kept, options, key, told, lambda: progress.advance(task)
        )
        summary = summarise(frames, asked.labels, benchmark.asked if benchmark else ())
        notes += asked.notes
        if EDITS in parts:
            assert data is not None
            rows, strips = _edits(scene, options, data, key, told)
            summarise_edits(summary, rows)
            pictures += strips
    empty = without_figures(parts, summary)
    if len(empty) == len(parts):
        raise nothing_scored(dict.fromkeys(empty, NOT_SHOWN), ())
    if options.parts:
        notes += [left_out(part, NOT_SHOWN) for part in empty]
    done = dataclasses.replace(options, parts=parts)
    made = provenance(scene, done, data, benchmark, time.perf_counter() - start)
    title = f"{options.config.parent.parent.parent.name}/{options.config.parent.name}"
    found = Found(title, made, summary, frames, pictures, notes)
    report = _write(found, options.output)
    print_tables(found, console)
    return report


def _facts(scene: Scene) -> SceneFacts:
    return SceneFacts(
        any(view.split == "eval" for view in scene.views()),
        scene.model.feature_field is not None,
        any(record.has_text for record in scene.model.teacher_records),
    )


def labels_beside(scene: Scene) -> Path | None:
    """Labels that lie with the capture itself: a generated scene's, or a folder ``labels``."""
    manager = scene.pipeline.datamanager.config
    data = manager.data or manager.dataparser.data
    if is_generated(Path(data)):
        return Path(data)
    beside = Path(data) / "labels"
    return beside if beside.is_dir() and is_labels(beside) else None


def frames_of(
    scene: Scene,
    benchmark: Benchmark | None,
    wanted: Mapping[str, View],
    parts: Sequence[str],
) -> list[tuple[View, str | None]]:
    """The views to score with their names in the benchmark: held-out ones, and labelled ones."""
    labelled: dict[str, tuple[View, str | None]] = {}
    if benchmark is not None:
        found = [(wanted[image], image) for image in benchmark.images if image in wanted]
        labelled = {view.name: (view, image) for view, image in found}
    if VIEWS in parts:
        for view in scene.views():
            if view.split == "eval":
                labelled.setdefault(view.name, (view, None))
    return sorted(labelled.values(), key=lambda pair: pair[0].name)


def _ask_unless_kept(
    scene: Scene,
    benchmark: Benchmark | None,
    wanted: Mapping[str, View],
    parts: Sequence[str],
    kept: Mapping[str, dict[str, Any] | None],
    told: Callable[[str], None],
) -> Asked:
    """Everything that the parts want asked; of a run whose frames are all kept, what it noted."""
    finished = [found for found in kept.values() if found is not None]
    if finished and len(finished) == len(kept):
        return Asked(tuple(finished[0]["labels"]), notes=tuple(finished[0]["notes"]))
    if benchmark is None or scene.model.feature_field is None:
        return Asked()
    ways = tuple(part for part in parts if part in (*TEXT_WAYS, *SHOWN_WAYS))
    if LABELS not in parts:
        benchmark = dataclasses.replace(benchmark, label_list=False)
    return ask_everything(scene, benchmark, wanted, ways, told)


def _score_all(
    scorer: FrameScorer,
    views: Sequence[tuple[View, str | None]],
    kept: Mapping[str, dict[str, Any] | None],
    options: EvalOptions,
    key: str,
    told: Callable[[str], None],
    advance: Callable[[], object],
) -> tuple[list[dict[str, Any]], list[ReportPicture]]:
    """Numbers and pictures of all frames; those that are not kept yet are scored, and kept."""
    pictured = _spread(
        [view.name for view, image in views if image or scorer.benchmark is None], options
    )
    frames, pictures = [], []
    for view, image in views:
        told(f"scoring {view.name}")
        known = kept[view.name]
        if known is None:
            folder = options.output / "pictures" if view.name in pictured else None
            known = _score(scorer, view, image, folder)
            keep(options.output, view.name, key, known)
        frames.append(known["numbers"])
        pictures += [shown_of(options.output, each) for each in known["pictures"]]
        advance()
    return frames, pictures


def _score(
    scorer: FrameScorer, view: View, image: str | None, folder: Path | None
) -> dict[str, Any]:
    """A frame as it is kept; its pictures are written into the folder, where one is given."""
    numbers, seen = scorer.score(view, image)
    shown = []
    if folder is not None:
        shown = write_frame_pictures(folder, view.name, seen, scorer.asked.labels)
    return {
        "numbers": plain(numbers),
        "pictures": [portable(each) for each in shown],
        "labels": scorer.asked.labels,
        "notes": scorer.asked.notes,
    }


def _edits(
    scene: Scene, options: EvalOptions, data: Path, key: str, told: Callable[[str], None]
) -> tuple[list[dict[str, Any]], list[ReportPicture]]:
    """Rows of the table of edits, and their pictures; kept when they are done."""
    known = read_kept(options.output, "edits", key, folder="")
    if known is None:
        found = measure_edits(scene, options.config, data, told)
        rows, shown = edit_rows(found, options.output / "pictures")
        known = {"numbers": plain(rows), "pictures": [portable(each) for each in shown]}
        keep(options.output, "edits", key, known, folder="")
    return known["numbers"], [shown_of(options.output, each) for each in known["pictures"]]


def _write(found: Found, output: Path) -> Path:
    """Write figures, their details and the report; gives the report's path."""
    details = {
        "confusions": {
            name: {"labels": labels, "counts": counts}
            for name, (labels, counts) in found.summary.confusions.items()
        },
        "frames": found.frames,
        "notes": found.notes,
    }
    write_metrics(Metrics(found.made, found.summary.figures, details), output)
    return write_report(found, output)


def provenance(
    scene: Scene,
    options: EvalOptions,
    data: Path | None,
    benchmark: Benchmark | None,
    seconds: float,
) -> dict[str, Any]:
    """Where figures come from."""
    return {
        "dff": version("dff"),
        "torch": torch.__version__,
        "command": " ".join(sys.argv),
        "options": plain(asdict(options)),
        "checkpoint": str(scene.checkpoint),
        "checkpoint_sha256": scene.fingerprint,
        "teachers": [asdict(record) for record in scene.model.teacher_records],
        "labels": None if data is None else str(data),
        "labels_format": None if benchmark is None else benchmark.format,
        "device": str(scene.model.device),
        "threads": torch.get_num_threads(),
        "seconds": seconds,
    }


def _spread(names: Sequence[str], options: EvalOptions) -> set[str]:
    """Frames with pictures, evenly among all."""
    step = max(1, len(names) // max(1, options.shown))
    return set(names[::step][: options.shown])


def _progress(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
    )
