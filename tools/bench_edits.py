"""What edits cost: an edited frame beside the unedited one, in the same run.

    uv run python tools/bench_edits.py --load-config CONFIG --text apple --json bench_edits.json

What a text or a click selects is baked into a file once; documents that recolour, delete, move and
duplicate it are compiled, and one view is rendered without edits and with each of them in turn, a
round after the other, so that whatever else the machine does falls on all alike. The ratio of an
edit is the median over the rounds of its time by that of the unedited frame in the same round.
Memory is what a process of its own holds at most (RSS, looked at every millisecond; Linux only)
while it renders the frame, everything included that it has loaded for that. Leave the machine
alone meanwhile.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import torch
import tyro
from nerfstudio.cameras.cameras import Cameras
from own_process import in_process, most_held
from rich.console import Console
from rich.table import Table

import dff
from dff.camera_paths import rescaled
from dff.edits.compiled import CompiledEdits
from dff.edits.document import EditDocument, EditStep
from dff.edits.operations import Delete, Duplicate, HueShift, Operation, Transform
from dff.edits.selections import FileSelection
from dff.errors import DffError
from dff.query.shown import Click, ClickQuery
from dff.query.text import TextQuery
from dff.scene import Scene

# An edited frame's time and memory in shares of the unedited one's.
TIME_GOALS = {"recolour": 1.25, "delete": 1.25, "transform": 1.8, "duplicate": 1.8}
FEATURES_GOAL = 1.3
MEMORY_GOAL = 1.2
UNEDITED = "unedited"
# Edits that are timed with composited features too.
LOOKED_INTO = ("recolour", "delete")
SELECTION = "selection.npz"
# How far things are moved, in diagonals of their bounding box.
SHIFT = 0.7


@dataclass
class BenchEdits:
    """Measure what an edited frame costs."""

    load_config: Path
    """The config.yml of a trained scene."""
    text: str = ""
    """What to select."""
    click: str = ""
    """FRAME:x,y to select, in place of a text."""
    view: str = ""
    """Image whose camera is rendered; the held-out one that shows most of it by default."""
    scale: float = 1.0
    """Share of that image's size, in (0, 1]."""
    rounds: int = 7
    """Each renders every frame once; one more warms up."""
    memory: bool = True
    """Measure memory too."""
    threads: int = field(default_factory=torch.get_num_threads)
    """Threads of torch."""
    json: Path | None = None
    """Where to write the figures."""


@dataclass(frozen=True, eq=False)
class Frame:
    """What is rendered.

    Attributes:
        edits: what is changed in it; None for the scene as it was trained.
        features: composited too.
        goal: share of the unedited frame's time without features that it is to stay below.
    """

    edits: CompiledEdits | None = None
    features: bool = False
    goal: float | None = None


@dataclass(frozen=True)
class Row:
    """One kind of frame.

    Attributes:
        frame: its name.
        seconds: median time.
        ratio: to the unedited frame, the median over rounds.
        megabytes: held at most while rendering; None where it was not measured.
        memory_ratio: to the unedited frame.
        goal: the ratio is to stay below it; None for the unedited frame.
    """

    frame: str
    seconds: float
    ratio: float
    megabytes: float | None = None
    memory_ratio: float | None = None
    goal: float | None = None


def operations(shift: Sequence[float]) -> dict[str, Operation]:
    """What is done, by name; ``shift`` in world units says how far things are put."""
    x, y, z = (float(part) for part in shift)
    return {
        "recolour": HueShift(degrees=120),
        "delete": Delete(),
        "transform": Transform(translate=(x, y, z), rotate=(0.0, 0.0, 30.0)),
        "duplicate": Duplicate(translate=(x, y, z), rotate=(0.0, 0.0, 30.0)),
    }


def document(operation: Operation) -> EditDocument:
    """One step with the baked selection."""
    return EditDocument(
        steps=(EditStep(selection=FileSelection(file=SELECTION), operation=operation),)
    )


def bake_selection(scene: Scene, bench: BenchEdits, folder: Path) -> tuple[Cameras, list[float]]:
    """Select, and write the selection into the folder.

    Returns:
        The camera to render, and how far things are put.

    Raises:
        DffError: nothing is said to be selected, or nothing is.
    """
    if bool(bench.text) == bool(bench.click):
        raise DffError("say what to select, with either --text or --click")
    if not 0.0 < bench.scale <= 1.0:
        raise DffError(f"the scale must be above 0 and at most 1, not {bench.scale}")
    if bench.click:
        selection = scene.select(ClickQuery((Click.parse(bench.click),)))
    else:
        selection = scene.select(TextQuery((bench.text,)))
    if selection.count == 0:
        raise DffError(f"{'; '.join(selection.made_by)} selects nothing: ask for something else")
    selection.save(folder / SELECTION, scene.fingerprint)
    points = selection.grid.points[selection.values >= 0.5]
    size = float((points.amax(dim=0) - points.amin(dim=0)).norm())
    if bench.view:
        (view,) = scene.views(names=[bench.view])
    else:
        views = scene.views("eval")
        small = [rescaled(view.camera, min(1.0, 96 / max(view.size))) for view in views]
        shares = [float(scene.see(camera).mask(selection).float().mean()) for camera in small]
        view = views[int(np.argmax(shares))]
    return rescaled(view.camera, bench.scale), [SHIFT * size, 0.0, 0.0]


def time_frames(
    scene: Scene, camera: Cameras, frames: Mapping[str, Frame], rounds: int
) -> dict[str, list[float]]:
    """Seconds of each frame in each round; a round before them warms up."""
    times: dict[str, list[float]] = {name: [] for name in frames}
    for number in range(rounds + 1):
        for name, frame in frames.items():
            start = time.perf_counter()
            scene.render(camera, frame.edits, hidden=frame.features)
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            if number > 0:
                times[name].append(time.perf_counter() - start)
    return times


def rows_of(
    frames: Mapping[str, Frame],
    times: Mapping[str, Sequence[float]],
    held: Mapping[str, float],
) -> list[Row]:
    """Figures from seconds by frame and round, and megabytes by frame, where there are any."""
    plain = np.asarray(times[UNEDITED])
    rows = []
    for name, spent in times.items():
        megabytes = held.get(name)
        rows.append(
            Row(
                name,
                float(np.median(spent)),
                float(np.median(np.asarray(spent) / plain)),
                megabytes,
                None if megabytes is None else megabytes / held[UNEDITED],
                frames[name].goal,
            )
        )
    return rows


def memory(
    config: Path, folder: Path, camera: Cameras, operation: Operation | None, threads: int
) -> float:
    """MB that this process holds at most while it renders a frame."""
    torch.set_num_threads(threads)
    scene = dff.load(config)
    edits = None if operation is None else scene.compile(document(operation), folder)
    with most_held() as most:
        scene.render(camera, edits)
    return most[0] / 1e6


def measure(bench: BenchEdits) -> list[Row]:
    """All figures."""
    scene = dff.load(bench.load_config)
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        camera, shift = bake_selection(scene, bench, folder)
        does = operations(shift)
        frames = {UNEDITED: Frame()}
        for name, operation in does.items():
            edits = scene.compile(document(operation), folder)
            frames[name] = Frame(edits, goal=TIME_GOALS[name])
            if name in LOOKED_INTO:
                frames[f"{name}, with features"] = Frame(edits, True, FEATURES_GOAL)
        times = time_frames(scene, camera, frames, max(1, bench.rounds))
        held: dict[str, float] = {}
        for row in rows_of(frames, times, held):
            Console().print(f"{row.frame}: {row.seconds:.3f} s, {row.ratio:.2f} times")
        if bench.memory:
            for name in (UNEDITED, *does):
                given = (bench.load_config, folder, camera, does.get(name), bench.threads)
                held[name] = in_process(memory, *given)
    return rows_of(frames, times, held)


def main(bench: BenchEdits) -> None:
    """Measure, print and write."""
    torch.set_num_threads(bench.threads)
    rows = measure(bench)
    report(rows, bench)
    if bench.json is not None:
        figures = {"threads": bench.threads, "rows": [asdict(row) for row in rows]}
        bench.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


def report(rows: Sequence[Row], bench: BenchEdits) -> None:
    """A table of the rows; what misses its goal is red."""
    table = Table(title=f"Frames with and without edits, {bench.threads} threads")
    for title in ("frame", "seconds", "times", "goal", "MB", "times", "goal"):
        table.add_column(title)
    for row in rows:
        missed = row.goal is not None and row.ratio > row.goal
        ratio = f"{row.ratio:.2f}"
        cells = ["", "", ""]
        if row.megabytes is not None and row.memory_ratio is not None:
            large = row.memory_ratio > MEMORY_GOAL
            held = f"{row.memory_ratio:.2f}"
            cells = [
                f"{row.megabytes:.0f}",
                f"[red]{held}[/red]" if large else held,
                "" if row.goal is None else f"<= {MEMORY_GOAL:g}",
            ]
        table.add_row(
            row.frame,
            f"{row.seconds:.3f}",
            f"[red]{ratio}[/red]" if missed else ratio,
            "" if row.goal is None else f"<= {row.goal:g}",
            *cells,
        )
    Console(width=100).print(table)


if __name__ == "__main__":
    try:
        main(tyro.cli(BenchEdits))
    except DffError as error:
        raise SystemExit(f"error: {error}") from error
