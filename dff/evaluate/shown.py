"""An evaluation shown: tables in the terminal, and one HTML file with everything in it."""

from __future__ import annotations

import math
from pathlib import Path

from rich.console import Console
from rich.table import Table as RichTable

from dff.evaluate.metrics_file import NAME
from dff.evaluate.pieces import Found
from dff.evaluate.plots import write_bars, write_confusion
from dff.evaluate.summary import ACCURACY, ALL_PIXELS, MEAN_OF_ASKED, Cell, Table
from dff.files import plain_name
from dff.report import Report

PARTS = {
    "views": "Views",
    "segmentation": "Segmentation",
    "heatmaps": "Heatmaps",
    "edits": "Edits",
}
_LONG_WORD = 20


def print_tables(found: Found, console: Console) -> None:
    """All tables, and what was left out."""
    for table in found.summary.tables:
        console.print(rich_table(table))
    for note in found.notes:
        console.print(f"note: {note}", highlight=False)


def rich_table(table: Table) -> RichTable:
    """A table for the terminal."""
    shown = RichTable(title=table.title, caption_justify="left")
    # Where a terminal is narrow, headers of numbers are broken into lines before names are cut.
    words = [word for row in table.rows for word in str(row[0]).split()]
    longest = max(map(len, words), default=0)
    for number, header in enumerate(table.headers):
        if number == 0:
            shown.add_column(header, justify="left", min_width=min(longest, _LONG_WORD))
        else:
            shown.add_column(header, justify="right")
    for row in table.rows:
        last = row[0] in ("mean", MEAN_OF_ASKED, "all")
        shown.add_row(*(_text(cell) for cell in row), style="bold" if last else None)
    return shown


def write_report(found: Found, output: Path) -> Path:
    """Write ``report.html``, and its plots as files beside its pictures."""
    facts = found.made
    report = Report(
        f"Evaluation of {found.title}",
        f"Checkpoint {str(facts.get('checkpoint_sha256', ''))[:12]}, labels: "
        f"{facts.get('labels_format') or 'none'}; {len(found.frames)} frames. All figures are in "
        f"{NAME} beside this file.",
    )
    for note in found.notes:
        report.paragraph(f"Note: {note}.")
    folder = output / "pictures"
    for part, title in PARTS.items():
        tables = [table for table in found.summary.tables if table.part == part]
        pictures = [shown for shown in found.pictures if shown.part == part]
        if not tables and not pictures:
            continue
        report.heading(title)
        for table in tables:
            rows = [[_blank(cell) for cell in row] for row in table.rows]
            report.paragraph(table.title + ".")
            report.table(list(table.headers), rows, table.caption)
            plot = _plot(table, folder)
            if plot is not None:
                report.figure(plot, f"{table.title}, as bars")
        if part == "segmentation":
            report.figures(_confusions(found, folder))
        if pictures:
            report.figures([(shown.path, shown.caption) for shown in pictures])
    report.heading("How this was made")
    report.paragraph(str(facts.get("command", "")))
    shown_facts = [
        (name, str(value)) for name, value in facts.items() if name not in ("options", "command")
    ]
    report.table(["what", "value"], shown_facts)
    return report.write(output / "report.html")


def _confusions(found: Found, folder: Path) -> list[tuple[Path, str]]:
    return [
        (
            write_confusion(folder / f"confusion_{plain_name(title)}.png", labels, counts, title),
            f"Confusion of the {title}: shares of each true class",
        )
        for title, (labels, counts) in found.summary.confusions.items()
    ]


def _plot(table: Table, folder: Path) -> Path | None:
    """Bars of the columns that are IoUs, or of PSNR."""
    wanted = [
        k for k, header in enumerate(table.headers) if header.startswith(("IoU ", "PSNR, dB"))
    ]
    rows = [row for row in table.rows if row[0] not in (ACCURACY, ALL_PIXELS)]
    if not wanted or len(rows) < 2 or table.part == "edits":
        return None
    series = {table.headers[k]: [_value(row[k]) for row in rows] for k in wanted}
    axis = "PSNR, dB" if table.headers[wanted[0]].startswith("PSNR") else "IoU"
    path = folder / f"plot_{plain_name(table.title)}.png"
    return write_bars(path, [str(row[0]) for row in rows], series, axis, table.title)


def _value(cell: Cell) -> float:
    return float(cell) if isinstance(cell, (int, float)) else math.nan


def _blank(cell: Cell) -> Cell:
    return None if isinstance(cell, float) and not math.isfinite(cell) else cell


def _text(cell: Cell) -> str:
    if cell is None or (isinstance(cell, float) and not math.isfinite(cell)):
        return "–"
    return f"{cell:.3f}" if isinstance(cell, float) else str(cell)
