"""Edits of a trained generated scene against the truth: how true, and how local."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from dff.data.generated.scene import SceneTruth, load_truth
from dff.data.images import load_image
from dff.edits.document import EditDocument, EditStep
from dff.errors import DffError
from dff.evaluate.edit_cases import Case, Pictures, Trained, cases, true_pictures
from dff.evaluate.edits import faithfulness, locality, widened
from dff.evaluate.masks import intersection_over_union
from dff.scene import Scene, View

EDITS = ("recolour", "move", "delete with fill")
VIEWS = 8
# Goals of the project: what editing may cost in truth, and how little may change elsewhere, in dB.
MOST_LOSS, LEAST_LOCAL = 1.0, 45.0


@dataclass(frozen=True)
class EditFigures:
    """One edit, on held-out views, pixels pooled.

    Attributes:
        edit, thing, way: what was done to what, and how it was selected.
        edited: PSNR of the edited field against the truth of the edit, near what changes, in dB.
        unedited: of the unedited field against the unedited truth on the same pixels, in dB.
        local: PSNR between edited and unedited field away from what is selected, in dB.
        iou: of the selection with the thing.
        failed: why there are no figures.
        pictures: before, edited, truth, of the view that shows most of it.
    """

    edit: str
    thing: str
    way: str
    edited: float = math.nan
    unedited: float = math.nan
    local: float = math.nan
    iou: float = math.nan
    failed: str = ""
    pictures: tuple[Tensor, ...] = field(default=(), compare=False)

    @property
    def loss(self) -> float:
        """What editing costs, in dB."""
        return self.unedited - self.edited


def measure_edits(
    scene: Scene, config: Path, data: Path, told: Callable[[str], None], way: str = "text"
) -> list[EditFigures]:
    """Recolour, move and delete one thing, chosen by a rule, and compare with the truth.

    Args:
        scene: trained on a generated scene.
        config: its config.yml.
        data: the generated scene.
        told: hears what is being done.
        way: ``text`` or ``click``.

    Raises:
        DffError: the folder holds no whole generated scene.
    """
    truth = load_truth(data)
    views = _spread(scene.views("eval"))
    seen = [scene.see(view.camera) for view in views]
    unedited = [each.rgb for each in seen]
    instances = [
        torch.from_numpy(truth.masks(truth.frames[v.name])[1].astype("int64")) for v in views
    ]
    before = Pictures([load_image(view.path) for view in views], instances)
    found = []
    for case in cases(Trained(truth, scene, config), None):
        if case.name not in EDITS:
            continue
        told(f"{case.name} {case.thing}")
        try:
            selection = scene.select(case.selections[way].query())  # type: ignore[union-attr]
            marked = [each.mask(selection) for each in seen]
            found.append(_measure(scene, truth, views, before, unedited, marked, case, way))
        except DffError as error:
            found.append(EditFigures(case.name, case.thing, way, failed=str(error)))
    return found


def _measure(
    scene: Scene,
    truth: SceneTruth,
    views: Sequence[View],
    before: Pictures,
    unedited: list[Tensor],
    marked: list[Tensor],
    case: Case,
    way: str,
) -> EditFigures:
    cameras = [truth.cameras[truth.frames[view.name]] for view in views]
    photographed = [c for c, out in zip(truth.cameras, truth.held_out, strict=True) if not out]
    kept, _ = true_pictures(case.truth, cameras, photographed)
    step = EditStep(name=case.name, selection=case.selections[way], operation=case.operation)
    compiled = scene.compile(EditDocument(steps=(step,)), notice=lambda line: None)
    edited = [scene.render(view.camera, compiled)["rgb"] for view in views]
    was, now = before.shows(case.truth.touched), kept.shows(case.truth.touched)
    where = [widened(a | b) for a, b in zip(was, now, strict=True)]
    near = faithfulness(edited, kept.images, unedited, before.images, where)
    changed = [a | b for a, b in zip(marked, now, strict=True)] if case.puts else marked
    best = max(range(len(where)), key=lambda k: int(where[k].sum()))
    return EditFigures(
        case.name,
        case.thing,
        way,
        near.edited,
        near.unedited,
        locality(edited, unedited, changed),
        intersection_over_union(torch.stack(marked), torch.stack(was)),
        pictures=(unedited[best], edited[best], kept.images[best]),
    )


def _spread(views: Sequence[View]) -> list[View]:
    chosen = np.linspace(0, len(views) - 1, min(VIEWS, len(views))).round()
    return [views[int(place)] for place in chosen]
