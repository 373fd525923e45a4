"""Edits of a generated scene that can be measured: each as a document and as truth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dff.data.generated.cameras import Camera
from dff.data.generated.description import SceneDescription
from dff.data.generated.edited import TrueEdit, render_kept_light
from dff.data.generated.layout import SceneObject
from dff.data.generated.render import View as TrueView
from dff.data.generated.render import render_views
from dff.data.generated.scene import SceneTruth
from dff.data.images import load_image
from dff.edits.operations import Delete, Duplicate, HueShift, Insert, Operation, Transform
from dff.edits.selections import ClickSelection, StepSelection, TextSelection
from dff.edits.similarity import Similarity
from dff.errors import DffError
from dff.evaluate.prompts import deepest
from dff.scene import Scene, View

HUE = 120
# How much a moved thing is turned, and how large the second of a duplicated one is.
TURN, SMALLER = 40.0, 0.85
EDITS = (
    "recolour",
    "move",
    "move with fill",
    "duplicate",
    "delete",
    "delete with fill",
    "insert",
)
WAYS = ("click", "text")


@dataclass(frozen=True, eq=False)
class Case:
    """One edit of one scene.

    Attributes:
        name: one of `EDITS`.
        thing: what is edited.
        operation: what the document says.
        selections: what it says it of, by the way of selecting.
        truth: what should come of it.
    """

    name: str
    thing: str
    operation: Operation
    selections: dict[str, StepSelection]
    truth: TrueEdit

    @property
    def puts(self) -> bool:
        """Whether something is somewhere else afterwards."""
        return isinstance(self.operation, (Transform, Duplicate, Insert))


@dataclass(frozen=True, eq=False)
class Trained:
    """A generated scene, the model that was trained on it, and its config.yml."""

    truth: SceneTruth
    scene: Scene
    config: Path


def thing_of(truth: SceneTruth) -> SceneObject:
    """The thing that is edited: of all, by the pixels they have in held-out views, the one a
    quarter from the top. So it is large enough to be scored, and no choice of ours."""
    frames = [number for number, out in enumerate(truth.held_out) if out]
    seen = torch.cat([truth.instances(number).flatten() for number in frames])
    counts = torch.bincount(seen, minlength=256).tolist()
    ranked = sorted(truth.description.objects, key=lambda thing: -counts[thing.instance])
    return ranked[len(ranked) // 4]


def selections_of(truth: SceneTruth, thing: SceneObject) -> dict[str, StepSelection]:
    """A click on the pixel deepest inside the thing, in the training view that shows most of it,
    and its name against those of all others."""
    name, most = "", torch.zeros(1, 1, dtype=torch.bool)
    for stem, number in truth.frames.items():
        mask = truth.instances(number) == thing.instance
        if not truth.held_out[number] and mask.sum() > most.sum():
            name, most = stem, mask
    if not name:
        raise DffError(f"no training view shows the {thing.phrase}")
    x, y = deepest(most)
    phrases = dict.fromkeys(other.phrase for other in truth.description.objects)
    others = [phrase for phrase in phrases if phrase != thing.phrase]
    return {
        "click": ClickSelection(click=(f"{name}:{x:g},{y:g}",)),
        "text": TextSelection(text=(thing.phrase,), negative=(*others, "table", "background")),
    }


def to_model(scene: Scene) -> Similarity:
    """From the decimetres of a generated scene to the world of the model that was trained on it."""
    parsed = scene.pipeline.datamanager.train_dataparser_outputs
    matrix = torch.eye(4, dtype=torch.float64)
    matrix[:3] = parsed.dataparser_scale * parsed.dataparser_transform.double()
    return Similarity.from_matrix(matrix)


def rows(placing: Similarity) -> Any:
    """As the ``matrix`` of an operation."""
    linear = placing.scale * placing.rotation
    upper = torch.cat([linear, placing.translation[:, None]], dim=1)
    return (*map(tuple, upper.tolist()), (0.0, 0.0, 0.0, 1.0))


def cases(own: Trained, other: Trained | None) -> list[Case]:
    """All edits of a scene's thing; without another scene, nothing is inserted."""
    before, thing = own.truth.description, thing_of(own.truth)
    number, model = thing.instance, to_model(own.scene)
    selections = selections_of(own.truth, thing)

    def in_model(placing: Similarity) -> dict[str, Any]:
        return {"matrix": rows(model.after(placing).after(model.inverse()))}

    moved, copied = put(before, thing, turn=TURN), put(before, thing, scale=SMALLER)
    deleted, elsewhere = TrueEdit.delete(before, number), TrueEdit.move(before, number, moved)
    made: list[tuple[str, Operation, TrueEdit]] = [
        ("recolour", HueShift(degrees=HUE), TrueEdit.hue(before, number, HUE)),
        ("move", Transform(**in_model(moved)), elsewhere),
        ("move with fill", Transform(**in_model(moved), fill=True), elsewhere),
        ("duplicate", Duplicate(**in_model(copied)), TrueEdit.duplicate(before, number, copied)),
        ("delete", Delete(), deleted),
        ("delete with fill", Delete(fill=True), deleted),
    ]
    found = [Case(name, thing.phrase, op, selections, edit) for name, op, edit in made]
    if other is not None:
        guest = thing_of(other.truth)
        placing = put(before, guest)
        matrix = rows(model.after(placing).after(to_model(other.scene).inverse()))
        found.append(
            Case(
                "insert",
                guest.phrase,
                Insert(matrix=matrix, scene=str(other.config.resolve())),
                selections_of(other.truth, guest),
                TrueEdit.insert(before, other.truth.description, guest.instance, placing),
            )
        )
    return found


def put(
    before: SceneDescription, thing: SceneObject, turn: float = 0.0, scale: float = 1.0
) -> Similarity:
    """Where there is room for it on the table: as close to the middle as can be."""
    turned = thing.placed(thing.placing((0.0, 0.0, 0.0), turn, scale))
    return thing.placing(before.free_place(turned), turn, scale)


@dataclass(frozen=True, eq=False)
class Pictures:
    """What the held-out cameras should see.

    Attributes:
        images: (h, w, 3) each, in [0, 1].
        instances: (h, w) each.
    """

    images: list[Tensor]
    instances: list[Tensor]

    @classmethod
    def of(cls, views: Sequence[TrueView]) -> Pictures:
        """From rendered truth."""
        return cls(
            [torch.from_numpy(view.image.astype(np.float32) / 255) for view in views],
            [torch.from_numpy(view.instances.astype(np.int64)) for view in views],
        )

    def shows(self, numbers: Sequence[int]) -> list[Tensor]:
        """Masks of the things of those numbers."""
        wanted = torch.tensor(numbers)
        return [torch.isin(instances, wanted) for instances in self.instances]


def photos(truth: SceneTruth, views: Sequence[View]) -> Pictures:
    """What some views of a generated scene show, as they lie on disk, before any edit."""
    numbers = [truth.frames[view.name] for view in views]
    return Pictures([load_image(view.path) for view in views], list(map(truth.instances, numbers)))


def cameras_of(truth: SceneTruth, views: Sequence[View]) -> tuple[list[Camera], list[Camera]]:
    """Cameras of some views of a generated scene, and those that its photos were taken with."""
    seen = [truth.cameras[truth.frames[view.name]] for view in views]
    taken = [c for c, out in zip(truth.cameras, truth.held_out, strict=True) if not out]
    return seen, taken


def true_pictures(
    edit: TrueEdit, cameras: Sequence[Camera], photographed: Sequence[Camera]
) -> tuple[Pictures, Pictures]:
    """An edit's truth with kept light, and the world's; see `dff.data.generated.edited`."""
    kept = Pictures.of(list(render_kept_light(edit, cameras, photographed)))
    return kept, Pictures.of(list(render_views(edit.after, cameras)))
