"""What `measure_edits` finds: figures, their goals, and the table of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from rich.console import Console
from rich.table import Table

from dff.evaluate.counts import mean

# dB that an edit may cost, and that what it leaves alone has at least.
LOSS_GOALS = {
    "recolour": 2.0,
    "move": 2.0,
    "move with fill": 2.0,
    "duplicate": 2.0,
    "delete with fill": 3.0,
}
LOCAL_GOALS = {"recolour": 50.0, "delete": 45.0, "delete with fill": 45.0}


@dataclass(frozen=True)
class Figures:
    """Of one edit of one scene; dB, NaN where there is none.

    Attributes:
        scene, of, edit, way: which, and of what thing.
        edited, unedited, world, world_truth, local, iou: see the top of `measure_edits`.
        thing_edited: PSNR of the edited field on the thing, where it is put.
        thing_unedited: PSNR of the unedited field on the thing, where it was.
        compile_seconds: until the document was ready to render.
        notice: what was told then, such as a hole that could not be filled.
        failed: why there are no figures.
    """

    scene: str
    of: str
    edit: str
    way: str
    edited: float = math.nan
    unedited: float = math.nan
    world: float = math.nan
    world_truth: float = math.nan
    local: float = math.nan
    iou: float = math.nan
    thing_edited: float = math.nan
    thing_unedited: float = math.nan
    compile_seconds: float = math.nan
    notice: str = ""
    failed: str = ""

    @property
    def loss(self) -> float:
        """What the edit costs."""
        return self.unedited - self.edited

    @property
    def thing(self) -> float:
        """What it costs the thing itself, wherever that is."""
        return self.thing_unedited - self.thing_edited


def facts(row: Figures) -> dict[str, object]:
    """A row as plain data, with its loss and goals."""
    goals = {"loss_goal": LOSS_GOALS.get(row.edit), "local_goal": LOCAL_GOALS.get(row.edit)}
    return {**asdict(row), "loss": row.loss, "thing": row.thing, **goals}


def in_words(row: Figures) -> str:
    """The line that is printed as soon as a figure is there."""
    if row.failed:
        return row.failed
    figures = f"loss {row.loss:.2f} dB, local {row.local:.1f} dB, IoU {row.iou:.3f}"
    return f"{figures} ({row.notice})" if row.notice else figures


def report(found: Sequence[Figures]) -> None:
    """A table of all figures, and one of the means by edit and way; red is what misses a goal."""
    table = Table(title="Edits on held-out views, dB")
    titles = ("scene", "of", "edit", "by", "edited", "unedited", "loss", "goal", "thing")
    for title in (*titles, "world", "truth/world", "local", "goal", "IoU"):
        table.add_column(title)
    for row in found:
        name = (row.scene, row.of, row.edit, row.way)
        if row.failed:
            table.add_row(*name, "failed")
            continue
        table.add_row(*name, *cells(row.edit, [row]))
    for edit, way in dict.fromkeys((row.edit, row.way) for row in found):
        rows = [r for r in found if (r.edit, r.way) == (edit, way) and not r.failed]
        if len({row.scene for row in rows}) > 1:
            table.add_row("mean", f"of {len(rows)}", edit, way, *cells(edit, rows), style="bold")
    Console(width=140).print(table)


def cells(edit: str, rows: Sequence[Figures]) -> list[str]:
    """Means of some rows of one edit, beside its goals."""

    def told(value: float, missed: bool = False, digits: int = 1) -> str:
        text = "-" if math.isnan(value) else f"{value:.{digits}f}"
        return f"[red]{text}[/red]" if missed else text

    loss_goal, local_goal = LOSS_GOALS.get(edit), LOCAL_GOALS.get(edit)
    loss, local = mean([row.loss for row in rows]), mean([row.local for row in rows])
    return [
        told(mean([row.edited for row in rows])),
        told(mean([row.unedited for row in rows])),
        told(loss, loss_goal is not None and loss > loss_goal, 2),
        "" if loss_goal is None else f"<= {loss_goal:g}",
        told(mean([row.thing for row in rows]), digits=2),
        told(mean([row.world for row in rows])),
        told(mean([row.world_truth for row in rows])),
        told(local, local_goal is not None and local < local_goal),
        "" if local_goal is None else f">= {local_goal:g}",
        told(mean([row.iou for row in rows]), digits=3),
    ]
