"""Plots of a report, as PNG files; drawn without any state that others could see."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from jaxtyping import Float
from matplotlib import colormaps
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter
from torch import Tensor

from dff.files import atomic_write

_MOST_NUMBERED = 14
_DOTS = 110


def label_colours(count: int) -> Float[Tensor, "n 3"]:
    """A colour for each label, well apart for the first twenty."""
    table = colormaps["tab20"]
    return torch.tensor([table((2 * k) % 20 + (k // 10) % 2)[:3] for k in range(count)])


def write_bars(
    path: Path, names: Sequence[str], series: Mapping[str, Sequence[float]], axis: str, title: str
) -> Path:
    """Bars side by side, a group for each name; what is not a number has none.

    Args:
        path: a .png.
        names: of the groups.
        series: by what a colour stands for, a value for each group.
        axis: what the values are.
        title: above.
    """
    figure = Figure(figsize=(max(5.5, 2.2 + 0.28 * len(names) * (len(series) + 1)), 3.4))
    axes = figure.subplots()
    width = 0.8 / max(1, len(series))
    for number, (label, values) in enumerate(series.items()):
        heights = [0.0 if math.isnan(value) else value for value in values]
        places = [k + (number - (len(series) - 1) / 2) * width for k in range(len(names))]
        axes.bar(places, heights, width, label=label)
    axes.set_xticks(range(len(names)), names, rotation=35, ha="right")
    axes.set_ylabel(axis)
    axes.set_title(title, fontsize=9, wrap=True)
    axes.grid(axis="y", alpha=0.3)
    if len(series) > 1:
        axes.legend(fontsize=8, loc="upper left", bbox_to_anchor=(1.01, 1.0))
    return _save(figure, path)


def write_confusion(
    path: Path, labels: Sequence[str], counts: Sequence[Sequence[int]], title: str
) -> Path:
    """A confusion matrix: rows are true classes, in shares of their pixels."""
    table = torch.tensor(counts, dtype=torch.float64)
    shares = table / table.sum(dim=1, keepdim=True).clamp_min(1)
    side = 2.2 + 0.42 * len(labels)
    figure = Figure(figsize=(side + 0.6, side))
    axes = figure.subplots()
    picture = axes.imshow(shares.numpy(), vmin=0, vmax=1, cmap="viridis")
    axes.set_xticks(range(len(labels)), labels, rotation=45, ha="right")
    axes.set_yticks(range(len(labels)), labels)
    axes.set_xlabel("given")
    axes.set_ylabel("true")
    axes.set_title(title, fontsize=10)
    if len(labels) <= _MOST_NUMBERED:
        for row in range(len(labels)):
            for column in range(len(labels)):
                share = float(shares[row, column])
                ink = "white" if share < 0.6 else "black"
                axes.text(
                    column, row, f"{share:.2f}", ha="center", va="center", color=ink, fontsize=7
                )
    figure.colorbar(picture, ax=axes, fraction=0.046)
    return _save(figure, path)


def write_panels(
    path: Path,
    panels: Mapping[str, Mapping[str, tuple[Sequence[float], Sequence[float]]]],
    axis: str,
) -> Path:
    """Panels side by side, each with lines through points, both axes logarithmic.

    Args:
        path: a .png.
        panels: by what its x axis is, by what a colour stands for, x and y of its points.
        axis: what all y axes are.
    """
    figure = Figure(figsize=(4.4 * len(panels), 4.0))
    for axes, (title, series) in zip(
        figure.subplots(1, len(panels), squeeze=False)[0], panels.items(), strict=True
    ):
        for label, (xs, ys) in series.items():
            axes.loglog(xs, ys, marker="o", label=label)
        # Powers of ten may be none of them, or a single one.
        axes.set_xticks(sorted({x for xs, _ in series.values() for x in xs}))
        axes.xaxis.set_major_formatter("{x:,g}")
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.set_xlabel(title)
        axes.set_ylabel(axis)
        axes.grid(alpha=0.3, which="both")
        axes.legend(fontsize=7)
    return _save(figure, path)


def _save(figure: Figure, path: Path) -> Path:
    FigureCanvasAgg(figure)
    figure.set_layout_engine("tight")
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=_DOTS)
    with atomic_write(path) as stream:
        stream.write(buffer.getvalue())
    return path
