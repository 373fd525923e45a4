"""The edit document: an ordered list of (selection, operation) steps, as validated data.

.. code-block:: yaml

    version: 1
    steps:
      - name: remove the apple
        selection: {text: [apple], negative: [banana, table]}
        operation: {type: delete}
      - selection: {text: [banana], threshold: 0.5, softness: 0.05}
        operation: {type: recolor, function: hue, degrees: 120}
      - selection: {click: ["IMG_0001:320,240"]}
        operation: {type: opacity, factor: 0.5}

A selection is words (``text``), clicks (``click``), pictures (``patch``), a saved one (``file``) or
what an earlier step brought where it is (``step``).
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, ConfigDict, Field

from dff.edits.operations import Operation
from dff.edits.references import check_references
from dff.edits.selections import Selection
from dff.edits.strict import Flag, Line, Strict

VERSION = 1
MAX_STEPS = 1000


class EditStep(Strict):
    """One step: what is selected, and what is done to it.

    Attributes:
        name: for people; none lets the editor make one.
        enabled: a step that is off does nothing.
        selection: where.
        operation: what.
    """

    name: Line | None = None
    enabled: Flag = True
    selection: Selection
    operation: Operation


class EditDocument(Strict):
    """Steps in the order in which they act."""

    # In a file both have to be there; see `dff.edits.storage.parse_document`.
    model_config = ConfigDict(json_schema_extra={"required": ["version", "steps"]})

    version: Literal[1] = VERSION
    steps: Annotated[
        tuple[EditStep, ...], Field(max_length=MAX_STEPS), AfterValidator(check_references)
    ] = ()
