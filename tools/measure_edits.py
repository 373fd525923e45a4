"""How near edited fields are to the truth of generated scenes, and how far edits stay local.

    uv run python tools/measure_edits.py --work WORK --seeds 11 12 13 14 15 --json FILE
    uv run python tools/measure_edits.py --load-config CONFIG --text apple

Scenes are generated and trained where they are not there yet, in the folders that
`measure_queries` uses. In each, one thing, chosen by a rule, is selected by a click and by text,
and recoloured, moved, duplicated and deleted, with the hole filled and without; a thing of the next
seed's scene is inserted. On the held-out views, pixels pooled, within 2 pixels of what changes:

  edited     PSNR of the edited field against the truth of the edit
  unedited   PSNR of the unedited field against the unedited truth, on the same pixels
  loss       their difference, with its goal
  thing      the loss on the thing alone, from where it was to where it is put
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
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
import tyro
from edit_report import Figures, facts, in_words, report
from rich.console import Console
from torch import Tensor

import dff
from dff.data.generated.edited import TrueEdit
from dff.data.generated.scene import write_scene
from dff.edits.document import EditStep
from dff.edits.operations import Delete, HueShift
from dff.edits.selections import ClickSelection, StepSelection, TextSelection
from dff.errors import DffError
from dff.evaluate.edit_cases import (
    EDITS,
    HUE,
    WAYS,
    Case,
    Pictures,
    Trained,
    cameras_of,
    cases,
    photos,
    true_pictures,
)
from dff.evaluate.edits import locality, pooled_psnr, widened
from dff.evaluate.judged_edits import Bench, judged
from dff.files import atomic_write, plain_name
from dff.pictures import resize, to_bytes, write_png
from dff.training import train_scene

ENLARGED = 2


@dataclass
class MeasureEdits:
    """Measure edits against the truth."""

    work: Path | None = None
    """Folder with a folder for each seed: scene and training."""
    seeds: tuple[int, ...] = (11, 12, 13, 14, 15)
    """Of scenes and training; things are inserted from the next. One alone inserts nothing."""
    iterations: int = 1200
    """Training steps."""
    edits: tuple[str, ...] = EDITS
    """Which to measure."""
    ways: tuple[str, ...] = WAYS
    """How to select."""
    views: int = 8
    """Held-out views at most, spread evenly."""
    load_config: Path | None = None
    """The config.yml of a trained scene to measure locality on, in place of generated ones."""
    text: tuple[str, ...] = ()
    """What to select there."""
    negative: tuple[str, ...] = ()
    """What such a text is to be told apart from."""
    click: tuple[str, ...] = ()
    """FRAME:x,y to select there."""
    pictures: Path | None = None
    """Folder for pictures and documents; WORK/edits by default, none for a scene of photos."""
    json: Path | None = None
    """Where to write the figures."""


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
) -> dict[str, Any]:
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
    name = plain_name(f"{case.name} {way}")
    step = EditStep(name=case.name, selection=case.selections[way], operation=case.operation)
    edited, ready = bench.edited(step, name, folder, trusted)
    found = judged(bench, case, way, edited, before, kept)
    columns = (bench.unedited, edited, kept.images, world.images)
    write_strip(folder / f"{name}.png", [pictures[found.best] for pictures in columns])
    on_thing, off_thing = ([widened(mask) for mask in masks] for masks in (found.now, found.was))
    return {
        "edited": found.edited,
        "unedited": found.unedited,
        "world": pooled_psnr(edited, world.images, found.near),
        "world_truth": pooled_psnr(kept.images, world.images, found.near),
        "local": found.local,
        "iou": found.iou,
        "thing_edited": pooled_psnr(edited, kept.images, on_thing),
        "thing_unedited": pooled_psnr(bench.unedited, before.images, off_thing),
        **ready,
    }


def measure_scene(
    options: MeasureEdits, seed: int, own: Trained, other: Trained | None
) -> Iterator[Figures]:
    """All edits of one generated scene, one after the other."""
    assert options.work is not None
    folder = (options.pictures or options.work / "edits") / str(seed)
    truth, bench = own.truth, Bench(own.scene, options.views)
    cameras, photographed = cameras_of(truth, bench.views)
    before = photos(truth, bench.views)
    made: dict[TrueEdit, tuple[Pictures, Pictures]] = {}
    for case in cases(own, other):
        if case.name not in options.edits:
            continue
        if case.truth not in made:
            made[case.truth] = true_pictures(case.truth, cameras, photographed)
        kept, world = made[case.truth]
        for way in options.ways:
            row, truths = Figures(str(seed), case.thing, case.name, way), (before, kept, world)
            try:
                row = replace(row, **measure_case(bench, case, way, truths, folder, [options.work]))
            except DffError as error:
                row = replace(row, failed=str(error))
            yield row


def measure_photos(options: MeasureEdits, config: Path) -> Iterator[Figures]:
    """Locality of recolouring and deleting what is selected in a scene of photos.

    Raises:
        DffError: nothing is said to be selected.
    """
    selections: dict[str, StepSelection] = {
        word: TextSelection(text=(word,), negative=options.negative) for word in options.text
    }
    selections |= {click: ClickSelection(click=(click,)) for click in options.click}
    if not selections:
        raise DffError("say what to select in the scene, with --text or --click")
    scene = dff.load(config)
    bench = Bench(scene, options.views)
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
            yield replace(row, local=local, **ready)


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
    for given, known in ((options.edits, EDITS), (options.ways, WAYS)):
        unknown = [name for name in given if name not in known]
        if unknown:
            raise DffError(f"there is no '{unknown[0]}' here; there are {', '.join(known)}")
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
        Console().print(f"{row.scene}: {row.edit} {row.of} by {row.way}: {in_words(row)}")
        if options.json is not None:
            written = json.dumps([facts(each) for each in found], indent=1)
            with atomic_write(options.json) as stream:
                stream.write(f"{written}\n".encode())
    report(found)


if __name__ == "__main__":
    try:
        main(tyro.cli(MeasureEdits))
    except DffError as error:
        raise SystemExit(f"error: {error}") from error
