"""Edits of a trained generated scene against the truth: how true, and how local."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from torch import Tensor

from dff.data.generated.scene import SceneTruth, load_truth
from dff.edits.document import EditStep
from dff.errors import DffError
from dff.evaluate.edit_cases import (
    Case,
    Pictures,
    Trained,
    cameras_of,
    cases,
    photos,
    true_pictures,
)
from dff.evaluate.judged_edits import Bench, judged
from dff.scene import Scene

EDITS = ("recolour", "move", "delete with fill")
VIEWS = 8


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
    bench = Bench(scene, VIEWS)
    before = photos(truth, bench.views)
    found = []
    for case in cases(Trained(truth, scene, config), None):
        if case.name not in EDITS:
            continue
        told(f"{case.name} {case.thing}")
        try:
            found.append(_measured(bench, truth, before, case, way))
        except DffError as error:
            found.append(EditFigures(case.name, case.thing, way, failed=str(error)))
    return found


def _measured(
    bench: Bench, truth: SceneTruth, before: Pictures, case: Case, way: str
) -> EditFigures:
    kept, _ = true_pictures(case.truth, *cameras_of(truth, bench.views))
    step = EditStep(name=case.name, selection=case.selections[way], operation=case.operation)
    edited, _ = bench.edited(step, case.name, folder=None)
    found = judged(bench, case, way, edited, before, kept)
    return EditFigures(
        case.name,
        case.thing,
        way,
        found.edited,
        found.unedited,
        found.local,
        found.iou,
        pictures=tuple(each[found.best] for each in (bench.unedited, edited, kept.images)),
    )
