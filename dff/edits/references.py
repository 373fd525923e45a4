"""Steps that select what an earlier step brought: which step is meant, before and after moving."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from pydantic_core import PydanticCustomError

from dff.edits.operations import Duplicate, Insert, Replace, Transform
from dff.edits.selections import MovedSelection

if TYPE_CHECKING:
    from dff.edits.document import EditStep

BRINGING = (Transform, Duplicate, Insert, Replace)


def referred(steps: Sequence[EditStep], index: int) -> int | None:
    """The step whose outcome a step selects.

    Args:
        steps: of a document.
        index: of the step that selects, from 0.

    Returns:
        Its index; None for a step that selects in another way.

    Raises:
        PydanticCustomError: there is no such step before it, there are several, or it brings
            nothing; with the place of the fault in its context.
    """
    selection = steps[index].selection
    if not isinstance(selection, MovedSelection):
        return None
    if isinstance(steps[index].operation, Insert):
        raise _fault(
            index,
            "an insert selects in the other scene: say what by text, click, patch or file",
        )
    named = selection.step
    found = (
        _numbered(steps, index, named) if isinstance(named, int) else _named(steps, index, named)
    )
    if not isinstance(steps[found].operation, BRINGING):
        raise _fault(
            index,
            f"step {found + 1} brings nothing that could be selected: "
            "only transform, duplicate, insert and replace do",
        )
    return found


def check_references(steps: tuple[EditStep, ...]) -> tuple[EditStep, ...]:
    """Refuse steps that select what no earlier step brought; see `referred`."""
    for index in range(len(steps)):
        referred(steps, index)
    return steps


def other_scenes(steps: Sequence[EditStep]) -> list[str | None]:
    """From which other scene the things are that each step brings, or works on.

    Args:
        steps: of a document; references are right.

    Returns:
        Its name as the document has it; None where they are the edited scene's own.
    """
    found: list[str | None] = []
    for index, step in enumerate(steps):
        operation, meant = step.operation, referred(steps, index)
        if isinstance(operation, (Insert, Replace)):
            found.append(operation.scene)
        else:
            found.append(None if meant is None else found[meant])
    return found


def renumbered(steps: Sequence[EditStep], places: Mapping[int, int]) -> tuple[EditStep, ...]:
    """Steps whose references by number follow the steps they mean to their new places.

    Args:
        steps: in their new order, with references as they were in the old one.
        places: new index of every old one that is still there.
    """
    return tuple(_moved(step, places) for step in steps)


def _moved(step: EditStep, places: Mapping[int, int]) -> EditStep:
    selection = step.selection
    if not isinstance(selection, MovedSelection) or not isinstance(selection.step, int):
        return step
    place = places.get(selection.step - 1)
    if place is None or place == selection.step - 1:
        return step
    return step.model_copy(update={"selection": MovedSelection(step=place + 1)})


def _numbered(steps: Sequence[EditStep], index: int, number: int) -> int:
    if number > len(steps):
        raise _fault(index, f"there is no step {number}: the document has {len(steps)}")
    if number == index + 1:
        raise _fault(index, "a step cannot select what it brings itself")
    if number > index:
        raise _fault(index, f"step {number} comes later: only an earlier one can be selected")
    return number - 1


def _named(steps: Sequence[EditStep], index: int, name: str) -> int:
    earlier = [i for i in range(index) if steps[i].name == name]
    if len(earlier) == 1:
        return earlier[0]
    if earlier:
        numbers = " and ".join(str(i + 1) for i in earlier[:2])
        raise _fault(index, f"steps {numbers} are both called {name[:40]!r}: give the number")
    if any(step.name == name for step in steps[index:]):
        raise _fault(index, f"{name[:40]!r} comes no earlier: only an earlier step can be selected")
    # Comparing takes long where there are many long names.
    names = {step.name[:40]: None for step in steps[max(index - 200, 0) : index] if step.name}
    close = difflib.get_close_matches(name[:40], names, n=1)
    hint = f"; did you mean {close[0]!r}?" if close else ": name one, or give its number"
    raise _fault(index, f"no earlier step is called {name[:40]!r}{hint}")


def _fault(index: int, message: str) -> PydanticCustomError:
    # As pydantic would give it: with the kind of the selection, then its field.
    loc = ["steps", index, "selection", "step", "step"]
    return PydanticCustomError("reference", "{message}", {"message": message, "loc": loc})
