"""The example documents: each is read, and together they show everything there is."""

from __future__ import annotations

from pathlib import Path

import pytest

from dff.edits import load_document, save_document
from dff.edits.operations import OPERATIONS, RECOLOR_FUNCTIONS
from dff.edits.selections import SELECTIONS

EXAMPLES = sorted((Path(__file__).parents[2] / "configs" / "edits").glob("*.y*ml"))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_is_read_and_says_what_it_does(path, tmp_path):
    document = load_document(path)
    assert document.steps
    assert path.read_text().startswith("# ")
    assert all(step.name for step in document.steps)
    save_document(document, tmp_path / "again.yml")
    assert load_document(tmp_path / "again.yml") == document


def test_examples_show_every_operation_colour_function_and_selection():
    steps = [step for path in EXAMPLES for step in load_document(path).steps]
    operations = [step.operation for step in steps]
    assert {op.type for op in operations} == {*OPERATIONS, "recolor"}
    recolours = [op for op in operations if op.type == "recolor"]
    assert {op.function for op in recolours} == set(RECOLOR_FUNCTIONS)
    assert {type(step.selection) for step in steps} == set(SELECTIONS.values())
