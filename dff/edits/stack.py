"""The edit stack: a document that is worked on, with its history.

Steps and documents never change, so every moment of the history is a document that shares its
steps with the others; nothing of the scene is in it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from pydantic import ValidationError

from dff.edits.document import EditDocument, EditStep
from dff.edits.explain import explain
from dff.edits.references import referred, renumbered
from dff.edits.selections import MovedSelection
from dff.errors import DffError


class Moment(NamedTuple):
    """A state in the history.

    Attributes:
        document: as it was then.
        action: what led to it, for a menu: ``undo ACTION``; empty for the start.
    """

    document: EditDocument
    action: str


class EditStack:
    """A document with its history.

    Steps are counted from 0. Every change gives the new document, and is refused with a `DffError`
    that leaves document and history as they were. Steps that select what another one brought keep
    meaning that one, wherever it goes.
    """

    def __init__(self, document: EditDocument | None = None) -> None:
        self._moments = [Moment(EditDocument() if document is None else document, "")]
        self._now = 0

    @classmethod
    def of_moments(cls, moments: Sequence[Moment], now: int) -> EditStack:
        """A stack with a history: at least one moment, and the index of the one it stands at."""
        if not 0 <= now < len(moments):
            raise ValueError(f"moment {now} is not among {len(moments)}")
        stack = cls()
        stack._moments, stack._now = list(moments), now
        return stack

    @property
    def document(self) -> EditDocument:
        """What is now."""
        return self._moments[self._now].document

    @property
    def moments(self) -> tuple[Moment, ...]:
        """The whole history, oldest first, with what was undone last."""
        return tuple(self._moments)

    @property
    def now(self) -> int:
        """Which of the moments is the present one."""
        return self._now

    @property
    def undoable(self) -> str | None:
        """The action that `undo` takes back; None where there is none."""
        return self._moments[self._now].action if self._now > 0 else None

    @property
    def redoable(self) -> str | None:
        """The action that `redo` does again; None where there is none."""
        later = self._now + 1
        return self._moments[later].action if later < len(self._moments) else None

    def push(self, step: EditStep) -> EditDocument:
        """Add a step at the end."""
        return self.insert(len(self.document.steps), step)

    def insert(self, index: int, step: EditStep) -> EditDocument:
        """Add a step before the one at ``index``."""
        steps = self.document.steps
        if not 0 <= index <= len(steps):
            raise DffError(f"a step cannot be put at {index + 1}: there are {len(steps)}")
        places = {old: old + (old >= index) for old in range(len(steps))}
        moved = renumbered(steps, places)
        return self._do((*moved[:index], step, *moved[index:]), f"add {_called(step, index)}")

    def remove(self, index: int) -> EditDocument:
        """Take a step out; one that another refers to stays."""
        step = self._step(index)
        steps = self.document.steps
        for other in range(index + 1, len(steps)):
            if referred(steps, other) == index:
                raise DffError(
                    f"{_called(steps[other], other)} selects what {_called(step, index)} brought: "
                    "change or remove it first"
                )
        left = steps[:index] + steps[index + 1 :]
        places = {old: old - (old > index) for old in range(len(steps)) if old != index}
        return self._do(renumbered(left, places), f"remove {_called(step, index)}")

    def move(self, index: int, to: int) -> EditDocument:
        """Take a step to another place; ``to`` is its index there."""
        step = self._step(index)
        self._step(to)
        order = [old for old in range(len(self.document.steps)) if old != index]
        order.insert(to, index)
        places = {old: new for new, old in enumerate(order)}
        self._check_order(places)
        steps = [self.document.steps[old] for old in order]
        return self._do(renumbered(steps, places), f"move {_called(step, index)}")

    def toggle(self, index: int) -> EditDocument:
        """Switch a step on or off."""
        step = self._step(index)
        word = "switch off" if step.enabled else "switch on"
        changed = step.model_copy(update={"enabled": not step.enabled})
        return self._do(self._with(index, changed), f"{word} {_called(step, index)}")

    def rename(self, index: int, name: str | None) -> EditDocument:
        """Call a step something else; steps that refer to it by name follow."""
        step = self._step(index)
        steps = list(self.document.steps)
        followers = [i for i in range(index + 1, len(steps)) if referred(steps, i) == index]
        renamed = {**dict(step), "name": name}
        try:
            steps[index] = EditStep.model_validate(renamed)
        except ValidationError as error:
            raise DffError(explain(error, renamed, EditStep).sentence) from error
        for follower in followers:
            if isinstance(getattr(steps[follower].selection, "step", None), str):
                selection = MovedSelection(step=name or index + 1)
                steps[follower] = steps[follower].model_copy(update={"selection": selection})
        return self._do(steps, f"rename {_called(step, index)}")

    def update(self, index: int, step: EditStep, amend: bool = False) -> EditDocument:
        """Put another step in a step's place.

        Args:
            index: of the step.
            step: what it is now.
            amend: take this and the last action, if that was an update of the same step, as one:
                while a slider is dragged.
        """
        action = f"change {_called(self._step(index), index)}"
        amends = amend and self.undoable == action and self.redoable is None
        return self._do(self._with(index, step), action, amends)

    def go_on(self, later: EditStack) -> EditDocument:
        """Let another history follow the present moment: all of both can be undone to."""
        first, *others = later.moments
        before = [moment.document for moment in self._moments[: self._now + 1]]
        # Where both began alike, the beginning is there once.
        if first.document not in (before if later.now else before[-1:]):
            others = [Moment(first.document, "recover unsaved work"), *others]
        self._moments[self._now + 1 :] = others
        self._now += later.now + len(others) - len(later.moments) + 1
        return self.document

    def undo(self) -> EditDocument:
        """Take the last action back."""
        if self.undoable is None:
            raise DffError("there is nothing to undo")
        self._now -= 1
        return self.document

    def redo(self) -> EditDocument:
        """Do again what was taken back last."""
        if self.redoable is None:
            raise DffError("there is nothing to redo")
        self._now += 1
        return self.document

    def _step(self, index: int) -> EditStep:
        steps = self.document.steps
        if not 0 <= index < len(steps):
            raise DffError(f"there is no step {index + 1}: there are {len(steps)}")
        return steps[index]

    def _check_order(self, places: Mapping[int, int]) -> None:
        """Refuse an order in which a step comes before one that it means, or could mean two.

        Args:
            places: new index of every step.
        """
        steps = self.document.steps
        for index, step in enumerate(steps):
            meant = referred(steps, index)
            if meant is None:
                continue
            selects = f"{_called(step, index)} selects what {_called(steps[meant], meant)} brought"
            if places[meant] > places[index]:
                raise DffError(f"{selects}: it has to stay after it")
            name = getattr(step.selection, "step", None)
            for other, each in enumerate(steps):
                if other != meant and each.name == name and places[other] < places[index]:
                    raise DffError(f"{selects}, and step {other + 1} has that name too: rename one")

    def _with(self, index: int, step: EditStep) -> tuple[EditStep, ...]:
        steps = self.document.steps
        return (*steps[:index], step, *steps[index + 1 :])

    def _do(self, steps: Sequence[EditStep], action: str, amends: bool = False) -> EditDocument:
        """A new moment, after the present one; what was undone before is gone."""
        try:
            document = EditDocument(steps=tuple(steps))
        except ValidationError as error:
            raise DffError(explain(error, {"steps": steps}).sentence) from error
        self._moments[self._now + (not amends) :] = [Moment(document, action)]
        self._now = len(self._moments) - 1
        return document


def followed(before: Sequence[EditStep], index: int, after: Sequence[EditStep]) -> int | None:
    """Where a step is after an action: steps that move or change share a part with what they were.

    Args:
        before: all steps before the action, or before several in which nobody looked.
        index: of the step among them.
        after: all steps now.

    Returns:
        Its index now; None where it is gone, or where that cannot be told.
    """
    step, there = before[index], after[index] if index < len(after) else None
    if there is not None and there.operation is step.operation:
        return index
    for place, other in enumerate(after):
        if other.operation is step.operation:
            return place
    changed = there is not None and there.selection is step.selection
    return index if changed and len(after) == len(before) else None


def _called(step: EditStep, index: int) -> str:
    return f"step {index + 1}" if step.name is None else f"step {index + 1} ({step.name[:40]!r})"
