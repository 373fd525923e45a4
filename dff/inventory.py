"""What there is in a scene: a table of its things, a picture of each, and a file of facts."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Bool, Float
from rich.console import Console
from rich.table import Table
from torch import Tensor

from dff.best_views import best_views
from dff.camera_paths import rescaled
from dff.errors import DffError
from dff.files import atomic_write, plain_name
from dff.pictures import overlay, to_bytes, write_png
from dff.query.routing import likeness_teachers, text_teacher
from dff.scene import Scene
from dff.selection.inventory import Name, Thing, find_things, name_things
from dff.selection.label_file import read_labels
from dff.selection.selection import Selection
from dff.teachers import Teacher

VERSION = 1
# Longer side of the views that pictures are cut from, in pixels.
PICTURE_SIDE = 320
# Room around a thing in its picture, as a share of its extent there.
ROOM = 0.2


@dataclass(frozen=True, eq=False)
class Entry:
    """A thing of the inventory.

    Attributes:
        number: from 1, the one most rays met first.
        thing: what it is.
        name: what it is called; None without labels.
        view: the training view that shows most of it; None where none does.
    """

    number: int
    thing: Thing
    name: Name | None
    view: str | None

    @property
    def stem(self) -> str:
        """Of its files: ``03_apple``."""
        label = "thing" if self.name is None else self.name.label
        return f"{self.number:02d}_{plain_name(label)}"

    @property
    def facts(self) -> dict[str, Any]:
        """As plain data, lengths in world units."""
        thing = self.thing
        return {
            "number": self.number,
            **({} if self.name is None else dataclasses.asdict(self.name)),
            "share": thing.share,
            "rays": thing.rays,
            "voxels": int(thing.mask.sum()),
            "centre": thing.centre.tolist(),
            "low": thing.low.tolist(),
            "high": thing.high.tolist(),
            "view": self.view,
            "picture": None if self.view is None else f"pictures/{self.stem}.png",
            "selection": f"selections/{self.stem}.npz",
        }


def write_inventory(
    scene: Scene,
    output_dir: Path,
    labels: Path | None = None,
    teacher: str | None = None,
    console: Console | None = None,
) -> list[Entry]:
    """Find the things in a scene, name them, and print a table of them.

    Writes ``things.json``, for each thing ``pictures/<number>_<name>.png``, cut from the training
    view that shows most of it, and ``selections/<number>_<name>.npz`` to go on with.

    Args:
        scene: trained with features.
        output_dir: is made where it is missing.
        labels: file of names, one a line; None: things stay without names.
        teacher: whose features, of several; by default the one for text where there are labels,
            and else the one for what is shown.
        console: where the table goes.

    Raises:
        DffError: no features, an unreadable label file, no teacher for text, none of the labels is
            known to it, no things, or a file cannot be written.
    """
    console = console or Console()
    words = None if labels is None else read_labels(labels)
    named = naming_teacher(scene, words, teacher)
    entries = entries_of(scene, words, named, lambda line: console.print(line, markup=False))
    _write_pictures(scene, entries, output_dir / "pictures")
    for entry in entries:
        path = output_dir / "selections" / f"{entry.stem}.npz"
        _selection(scene, entry).save(path, scene.fingerprint)
    document = {
        "version": VERSION,
        "checkpoint": scene.fingerprint,
        "teacher": named,
        "things": [entry.facts for entry in entries],
    }
    with atomic_write(output_dir / "things.json") as stream:
        stream.write(json.dumps(document, indent=1).encode("utf-8"))
    console.print(table_of(entries))
    return entries


def naming_teacher(scene: Scene, words: Sequence[str] | None, teacher: str | None) -> str:
    """Whose features part a scene into things: with words a teacher that understands them.

    Raises:
        DffError: there is none.
    """
    records = scene.model.teacher_records
    if words is None:
        return teacher or likeness_teachers(records)[0]
    return text_teacher(records, teacher)


def entries_of(
    scene: Scene,
    words: Sequence[str] | None,
    teacher: str,
    notice: Callable[[str], None] = lambda line: None,
) -> list[Entry]:
    """Find the things in a scene and name them.

    Args:
        scene: trained with features.
        words: names that they may have; None: they stay without.
        teacher: whose features.
        notice: told in one line which words are left out.

    Raises:
        DffError: no features, none of the words is known, or nothing was found.
    """
    embeddings = kept = None
    if words is not None:
        kept, embeddings = known_labels(scene.teacher_named(teacher), words)
        if len(kept) < len(words):
            notice(
                f"teacher '{teacher}' does not know {len(words) - len(kept)} of the {len(words)} "
                "labels: they are left out"
            )
    things = things_of(scene, teacher)
    names: Sequence[Name | None] = [None] * len(things)
    if embeddings is not None and kept is not None:
        names = name_things(things, embeddings, kept, scene.teacher_named(teacher).logit_scale)
    views = scene.views("train")
    shown = best_views(things, scene.surface.points, [view.camera for view in views])
    return [
        Entry(number, thing, name, None if view is None else views[view].name)
        for number, (thing, name, view) in enumerate(zip(things, names, shown, strict=True), 1)
    ]


def known_labels(
    teacher: Teacher, labels: Sequence[str]
) -> tuple[tuple[str, ...], Float[Tensor, "q D"]]:
    """The labels that a teacher can embed, and their embeddings.

    Raises:
        DffError: it has no text tower, or knows none of them.
    """
    if not teacher.has_text:
        raise DffError(f"teacher '{teacher.name}' understands no text: leave --labels out")
    try:
        return tuple(labels), teacher.encode_text(labels)
    except DffError as refusal:
        first = refusal
    kept, rows = [], []
    for label in labels:
        try:
            rows.append(teacher.encode_text([label]))
        except DffError:
            continue
        kept.append(label)
    if not kept:
        raise DffError(
            f"teacher '{teacher.name}' knows none of the {len(labels)} labels: {first}"
        ) from first
    return tuple(kept), torch.cat(rows)


def things_of(scene: Scene, teacher: str) -> list[Thing]:
    """The things in a scene by a teacher's features, with prototypes in the teacher's space.

    Raises:
        DffError: nothing was seen, or there are no features.
    """
    baked = scene.baked(teacher)
    things = find_things(scene.surface, baked.reduced)
    if not things:
        raise DffError("nothing was found in this scene: train it longer")
    return [dataclasses.replace(thing, prototype=baked.lifted(thing.prototype)) for thing in things]


def table_of(entries: Sequence[Entry]) -> Table:
    """The inventory as a table."""
    table = Table(title=f"{len(entries)} things")
    named = any(entry.name is not None for entry in entries)
    columns: list[tuple[str, Callable[[Entry], str]]] = [
        ("#", lambda e: str(e.number)),
        ("share", lambda e: f"{e.thing.share:.1%}"),
        ("voxels", lambda e: str(int(e.thing.mask.sum()))),
        ("size", lambda e: " x ".join(f"{side:.2f}" for side in e.thing.size.tolist())),
        ("centre", lambda e: " ".join(f"{side:.2f}" for side in e.thing.centre.tolist())),
        ("best seen in", lambda e: e.view or "-"),
    ]
    if named:
        columns[1:1] = [
            ("name", lambda e: f"{e.name.label} ({e.name.score:.2f})" if e.name else ""),
            (
                "runner-up",
                lambda e: (
                    f"{e.name.runner_up} ({e.name.runner_up_score:.2f})"
                    if e.name and e.name.runner_up
                    else "-"
                ),
            ),
        ]
    for title, _ in columns:
        table.add_column(title, justify="left" if title in ("name", "runner-up") else "right")
    for entry in entries:
        # A label may hold what rich takes for markup.
        table.add_row(*(cell(entry).replace("[", r"\[") for _, cell in columns))
    return table


def cut_out(rgb: Float[Tensor, "h w 3"], mask: Bool[Tensor, "h w"]) -> Float[Tensor, "H W 3"]:
    """The part of a picture around a mask, with the mask laid over it; all of it without one."""
    painted = overlay(rgb, mask[..., None].float())
    if not mask.any():
        return painted
    places = mask.nonzero()
    low, high = places.amin(dim=0), places.amax(dim=0) + 1
    room = (ROOM * (high - low)).ceil().long() + 2
    y0, x0 = (low - room).clamp_min(0).tolist()
    y1, x1 = (high + room).tolist()
    return painted[y0:y1, x0:x1]


def _selection(scene: Scene, entry: Entry) -> Selection:
    called = "" if entry.name is None else f": {entry.name.label}"
    how = f"thing {entry.number} of the inventory{called}"
    return Selection(scene.surface, entry.thing.mask.float(), made_by=(how,))


def picture_of(scene: Scene, entry: Entry) -> Float[Tensor, "H W 3"] | None:
    """A thing cut from the training view that shows most of it; None where none does."""
    if entry.view is None:
        return None
    return cut_out(*_looked_at(scene, entry.view, [entry])[0])


def _looked_at(
    scene: Scene, view: str, entries: Sequence[Entry]
) -> list[tuple[Float[Tensor, "h w 3"], Bool[Tensor, "h w"]]]:
    """A view, rendered once, and the mask of each of some things in it."""
    found = scene.views(names=[view])[0]
    scale = min(1.0, PICTURE_SIDE / max(found.size))
    seen = scene.see(rescaled(found.camera, scale))
    return [(seen.rgb, seen.mask(_selection(scene, entry))) for entry in entries]


def _write_pictures(scene: Scene, entries: Sequence[Entry], folder: Path) -> None:
    """Write a picture of each thing; each view is rendered once for all that it shows."""
    for name in dict.fromkeys(entry.view for entry in entries if entry.view is not None):
        shown = [entry for entry in entries if entry.view == name]
        for entry, looked in zip(shown, _looked_at(scene, name, shown), strict=True):
            write_png(folder / f"{entry.stem}.png", to_bytes(cut_out(*looked)))
