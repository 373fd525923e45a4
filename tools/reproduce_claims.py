"""The paper's claims as comparisons of figures, and as tables and plots."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dff.evaluate.plots import write_bars
from dff.files import plain_name

# Figures of one training of one scene, by name.
Figures = Mapping[str, float]
# By seed, by name of the training.
Results = Mapping[int, Mapping[str, Figures]]


@dataclass(frozen=True)
class Column:
    """One bar of a claim: a figure of a training."""

    label: str
    training: str
    figure: str


@dataclass(frozen=True)
class Claim:
    """One claim.

    Attributes:
        number: in the list.
        words: what is claimed.
        groups: by what is measured, the columns that are compared.
        better, worse: labels of two columns of the first group; the claim holds in a scene where
            the first is at least ``margin`` better than the second. None: there is no verdict.
        margin: may be negative, for what is claimed not to hurt.
    """

    number: int
    words: str
    groups: Mapping[str, Sequence[Column]]
    better: str | None = None
    worse: str | None = None
    margin: float = 0.0


IOU, RIM, PSNR = "mean IoU by text", "mean boundary IoU by text", "PSNR, dB"
TEXT = {IOU: "labels/field/mean_iou", RIM: "labels/field/mean_boundary_iou"}


def _pair(what: str, *pairs: tuple[str, str]) -> list[Column]:
    return [Column(label, training, TEXT.get(what, "views/psnr")) for label, training in pairs]


def claims() -> list[Claim]:
    """All of them, in the order of the list."""
    stop = (("with stop-gradient", "default"), ("without", "no stop-gradient"))
    surface = (("volume rendering", "default"), ("near-surface shortcut", "near surface"))
    samples = (("4 heaviest samples", "default"), ("all samples", "all samples"))
    dims = tuple((f"PCA {count}", f"pca {count}") for count in (16, 32, 64))
    whole = (*dims, ("whole features", "default"))
    asked = ("text", "patch", "click")
    ways = {"text": "labels", "patch": "patch", "click": "click"}
    return [
        Claim(
            1,
            "Distilled 3D features segment better than the 2D teacher frame by frame",
            {
                what: [
                    Column("3D field", "default", TEXT[what]),
                    Column("2D teacher", "default", TEXT[what].replace("field", "teacher")),
                ]
                for what in (IOU, RIM)
            },
            "3D field",
            "2D teacher",
        ),
        Claim(
            2,
            "Joint distillation does not hurt view synthesis",
            {PSNR: _pair(PSNR, ("with features", "default"), ("without", "no features"))},
            "with features",
            "without",
            -1e-6,
        ),
        Claim(
            3,
            "Stop-gradient: the feature loss must not reach the density",
            {what: _pair(what, *stop) for what in (PSNR, IOU, RIM)},
            "with stop-gradient",
            "without",
        ),
        Claim(
            4,
            "Volume-rendered features against one point near the surface",
            {what: _pair(what, *surface) for what in (IOU, RIM)},
            "volume rendering",
            "near-surface shortcut",
        ),
        Claim(
            5,
            "The heaviest samples do as well as all of them",
            {what: _pair(what, *samples) for what in (IOU, RIM)},
            "4 heaviest samples",
            "all samples",
            -0.01,
        ),
        Claim(
            6,
            "How many PCA dimensions are needed",
            {what: _pair(what, *whole) for what in (IOU, RIM)},
            "PCA 32",
            "whole features",
            -0.01,
        ),
        Claim(
            7,
            "Text, one patch, one click",
            {
                "mean IoU": [Column(w, "default", f"{ways[w]}/field/mean_iou") for w in asked],
                "mean IoU of the 2D teacher": [
                    Column(w, "default", f"{ways[w]}/teacher/mean_iou") for w in asked
                ],
            },
        ),
        Claim(
            8,
            "Two teachers against one",
            {
                "mean boundary IoU, one click": _clicked("mean_boundary_iou"),
                "mean IoU, one click": _clicked("mean_iou"),
                IOU: _pair(IOU, ("one", "default"), ("two, the second answers", "two teachers")),
            },
            "two, both answer",
            "one",
        ),
    ]


def _clicked(figure: str) -> list[Column]:
    """One click, answered by the one teacher, by the second of two, and by both."""
    return [
        Column("one", "default", f"click/field/{figure}"),
        Column("two, the second answers", "two teachers", f"click/field/{figure}"),
        Column("two, both answer", "two teachers", f"product/click/field/{figure}"),
    ]


def values(results: Results, column: Column) -> list[float]:
    """One figure in every scene; NaN where it is not there."""
    return [each.get(column.training, {}).get(column.figure, math.nan) for each in results.values()]


def verdict(results: Results, claim: Claim) -> str:
    """In how many scenes a claim holds, in words."""
    if claim.better is None:
        return "no verdict: the figures are what is asked for"
    columns = {column.label: column for column in next(iter(claim.groups.values()))}
    first, second = (values(results, columns[name]) for name in (claim.better, claim.worse or ""))
    pairs = [
        (a, b) for a, b in zip(first, second, strict=True) if math.isfinite(a) and math.isfinite(b)
    ]
    held = sum(a - b >= claim.margin for a, b in pairs)
    return f"holds in {held} of {len(pairs)} scenes"


def as_markdown(results: Results, claim: Claim) -> str:
    """A claim's table: mean and spread over the scenes."""
    labels = list(dict.fromkeys(c.label for group in claim.groups.values() for c in group))
    lines = [
        f"**{claim.number}. {claim.words}**: {verdict(results, claim)}.",
        "",
        f"| | {' | '.join(labels)} |",
        f"|---|{'---|' * len(labels)}",
    ]
    for what, columns in claim.groups.items():
        found = {column.label: values(results, column) for column in columns}
        lines.append(f"| {what} | {' | '.join(_cell(found.get(label, [])) for label in labels)} |")
    return "\n".join([*lines, ""])


def _cell(found: Sequence[float]) -> str:
    numbers = [value for value in found if math.isfinite(value)]
    if not numbers:
        return "–"
    spread = f" ± {np.std(numbers):.3f}" if len(numbers) > 1 else ""
    return f"{np.mean(numbers):.3f}{spread}"


def plot(results: Results, claim: Claim, folder: Path) -> list[Path]:
    """Bars for each scene and their mean, a picture for each thing that is measured."""
    paths = []
    scenes = [*(f"scene {seed}" for seed in results), "mean"]
    for number, (what, columns) in enumerate(claim.groups.items()):
        series = {}
        for column in columns:
            each = values(results, column)
            there = [value for value in each if math.isfinite(value)]
            series[column.label] = [*each, float(np.mean(there)) if there else math.nan]
        name = f"claim_{claim.number}{'' if number == 0 else f'_{plain_name(what)}'}.png"
        title = f"{claim.number}. {claim.words}"
        paths.append(write_bars(folder / name, scenes, series, what, title))
    return paths
