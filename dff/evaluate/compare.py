"""Several evaluations side by side: every figure they share, and how far they are apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from dff.errors import DffError
from dff.evaluate.metrics_file import Metrics, read_metrics
from dff.evaluate.plots import write_bars
from dff.evaluate.shown import rich_table
from dff.evaluate.summary import Cell, Table
from dff.report import Report

# Options that make figures differ where the scenes do not, and what they do.
_OPTIONS = {
    "scale": "they were rendered at different shares of the images' size",
    "names": "the values of their masks have different names",
    "classes": "they were scored on different classes",
    "leave_out": "different images were left out",
}


def compare(places: Sequence[Path], console: Console, output: Path | None = None) -> Table:
    """Print a table of differences, and write it as ``comparison.html`` if asked.

    Args:
        places: two or more folders, or metrics.json files, of `dff eval`; differences are to the
            first.
        console: where the table goes.
        output: folder for the HTML.

    Raises:
        DffError: fewer than two, one is missing or damaged, or they have no figure in common.
    """
    if len(places) < 2:
        raise DffError("--compare takes two or more folders of dff eval: --compare A B")
    metrics = [read_metrics(place) for place in places]
    names = [_short(place, places) for place in places]
    table = differences(names, metrics)
    if not table.rows:
        raise DffError(f"{names[0]} and {names[1]} have no figure in common: nothing to compare")
    console.print(rich_table(table))
    notes = _unlike(metrics)
    for note in notes:
        console.print(f"note: {note}", highlight=False)
    if output is not None:
        console.print(_write(table, names, metrics, notes, output), highlight=False)
    return table


def differences(names: Sequence[str], metrics: Sequence[Metrics]) -> Table:
    """Figures that all have, headlines first, and what the others have more than the first."""
    shared = [f for f in metrics[0].figures if all(f in each.figures for each in metrics)]
    shared.sort(key=lambda figure: not _is_headline(figure))
    rows: list[tuple[Cell, ...]] = []
    for figure in shared:
        values = [each.figures[figure] for each in metrics]
        rows.append((figure, *values, *(value - values[0] for value in values[1:])))
    headers = ("figure", *names, *(f"{name} - {names[0]}" for name in names[1:]))
    return Table("Comparison", headers, tuple(rows), "Differences are to the first.", "comparison")


def _is_headline(figure: str) -> bool:
    """Whether a figure is of a whole part, not of a single class."""
    return figure.startswith("views/") or "/mean" in figure or figure.endswith("/accuracy")


def _unlike(metrics: Sequence[Metrics]) -> list[str]:
    """What makes a comparison unfair."""
    notes = []
    for fact, words in (
        ("labels", "the labels are not the same files"),
        ("labels_format", "the labels are of different formats"),
        ("device", "they ran on different devices, so times do not compare"),
    ):
        if len({str(each.made.get(fact)) for each in metrics}) > 1:
            notes.append(words)
    for option, words in _OPTIONS.items():
        # In which order classes and images were given changes nothing; that of names does.
        values = [_listed(_options(each).get(option), option != "names") for each in metrics]
        if len(set(values)) > 1:
            notes.append(f"{words} ({' | '.join(values)})")
    if len({str(each.made.get("teachers")) for each in metrics}) > 1:
        teachers = [_listed(_teachers(each)) for each in metrics]
        same_names = len(set(teachers)) == 1
        told = "in their weights or dimensions" if same_names else f"({' | '.join(teachers)})"
        notes.append(f"their teachers are not the same {told}")
    frames = [sorted(f["image"] for f in each.details.get("frames", [])) for each in metrics]
    if any(each != frames[0] for each in frames):
        notes.append("they scored different images")
    return notes


def _options(metrics: Metrics) -> Mapping[str, Any]:
    return metrics.made.get("options", {})


def _teachers(metrics: Metrics) -> list[str]:
    return [str(record.get("name")) for record in metrics.made.get("teachers", [])]


def _listed(value: Any, in_order: bool = False) -> str:
    """An option's value as text, a list sorted if wanted."""
    if isinstance(value, list):
        words = [str(each) for each in value]
        return ", ".join(sorted(words) if in_order else words) or "none"
    return "not told" if value is None else str(value)


def _write(
    table: Table,
    names: Sequence[str],
    metrics: Sequence[Metrics],
    notes: Sequence[str],
    output: Path,
) -> Path:
    report = Report("Evaluations compared", " against ".join(names))
    for note in notes:
        report.paragraph(f"Note: {note}.")
    means = [row for row in table.rows if "mean_iou" in str(row[0]) and "/field/" in str(row[0])]
    if means:
        series = {
            name: [each.figures[str(row[0])] for row in means]
            for name, each in zip(names, metrics, strict=True)
        }
        path = output / "pictures" / "comparison.png"
        labels = [str(row[0]) for row in means]
        report.figure(write_bars(path, labels, series, "IoU", "Mean IoU"), "Mean IoU of the field")
    report.table(list(table.headers), list(table.rows), table.caption)
    facts = sorted({fact for each in metrics for fact in each.made if fact != "options"})
    rows = [[fact, *(str(each.made.get(fact, "")) for each in metrics)] for fact in facts]
    options = sorted({option for each in metrics for option in _options(each)})
    rows += [
        [f"option {option}", *(_listed(_options(each).get(option)) for each in metrics)]
        for option in options
    ]
    report.heading("How they were made").table(["what", *names], rows)
    return report.write(output / "comparison.html")


def _short(place: Path, places: Sequence[Path]) -> str:
    """A name for a run: its folder's, or the whole path where two would be called the same."""

    def name(path: Path) -> str:
        return path.parent.name if path.suffix == ".json" else path.resolve().name

    own = name(place)
    return str(place) if [name(other) for other in places].count(own) > 1 else own
