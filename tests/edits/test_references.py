"""Steps that select what an earlier one brought."""

from __future__ import annotations

import pytest

from dff.edits import parse_document
from dff.errors import DffError

APPLE = {"text": "apple"}


def does(kind, name=None, selection=APPLE, **fields):
    step = {"selection": selection, "operation": {"type": kind, **fields}}
    return step if name is None else {**step, "name": name}


def follows(which, kind="delete", **fields):
    return does(kind, selection={"step": which}, **fields)


@pytest.mark.parametrize(
    "first",
    [
        does("transform", "it"),
        does("duplicate", "it"),
        does("insert", "it", scene="a/config.yml"),
        does("replace", "it", by=APPLE),
    ],
    ids=lambda step: step["operation"]["type"],
)
@pytest.mark.parametrize("which", [1, "it"])
def test_what_brings_something_can_be_referred_to(first, which):
    document = parse_document({"version": 1, "steps": [first, does("extract"), follows(which)]})
    assert document.steps[2].selection.step == which


MOVE = does("transform", "mug")


@pytest.mark.parametrize(
    ("steps", "says"),
    [
        ([MOVE, follows(3)], "step 2: selection.step: there is no step 3: the document has 2"),
        ([MOVE, follows(2)], "a step cannot select what it brings itself"),
        ([MOVE, follows(3), MOVE], "step 3 comes later: only an earlier one"),
        ([MOVE, follows("mugg")], "no earlier step is called 'mugg'; did you mean 'mug'?"),
        ([MOVE, follows("x")], "no earlier step is called 'x': name one, or give its number"),
        ([follows("mug"), MOVE], "step 1: selection.step: 'mug' comes no earlier"),
        ([MOVE, MOVE, follows("mug")], "steps 1 and 2 are both called 'mug': give the number"),
        ([does("delete"), follows(1)], "step 1 brings nothing that could be selected"),
        ([MOVE, follows(1, "insert", scene="a")], "an insert selects in the other scene"),
        ([MOVE, follows(0)], "a step is given by its name, or by its number counted from 1"),
        ([MOVE, follows(True)], "a step is given by its name"),
        ([MOVE, follows(1.0)], "a step is given by its name"),
        ([MOVE, follows("")], "a step is given by its name"),
        ([MOVE, follows("\x1b")], "'\\x1b' holds control characters"),
    ],
)
def test_references_to_nothing_are_refused(steps, says):
    with pytest.raises(DffError) as caught:
        parse_document({"version": 1, "steps": steps})
    assert says in str(caught.value)
    assert str(caught.value).isprintable()
