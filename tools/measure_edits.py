"""How near edited fields are to the truth of generated scenes, and how far edits stay local.

    uv run python tools/measure_edits.py --work WORK --seeds 11 12 13 14 15 --json FILE
    uv run python tools/measure_edits.py --load-config CONFIG --text apple

Scenes are generated and trained where they are not there yet, in the folders that
`measure_queries` uses. In each, one thing, chosen by a rule, is selected by a click and by text,
and recoloured, moved, duplicated, deleted, deleted with the hole filled; a thing of the next
seed's scene is inserted. On the held-out views, pixels pooled, within 2 pixels of what changes:

  edited     PSNR of the edited field against the truth of the edit
  unedited   PSNR of the unedited field against the unedited truth, on the same pixels
  loss       their difference, with its goal
  world      the edited field against the world with the edit made, lit anew, and the truth of the
             edit against that world: shadows and light that no edit of baked light can know
  local      PSNR between edited and unedited field further than 2 pixels from what is selected,
             as the scene itself shows it, and from where it is put
  IoU        of the selection with the thing, before the edit

The truth of an edit keeps the light that the photos show: see `dff.data.generated.edited`. Pictures
before, edited, truth, world are written for each edit. A scene of photos has no truth: there, what
a text or a click selects is recoloured and deleted, and only locality is measured.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
import tyro
from edit_cases import EDITS, HUE, Case, Pictures, Trained, cases, true_pictures
from measure_queries import true_instances
from rich.console import Console
from rich.table import Table
from torch import Tensor

import dff
from dff.data.generated.scene import write_scene
from dff.data.images import load_image
from dff.edits.document import EditDocument, EditStep
from dff.edits.operations import Delete, HueShift, Insert
from dff.edits.selections import ClickSelection, StepSelection, TextSelection
from dff.edits.storage import save_document
from dff.errors import DffError
from dff.evaluate.edits import faithfulness, locality, pooled_psnr, widened
from dff.evaluate.masks import intersection_over_union
from dff.files import atomic_write, plain_name
from dff.pictures import resize, to_bytes, write_png
from dff.scene import Scene, View
from dff.training import train_scene

# dB that an edit may cost, and that what it leaves alone has at least.
LOSS_GOALS = {"recolour": 2.0, "move": 2.0, "duplicate": 2.0, "delete with fill": 3.0}
LOCAL_GOALS = {"recolour": 50.0, "delete": 45.0, "delete with fill": 45.0}
ENLARGED = 2


@dataclass
class MeasureEdits:
    """Measure edits against the truth."""

    work: Path | None = None
    """Folder with a folder for each seed: scene and training."""
    seeds: tuple[int, ...] = (11, 12, 13, 14, 15)
    """Of scenes and training; things are inserted from the next one's."""
    iterations: int = 1200
    """Training steps."""
    edits: tuple[str, ...] = EDITS
    """Which to measure."""
    ways: tuple[str, ...] = ("click", "text")
    """How to select."""
    load_config: Path | None = None
    """The config.yml of a trained scene to measure locality on, in place of generated ones."""
    text: tuple[str, ...] = ()
    """What to select there."""
    click: tuple[str, ...] = ()
    """FRAME:x,y to select there."""
    views: int = 8
    """Held-out views there, spread evenly."""
    pictures: Path | None = None
    """Folder for pictures and documents; WORK/edits by default, none for a scene of photos."""
    json: Path | None = None
    """Where to write the figures."""


@dataclass(frozen=True)
class Figures:
    """Of one edit of one scene; dB, NaN where there is none.

    Attributes:
        scene, thing, edit, way: which.
        edited, unedited, world, world_truth, local: see the top of the module.
        iou: of the selection with the thing.
        compile_seconds: until the document was ready to render.
        failed: why there are no figures.
    """

    scene: str
    thing: str
    edit: str
    way: str
    edited: float = math.nan
    unedited: float = math.nan
    world: float = math.nan
    world_truth: float = math.nan
    local: float = math.nan
    iou: float = math.nan
    compile_seconds: float = math.nan
    failed: str = ""

    @property
    def loss(self) -> float:
        return self.unedited - self.edited


class Bench:
    """A trained scene and some of its views, rendered once without edits."""

    def __init__(self, scene: Scene, views: Sequence[View]) -> None:
        self.scene = scene
        self.views = views
        self.unedited = [scene.render(view.camera)["rgb"] for view in views]
        self._silhouettes: dict[StepSelection, list[Tensor]] = {}

    def silhouettes(self, selection: StepSelection) -> list[Tensor]:
        """Pixels of the views that show what is selected."""
        if selection not in self._silhouettes:
            assert isinstance(selection, (ClickSelection, TextSelection))
            chosen = self.scene.select(selection.query(), selection.softness)
            seen = [self.scene.render(view.camera, selection=chosen) for view in self.views]
            self._silhouettes[selection] = [part["mask"][..., 0] >= 0.5 for part in seen]
        return self._silhouettes[selection]

    def edited(
        self, step: EditStep, name: str, folder: Path | None, trusted: Sequence[Path] = ()
    ) -> tuple[list[Tensor], float]:
        """The views with one step done, and the seconds it took to make it ready.

        Args:
            step: the document's only one.
            name: of the document's file.
            folder: where it is kept; None keeps none.
            trusted: folders that it may name files in.
        """
        document = EditDocument(steps=(step,))
        if folder is not None:
            save_document(document, folder / f"{name}.yml")
        start = time.perf_counter()
        compiled = self.scene.compile(document, folder, trusted=tuple(trusted))
        ready = time.perf_counter() - start
        return [self.scene.render(view.camera, compiled)["rgb"] for view in self.views], ready


def write_strip(path: Path, columns: Sequence[Tensor]) -> None:
    """Pictures side by side, enlarged."""
    strip = torch.cat(list(columns), dim=1)
    height, width = strip.shape[:2]
    write_png(path, to_bytes(resize(strip, ENLARGED * height, ENLARGED * width)))


def measure_case(
    bench: Bench,
    case: Case,
    way: str,
    truths: tuple[Pictures, Pictures, Pictures],
    folder: Path,
    trusted: Sequence[Path],
) -> dict[str, float]:
    """The figures of one edit; its pictures and its document are written.

    Args:
        bench: of the scene.
        case: the edit.
        way: of selecting.
        truths: before, edited with kept light, edited world.
        folder: for pictures and document.
        trusted: folders with other scenes.
    """
    before, kept, world = truths
    selection = case.selections[way]
    name = plain_name(f"{case.name} {way}")
    step = EditStep(name=case.name, selection=selection, operation=case.operation)
    edited, ready = bench.edited(step, name, folder, trusted)
    was, now = before.shows(case.truth.touched), kept.shows(case.truth.touched)
    where = [widened(a | b) for a, b in zip(was, now, strict=True)]
    near = faithfulness(edited, kept.images, bench.unedited, before.images, where)
    best = max(range(len(where)), key=lambda k: int(where[k].sum()))
    columns = (bench.unedited, edited, kept.images, world.images)
    write_strip(folder / f"{name}.png", [pictures[best] for pictures in columns])
    marked, iou = now, math.nan
    if not isinstance(case.operation, Insert):
        marked = bench.silhouettes(selection)
        thing = before.shows(case.truth.touched[:1])
        iou = intersection_over_union(torch.stack(marked), torch.stack(thing))
        if case.puts:
            marked = [a | b for a, b in zip(marked, now, strict=True)]
    return {
        "edited": near.edited,
        "unedited": near.unedited,
        "world": pooled_psnr(edited, world.images, where),
        "world_truth": pooled_psnr(kept.images, world.images, where),
        "local": locality(edited, bench.unedited, marked),
        "iou": iou,
        "compile_seconds": ready,
    }


def measure_scene(
    options: MeasureEdits, seed: int, own: Trained, other: Trained | None
) -> Iterator[Figures]:
    """All edits of one generated scene, one after the other."""
    assert options.work is not None
    folder = (options.pictures or options.work / "edits") / str(seed)
    truth, bench = own.truth, Bench(own.scene, own.scene.views("eval"))
    cameras = [truth.cameras[truth.frames[view.name]] for view in bench.views]
    photographed = [c for c, out in zip(truth.cameras, truth.held_out, strict=True) if not out]
    before = Pictures(
        [load_image(view.path) for view in bench.views],
        [true_instances(truth, view) for view in bench.views],
    )
    for case in cases(own, other):
        if case.name not in options.edits:
            continue
        kept, world = true_pictures(case.truth, cameras, photographed)
        for way in options.ways:
            row = Figures(str(seed), case.thing, case.name, way)
            try:
                truths = (before, kept, world)
                figures = measure_case(bench, case, way, truths, folder, [options.work])
                yield replace(row, **figures)
            except DffError as error:
                yield replace(row, failed=str(error))


def measure_photos(options: MeasureEdits, config: Path) -> Iterator[Figures]:
    """Locality of recolouring and deleting what is selected in a scene of photos.

    Raises:
        DffError: nothing is said to be selected.
    """
    selections: dict[str, StepSelection] = {
        word: TextSelection(text=(word,)) for word in options.text
    }
    selections |= {click: ClickSelection(click=(click,)) for click in options.click}
    if not selections:
        raise DffError("say what to select in the scene, with --text or --click")
    scene = dff.load(config)
    views = scene.views("eval")
    spread = np.linspace(0, len(views) - 1, min(max(1, options.views), len(views)))
    bench = Bench(scene, [views[int(k)] for k in spread.round()])
    for called, selection in selections.items():
        way = "text" if isinstance(selection, TextSelection) else "click"
        for edit, operation in (("recolour", HueShift(degrees=HUE)), ("delete", Delete())):
            name = plain_name(f"{edit} {called}")
            step = EditStep(name=edit, selection=selection, operation=operation)
            edited, ready = bench.edited(step, name, options.pictures)
            marked = bench.silhouettes(selection)
            if options.pictures is not None:
                best = max(range(len(marked)), key=lambda k: int(marked[k].sum()))
                strip = [bench.unedited[best], edited[best]]
                write_strip(options.pictures / f"{name}.png", strip)
            local = locality(edited, bench.unedited, marked)
            row = Figures(config.parent.name, called, edit, way)
            yield replace(row, local=local, compile_seconds=ready)


def trained(options: MeasureEdits, seed: int) -> Trained:
    """A seed's scene, generated and trained where it is not there yet."""
    assert options.work is not None
    folder = options.work / str(seed)
    truth = write_scene(folder / "scene", seed)
    config = train_scene(
        truth.path, folder / "training", iterations=options.iterations, seed=seed + 42
    )
    return Trained(truth, dff.load(config), config)


def measure_all(options: MeasureEdits) -> Iterator[Figures]:
    """Whatever the options say.

    Raises:
        DffError: they say nothing, or what there is not.
    """
    unknown = [edit for edit in options.edits if edit not in EDITS]
    if unknown:
        raise DffError(f"no edit is called '{unknown[0]}'; there are {', '.join(EDITS)}")
    if options.load_config is not None:
        yield from measure_photos(options, options.load_config)
        return
    if options.work is None or not options.seeds:
        raise DffError("say where generated scenes are, with --work, or give a --load-config")
    following = trained(options, options.seeds[0])
    first = following
    for place, seed in enumerate(options.seeds):
        own, other = following, None
        if len(options.seeds) > 1:
            last = place == len(options.seeds) - 1
            other = first if last else trained(options, options.seeds[place + 1])
            following = other
        yield from measure_scene(options, seed, own, other)


def main(options: MeasureEdits) -> None:
    """Measure, print, and write after each figure."""
    found: list[Figures] = []
    for row in measure_all(options):
        found.append(row)
        Console().print(f"{row.scene}: {row.edit} {row.thing} by {row.way}: {in_words(row)}")
        if options.json is not None:
            written = json.dumps([facts(each) for each in found], indent=1)
            with atomic_write(options.json) as stream:
                stream.write(f"{written}\n".encode())
    report(found)


def facts(row: Figures) -> dict[str, object]:
    """A row as plain data, with its loss and goals."""
    goals = {"loss_goal": LOSS_GOALS.get(row.edit), "local_goal": LOCAL_GOALS.get(row.edit)}
    return {**asdict(row), "loss": row.loss, **goals}


def in_words(row: Figures) -> str:
    """The line that is printed as soon as a figure is there."""
    if row.failed:
        return row.failed
    return f"loss {row.loss:.2f} dB, local {row.local:.1f} dB, IoU {row.iou:.3f}"


def report(found: Sequence[Figures]) -> None:
    """A table of all figures, and one of the means by edit and way; red is what misses a goal."""
    table = Table(title="Edits on held-out views, dB")
    titles = ("scene", "thing", "edit", "by", "edited", "unedited", "loss", "goal")
    for title in (*titles, "world", "truth/world", "local", "goal", "IoU"):
        table.add_column(title)
    for row in found:
        name = (row.scene, row.thing, row.edit, row.way)
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

    def mean(values: Sequence[float]) -> float:
        known = [value for value in values if not math.isnan(value)]
        return sum(known) / len(known) if known else math.nan

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
        told(mean([row.world for row in rows])),
        told(mean([row.world_truth for row in rows])),
        told(local, local_goal is not None and local < local_goal),
        "" if local_goal is None else f">= {local_goal:g}",
        told(mean([row.iou for row in rows]), digits=3),
    ]


if __name__ == "__main__":
    main(tyro.cli(MeasureEdits))
