"""From the frames' numbers to figures and tables: pure, so that kept frames can be summed anew."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from dff.evaluate.asked import CLICK, PATCH, RELEVANCY, RENDERED, SCRIBBLES, SELECTED
from dff.evaluate.counts import (
    Counts,
    mean,
    mean_boundary,
    mean_where_present,
    pooled_accuracy,
    pooled_iou,
    share_above,
)
from dff.evaluate.frame_scores import FIELD, TEACHER
from dff.evaluate.masks import Confusion

SOURCES = {FIELD: "3D field", TEACHER: "2D teacher"}
# In the headers of columns, of which there are many.
_SHORT = {FIELD: "3D", TEACHER: "2D"}
# How each way of asking is called, and explained.
WAYS = {
    RELEVANCY: "one class at a time, rendered relevancy at 0.5",
    RENDERED: "one class at a time, rendered relevancy by the LERF-OVS rule",
    SELECTED: "one class at a time, selected in 3D and then rendered",
    CLICK: "one click",
    PATCH: "one patch",
    SCRIBBLES: "the benchmark's scribbles",
}
# Columns of the label list, and of the ways of asking for one thing, for each source.
_LIST_KINDS = ("IoU", "boundary", "accuracy")
_WAY_KINDS = ("IoU", "boundary", "per image")
_PER_IMAGE = (
    "IoU with the pixels of all images pooled; per image, its mean over the images that show it."
)
# Last rows of tables.
MEAN_OF_ASKED, ALL_PIXELS, ACCURACY = "mean of those asked for", "all pixels", "accuracy"
Cell = str | float | int | None


@dataclass(frozen=True)
class Table:
    """A table of a report.

    Attributes:
        title, headers, rows: of the table; NaN and None are shown as a dash.
        caption: what the figures are.
        part: the section it belongs to.
    """

    title: str
    headers: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    caption: str = ""
    part: str = ""


@dataclass
class Summary:
    """Figures by their name, tables, and confusion matrices by title."""

    figures: dict[str, float] = field(default_factory=dict)
    tables: list[Table] = field(default_factory=list)
    confusions: dict[str, tuple[tuple[str, ...], list[list[int]]]] = field(default_factory=dict)

    def note(self, name: str, value: float | None) -> None:
        """Keep a figure, unless there is none."""
        if value is not None and not math.isnan(value):
            self.figures[name] = value


def summarise(
    frames: Sequence[Mapping[str, Any]], labels: Sequence[str], asked: Sequence[str]
) -> Summary:
    """Figures of all frames together.

    Args:
        frames: what `dff.evaluate.frame_scores.FrameScorer.score` gave.
        labels: the label list; may be empty.
        asked: those of it that are averaged over.
    """
    summary = Summary()
    _views(summary, [frame for frame in frames if "psnr" in frame])
    listed = [frame["labels"] for frame in frames if "labels" in frame]
    if listed:
        _label_list(summary, listed, tuple(labels), tuple(asked))
    _ways(summary, [frame["asked"] for frame in frames if "asked" in frame])
    _localisation(summary, [frame["localised"] for frame in frames if "localised" in frame])
    return summary


def _views(summary: Summary, frames: Sequence[Mapping[str, Any]]) -> None:
    if not frames:
        return
    names = ("psnr", "ssim", "lpips", "psnr_without_features")
    have = [name for name in names if any(frame.get(name) is not None for frame in frames)]
    titles = {
        "psnr": "PSNR, dB",
        "ssim": "SSIM",
        "lpips": "LPIPS",
        "psnr_without_features": "PSNR without features",
    }
    rows: list[tuple[Cell, ...]] = [
        (frame["image"], *(frame.get(name) for name in have)) for frame in frames
    ]
    means = {name: mean([_number(frame.get(name)) for frame in frames]) for name in have}
    for name, value in means.items():
        summary.note(f"views/{name}", value)
    for name in ("seconds", "seconds_without_features"):
        summary.note(f"views/{name}", mean([_number(frame.get(name)) for frame in frames]))
    rows.append(("mean", *means.values()))
    caption = "Held-out cameras. The feature field is rendered along, or not; colours are the same."
    headers = ("image", *(titles[name] for name in have))
    summary.tables.append(Table("Views", headers, tuple(rows), caption, "views"))


def _label_list(
    summary: Summary,
    frames: Sequence[Mapping[str, Any]],
    labels: tuple[str, ...],
    asked: tuple[str, ...],
) -> None:
    confusions = {
        kind: Confusion(torch.tensor([f[kind] for f in frames]).sum(dim=0))
        for kind in (FIELD, TEACHER, "agreement")
    }
    chosen = [labels.index(name) for name in asked]
    rows: list[tuple[Cell, ...]] = []
    boundaries = {
        source: {
            name: mean([_number(f["boundary"][source].get(name)) for f in frames])
            for name in labels
        }
        for source in SOURCES
    }
    accuracies = {source: confusions[source].accuracies for source in SOURCES}
    for number, name in enumerate(labels):
        cells: list[Cell] = []
        for source in SOURCES:
            figures = {
                "iou": confusions[source].ious[number],
                "boundary_iou": boundaries[source][name],
                "accuracy": accuracies[source][number],
            }
            for kind, value in figures.items():
                summary.note(f"labels/{source}/{kind}/{name}", value)
            cells += figures.values()
        rows.append((name, *cells))
    means: list[Cell] = []
    for source in SOURCES:
        confusion = confusions[source]
        iou = confusion.mean_iou(chosen)
        boundary = mean([boundaries[source][name] for name in asked])
        accuracy = mean([accuracies[source][number] for number in chosen])
        means += [iou, boundary, accuracy]
        summary.note(f"labels/{source}/mean_iou", iou)
        summary.note(f"labels/{source}/mean_iou_all_classes", confusion.mean_iou())
        summary.note(f"labels/{source}/mean_boundary_iou", boundary)
        summary.note(f"labels/{source}/mean_accuracy", accuracy)
        summary.note(f"labels/{source}/accuracy", confusion.accuracy)
    rows.append(("mean" if len(asked) == len(labels) else MEAN_OF_ASKED, *means))
    everywhere = (confusions[source].accuracy for source in SOURCES)
    rows.append((ALL_PIXELS, *(cell for value in everywhere for cell in (None, None, value))))
    headers = ("class", *(f"{what} {s}" for s in _SHORT.values() for what in _LIST_KINDS))
    caption = (
        "Each pixel is given the best of the labels (softmax), by the 3D field and by the 2D "
        "teacher on the photo. Intersection over union with the pixels of all frames pooled; "
        "boundary IoU (arXiv 2103.16562), mean over frames; accuracy, the share of a class's "
        "labelled pixels that are given it, and of all labelled pixels that are right."
    )
    summary.tables.append(Table("Label list", headers, tuple(rows), caption, "segmentation"))
    for source, title in SOURCES.items():
        counts = confusions[source].counts.tolist()
        summary.confusions[f"{title} against ground truth"] = (labels, counts)
    _agreement(summary, confusions["agreement"], labels, chosen)


def _agreement(
    summary: Summary, agreement: Confusion, labels: tuple[str, ...], chosen: list[int]
) -> None:
    summary.note("agreement_with_teacher/mean_iou", agreement.mean_iou(chosen))
    summary.note("agreement_with_teacher/accuracy", agreement.accuracy)
    summary.tables.append(
        Table(
            "Agreement with the teacher",
            ("class", "IoU of 3D field and 2D teacher"),
            (
                *((name, agreement.ious[number]) for number, name in enumerate(labels)),
                (MEAN_OF_ASKED, agreement.mean_iou(chosen)),
                (ACCURACY, agreement.accuracy),
            ),
            "No ground truth is in these: the teacher's own label map of the photo is taken for "
            "the truth, as in published tables on Replica. High where the field repeats the "
            "teacher's mistakes, too.",
            "segmentation",
        )
    )


def _ways(summary: Summary, frames: Sequence[Mapping[str, Any]]) -> None:
    for way, title in WAYS.items():
        names = list(dict.fromkeys(n for f in frames for n in f.get(way, {})))
        if not names:
            continue
        sources = [
            s for s in SOURCES if any(s in f[way][n] for f in frames for n in f.get(way, {}))
        ]
        counts = {
            source: {
                name: [
                    _counts(f[way][name][source])
                    for f in frames
                    if source in f.get(way, {}).get(name, {})
                ]
                for name in names
            }
            for source in sources
        }
        shown = [n for n in names if any(c.present for c in counts[sources[0]][n])]
        if not shown:
            continue
        rows: list[tuple[Cell, ...]] = []
        for name in shown:
            cells: list[Cell] = []
            for source in sources:
                found = counts[source][name]
                figures = {
                    "iou": pooled_iou(found),
                    "boundary_iou": mean_boundary(found),
                    "iou_per_image": mean_where_present(found),
                }
                for kind, value in figures.items():
                    summary.note(f"{way}/{source}/{kind}/{name}", value)
                cells += figures.values()
            rows.append((name, *cells))
        last: list[Cell] = []
        for source in sources:
            each = [counts[source][name] for name in shown]
            every = [one for found in each for one in found]
            means = {
                "mean_iou": mean([pooled_iou(found) for found in each]),
                "mean_boundary_iou": mean([mean_boundary(found) for found in each]),
                "mean_iou_per_image": mean_where_present(every),
                "accuracy": pooled_accuracy(every),
                "share_above_0.25": share_above(every, 0.25),
                "share_above_0.5": share_above(every, 0.5),
            }
            for kind, value in means.items():
                summary.note(f"{way}/{source}/{kind}", value)
            last += [means["mean_iou"], means["mean_boundary_iou"], means["mean_iou_per_image"]]
        rows.append(("mean", *last))
        headers = ("thing", *(f"{what} {_SHORT[s]}" for s in sources for what in _WAY_KINDS))
        caption = f"{_caption(way)} {_PER_IMAGE}"
        summary.tables.append(Table(_title(title), headers, tuple(rows), caption, "segmentation"))


def _caption(way: str) -> str:
    if way in (CLICK, PATCH):
        return (
            "The prompt is taken from the image that shows most of the thing, which is not scored. "
            "The 2D teacher looks for its own features of what was shown, at the threshold that is "
            "best in that image: a help that the field does not get."
        )
    if way == RENDERED:
        return (
            "The relevancy map, mixed with its mean over a square, stretched to [-1, 1] in each "
            "image, above 0.4 (LangSplat, arXiv 2312.16084): something is found in every image, so "
            "only those that show the class say much; the mean per image is the published figure."
        )
    if way == SELECTED:
        return "Voxels are selected once in 3D, threshold chosen from their scores; then rendered."
    if way == RELEVANCY:
        return "Relevancy (LERF) against the teacher's canonical phrases; no other class is named."
    return "Strokes on and off the thing in the reference image; one click in the middle of each."


def _localisation(summary: Summary, frames: Sequence[Mapping[str, Any]]) -> None:
    names = list(dict.fromkeys(name for f in frames for name in f.get(FIELD, {})))
    if not names:
        return
    rows: list[tuple[Cell, ...]] = []
    for name in names:
        cells = [
            mean([float(f[source][name]) for f in frames if name in f.get(source, {})])
            for source in SOURCES
        ]
        rows.append((name, *cells))
    totals = {
        source: mean([float(hit) for f in frames for hit in f.get(source, {}).values()])
        for source in SOURCES
    }
    for source, value in totals.items():
        summary.note(f"localisation/{source}/accuracy", value)
    rows.append(("all", *totals.values()))
    caption = (
        "Share of the images that show a class in which the highest relevancy, mean-filtered, lies "
        "in a box of it (LERF, arXiv 2303.09553)."
    )
    headers = ("class", *SOURCES.values())
    summary.tables.append(
        Table("Localisation accuracy", headers, tuple(rows), caption, "segmentation")
    )


def _counts(plain: Mapping[str, Any]) -> Counts:
    return Counts(**{**plain, "boundary": _number(plain["boundary"])})


def _number(value: float | None) -> float:
    return math.nan if value is None else value


def _title(text: str) -> str:
    return text[0].upper() + text[1:]
