"""Figures of edits as rows and as a table."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from dff.evaluate.counts import mean
from dff.evaluate.edited_scene import EditFigures
from dff.evaluate.pieces import ReportPicture, reduced
from dff.evaluate.summary import Summary, Table
from dff.files import plain_name
from dff.pictures import to_bytes, write_png

_FIGURES = ("edited", "unedited", "loss", "local", "iou")


def edit_rows(
    found: Sequence[EditFigures], folder: Path
) -> tuple[list[dict[str, Any]], list[ReportPicture]]:
    """Plain numbers of edits, and their pictures written: before, edited, truth, side by side."""
    rows, shown = [], []
    for one in found:
        rows.append(
            {"edit": one.edit, "thing": one.thing, "way": one.way, "failed": one.failed}
            | {name: getattr(one, name) for name in _FIGURES}
        )
        if one.pictures:
            path = folder / f"edit_{plain_name(one.edit)}.png"
            strip = torch.cat([reduced(picture) for picture in one.pictures], dim=1)
            write_png(path, to_bytes(strip))
            caption = f"{one.edit} {one.thing}: before, edited, truth"
            shown.append(ReportPicture(path, caption, "edits"))
    return rows, shown


def summarise_edits(summary: Summary, rows: Sequence[Mapping[str, Any]]) -> None:
    """Add the table of edits, and its figures, to a summary."""
    for row in rows:
        for name in _FIGURES:
            # Infinitely local: nothing changed. It is a dash in the table, and no figure.
            summary.note(f"edits/{name}/{row['edit']}", row[name])
    values = {name: [_number(row[name]) for row in rows] for name in _FIGURES}
    for name, each in values.items():
        summary.note(f"edits/mean_{name}", mean([v for v in each if math.isfinite(v)]))
    headers = (
        "edit",
        "thing",
        "edited dB",
        "unedited dB",
        "loss dB",
        "local dB",
        "IoU",
    )
    cells = [
        (row["edit"], row["failed"] or row["thing"], *(row[name] for name in _FIGURES))
        for row in rows
    ]
    caption = (
        "PSNR of the edited field against the same scene with the edit really made, light kept, "
        "on what changes; the unedited field against the unedited truth on the same pixels; what "
        "the edit loses; and how little it changes elsewhere (PSNR of edited against unedited "
        "field; a dash is no change at all). IoU is that of the selection."
    )
    summary.tables.append(Table("Edits", headers, tuple(cells), caption, "edits"))


def _number(value: float | None) -> float:
    return math.nan if value is None else value
