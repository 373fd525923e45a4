"""Edits of a trained generated scene held against the pictures that should come of them."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from dff.edits.document import EditDocument, EditStep
from dff.edits.operations import Insert
from dff.edits.selections import ClickSelection, StepSelection, TextSelection
from dff.edits.storage import save_document
from dff.evaluate.chosen_views import evenly
from dff.evaluate.edit_cases import Case, Pictures
from dff.evaluate.edits import faithfulness, locality, widened
from dff.evaluate.masks import intersection_over_union
from dff.scene import Scene


class Bench:
    """A trained scene and some of its held-out views, rendered once without edits.

    Args:
        scene: trained with features.
        most: views at most, spread evenly.
    """

    def __init__(self, scene: Scene, most: int) -> None:
        self.scene = scene
        self.views = evenly(scene.views("eval"), most)
        self.seen = [scene.see(view.camera) for view in self.views]
        self.unedited = [seen.rgb for seen in self.seen]
        self._silhouettes: dict[StepSelection, list[Bool[Tensor, "h w"]]] = {}

    def silhouettes(self, selection: StepSelection) -> list[Bool[Tensor, "h w"]]:
        """Pixels of the views that show what is selected.

        Raises:
            DffError: it cannot be selected in this scene.
        """
        if selection not in self._silhouettes:
            assert isinstance(selection, (ClickSelection, TextSelection))
            chosen = self.scene.select(selection.query(), selection.softness)
            self._silhouettes[selection] = [seen.mask(chosen) for seen in self.seen]
        return self._silhouettes[selection]

    def edited(
        self, step: EditStep, name: str, folder: Path | None, trusted: Sequence[Path] = ()
    ) -> tuple[list[Float[Tensor, "h w 3"]], dict[str, Any]]:
        """The views with one step done, and how it was made ready to render.

        Args:
            step: the document's only one.
            name: of the document's file.
            folder: where it is kept; None keeps none.
            trusted: folders that it may name files in.

        Raises:
            DffError: the document does not fit this scene.
        """
        document = EditDocument(steps=(step,))
        if folder is not None:
            save_document(document, folder / f"{name}.yml")
        told: list[str] = []
        start = time.perf_counter()
        compiled = self.scene.compile(document, folder, tuple(trusted), told.append)
        ready = {"compile_seconds": time.perf_counter() - start, "notice": "; ".join(told)}
        return [self.scene.render(view.camera, compiled)["rgb"] for view in self.views], ready


@dataclass(frozen=True, eq=False)
class Judged:
    """Figures of one edit in some views, pixels pooled, and the pixels they are of.

    Attributes:
        edited: PSNR of the edited field against the truth of the edit, near what changes, in dB.
        unedited: of the unedited field against the unedited truth on the same pixels, in dB.
        local: PSNR between edited and unedited field away from what is selected and where it is
            put, in dB.
        iou: of the selection with the thing before the edit; NaN where it is of another scene.
        was, now: by view, pixels that show the thing before and after.
        near: by view, pixels near what changes.
    """

    edited: float
    unedited: float
    local: float
    iou: float
    was: list[Bool[Tensor, "h w"]]
    now: list[Bool[Tensor, "h w"]]
    near: list[Bool[Tensor, "h w"]]

    @property
    def best(self) -> int:
        """The view that shows most of the change."""
        return max(range(len(self.near)), key=lambda view: int(self.near[view].sum()))


def judged(
    bench: Bench,
    case: Case,
    way: str,
    edited: Sequence[Float[Tensor, "h w 3"]],
    before: Pictures,
    kept: Pictures,
) -> Judged:
    """How true an edit is, and how local.

    Args:
        bench: the scene and its views.
        case: the edit.
        way: of selecting, one of `Case.selections`.
        edited: the bench's views with the edit made, in [0, 1].
        before, kept: what they should have shown before it and with it, light kept.

    Raises:
        DffError: the thing cannot be selected that way.
    """
    was, now = before.shows(case.truth.touched), kept.shows(case.truth.touched)
    near = [widened(a | b) for a, b in zip(was, now, strict=True)]
    faith = faithfulness(edited, kept.images, bench.unedited, before.images, near)
    marked, iou = now, math.nan
    if not isinstance(case.operation, Insert):
        marked = bench.silhouettes(case.selections[way])
        iou = intersection_over_union(torch.stack(marked), torch.stack(was))
        if case.puts:
            marked = [a | b for a, b in zip(marked, now, strict=True)]
    local = locality(edited, bench.unedited, marked)
    return Judged(faith.edited, faith.unedited, local, iou, was, now, near)
