"""What was asked of a scene last, and the selection that it gave, refined."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Bool
from torch import Tensor

from dff.answering import answer
from dff.editor.kept_selections import FOLDER, NAMELESS
from dff.edits.selections import (
    ClickSelection,
    FileSelection,
    PatchSelection,
    StepSelection,
    TextSelection,
)
from dff.errors import DffError
from dff.framed_views import answer_frame
from dff.query.shown import ClickQuery, Patch, PatchQuery, Spot
from dff.query.text import TextQuery
from dff.query.threshold import otsu_threshold
from dff.refinement import Refinement
from dff.scene import Scene
from dff.seen_view import SeenView
from dff.selection.inventory import Thing
from dff.selection.selection import Selection

# Of the rim of what is selected by words, as in documents.
TEXT_SOFTNESS = 0.05


@dataclass(frozen=True, eq=False)
class Asked:
    """A question and its answer.

    Attributes:
        label: the question, for people.
        selection: the answer, before it is refined.
        described: how a document puts the question; None: the answer has to be kept in a file.
        at: the same question with another threshold in [0, 1]; None where it has none.
    """

    label: str
    selection: Selection
    described: StepSelection | None = None
    at: Callable[[float | None], Asked] | None = None

    @property
    def suggested(self) -> float | None:
        """Otsu's threshold of the scores."""
        scores = self.selection.scores
        return None if scores is None else otsu_threshold(scores, self.selection.grid.rays)


@dataclass(frozen=True, eq=False)
class Choice:
    """What is selected now: an answer, and how it was refined.

    Attributes:
        asked: the question.
        refinement: see `dff.refinement`.
        selection: the result.
    """

    asked: Asked
    refinement: Refinement
    selection: Selection

    @classmethod
    def of(cls, scene: Scene, asked: Asked, refinement: Refinement | None = None) -> Choice:
        """Refine an answer.

        Raises:
            DffError: a refinement makes no sense, or a saved selection does not fit.
        """
        refinement = refinement or Refinement()
        return cls(asked, refinement, refinement.apply(scene, asked.selection))

    def described_in(self, scene: Scene, folder: Path) -> StepSelection:
        """For a step of a document; what no question says is kept as a file in its folder.

        Raises:
            DffError: the file cannot be written.
        """
        if self.asked.described is not None and self.refinement == Refinement():
            return self.asked.described
        content = hashlib.sha256(self.selection.values.numpy().tobytes()).hexdigest()[:10]
        name = f"{FOLDER}/{NAMELESS}{content}.npz"
        self.selection.save(folder / name, scene.fingerprint)
        return FileSelection(file=name)


def ask_text(scene: Scene, query: TextQuery, threshold: float | None = None) -> Asked:
    """By words.

    Raises:
        DffError: a word is not known, or no teacher understands words.
    """
    query = dataclasses.replace(query, threshold=threshold)
    described = TextSelection(
        text=query.positives,
        negative=query.negatives,
        threshold=threshold,
        temperature=query.temperature,
        teacher=query.teacher,
        softness=TEXT_SOFTNESS,
    )
    return Asked(
        ", ".join(query.positives),
        answer(scene, query, TEXT_SOFTNESS),
        described,
        lambda value: ask_text(scene, query, value),
    )


def ask_clicks(scene: Scene, query: ClickQuery, threshold: float | None = None) -> Asked:
    """By points on surfaces.

    Raises:
        DffError: a click is on no surface, or two contradict each other.
    """
    query = dataclasses.replace(query, threshold=threshold)
    described = ClickSelection(
        click=tuple(map(str, query.positives)),
        click_negative=tuple(map(str, query.negatives)),
        alike=not query.connected,
        threshold=threshold,
        teacher=query.teacher,
    )
    count = len(query.positives) + len(query.negatives)
    return Asked(
        f"{count} click{'s' * (count > 1)}",
        answer(scene, query),
        described,
        lambda value: ask_clicks(scene, query, value),
    )


def ask_picture(
    scene: Scene, folder: Path, name: str, teacher: str | None, threshold: float | None = None
) -> Asked:
    """By a picture in the document's folder.

    Raises:
        DffError: it cannot be read.
    """
    query = PatchQuery((Patch(str(folder / name)),), (), teacher, threshold)
    return Asked(
        Path(name).stem,
        answer(scene, query),
        PatchSelection(patch=(name,), threshold=threshold, teacher=teacher),
        lambda value: ask_picture(scene, folder, name, teacher, value),
    )


def ask_frame(
    scene: Scene, seen: SeenView, inside: Bool[Tensor, "h w"], teacher: str | None
) -> Asked:
    """By a rectangle in a view.

    Raises:
        DffError: nothing is seen in it.
    """
    return Asked("rectangle", answer_frame(scene, seen, inside, teacher))


def ask_thing(scene: Scene, thing: Thing, label: str) -> Asked:
    """By what was found in the scene."""
    made_by = (f"{label}, found in the scene",)
    return Asked(label, Selection(scene.surface, thing.mask.float(), made_by=made_by))


def ask_saved(scene: Scene, path: Path) -> Asked:
    """By a selection that was kept.

    Raises:
        DffError: it is missing, damaged, or of another checkpoint.
    """
    return Asked(path.stem, scene.load_selection(path))


def spot_at(seen: SeenView, x: float, y: float) -> Spot:
    """The point on a surface behind a place in a view.

    Args:
        seen: the view.
        x, y: shares of its width and height, from the upper left corner.

    Raises:
        DffError: nothing is there.
    """
    height, width = seen.there.shape
    row = min(max(int(y * height), 0), height - 1)
    column = min(max(int(x * width), 0), width - 1)
    if not seen.there[row, column]:
        raise DffError("no surface of this scene is there (sky, or never seen well): click a thing")
    px, py, pz = seen.points[row, column].tolist()
    return Spot(px, py, pz)


def inside_rectangle(
    shape: Sequence[int], low: Sequence[float], high: Sequence[float]
) -> Bool[Tensor, "h w"]:
    """Pixels of a view whose centres lie in a rectangle.

    Args:
        shape: height and width of the view.
        low, high: its corners (x, y), as shares of width and height.
    """
    y = (torch.arange(shape[0]) + 0.5) / shape[0]
    x = (torch.arange(shape[1]) + 0.5) / shape[1]
    rows = (y >= min(low[1], high[1])) & (y <= max(low[1], high[1]))
    columns = (x >= min(low[0], high[0])) & (x <= max(low[0], high[0]))
    return rows[:, None] & columns
