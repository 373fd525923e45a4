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

A selection is words (``text``), clicks (``click``), pictures (``patch``) or a saved one (``file``).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Discriminator, Field, Tag, field_validator, model_validator

from dff.edits.operations import Operation, Strict, bounded
from dff.errors import DffError
from dff.query.shown import Click, ClickQuery, Patch, PatchQuery
from dff.query.text import TEMPERATURE_RANGE, TextQuery, clean_prompts

VERSION = 1


def _one_is_a_list(value: object) -> object:
    return [value] if isinstance(value, str) else value


class TextSelection(Strict):
    """What a text query selects.

    Attributes:
        text: phrases that name what is wanted; one phrase may be written without a list.
        negative: phrases that name what is not; none means the teacher's canonical phrases.
        threshold: scores at or above it are selected, in [0, 1]; none means Otsu's.
        softness: half the width of the soft rim in units of score, in [0, 0.5]; 0 is a hard cut.
        temperature: divides cosine similarity, in [0.001, 100]; none means the teacher's own.
    """

    text: tuple[str, ...]
    negative: tuple[str, ...] = ()
    threshold: Annotated[float, bounded(0, 1)] | None = None
    softness: Annotated[float, bounded(0, 0.5)] = 0.05
    temperature: Annotated[float, bounded(*TEMPERATURE_RANGE)] | None = None

    _listed = field_validator("text", "negative", mode="before")(_one_is_a_list)

    @field_validator("text", "negative")
    @classmethod
    def _clean(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return _as_value_error(lambda: clean_prompts(value, "phrase"))

    @model_validator(mode="after")
    def _makes_a_query(self) -> TextSelection:
        _as_value_error(self.query)
        return self

    def query(self) -> TextQuery:
        """The query to put to a teacher."""
        return TextQuery(self.text, self.negative, self.temperature, self.threshold)


class ShownSelection(Strict):
    """What selections by showing have in common.

    Attributes:
        threshold, softness: as in `TextSelection`; no threshold means the stable one.
        teacher: which of several distilled teachers answers, or ``product``.
    """

    threshold: Annotated[float, bounded(0, 1)] | None = None
    softness: Annotated[float, bounded(0, 0.5)] = 0.0
    teacher: str | None = None


class ClickSelection(ShownSelection):
    """What clicks select.

    Attributes:
        click: pixels of the thing, as ``FRAME:x,y``; one may be written without a list.
        click_negative: pixels that are not of it.
        alike: everything that looks like it, not only what is connected.
    """

    click: tuple[str, ...]
    click_negative: tuple[str, ...] = ()
    alike: Annotated[bool, Field(strict=True)] = False

    _listed = field_validator("click", "click_negative", mode="before")(_one_is_a_list)

    @model_validator(mode="after")
    def _makes_a_query(self) -> ClickSelection:
        _as_value_error(self.query)
        return self

    def query(self) -> ClickQuery:
        """The query to put to a scene."""
        wanted, unwanted = (tuple(map(Click.parse, c)) for c in (self.click, self.click_negative))
        return ClickQuery(wanted, unwanted, not self.alike, self.teacher, self.threshold)


class PatchSelection(ShownSelection):
    """What looks like pictures.

    Attributes:
        patch: ``IMAGE:x0,y0,x1,y1``, ``IMAGE:MASK.png`` or ``IMAGE``: stem of an image of the
            capture, or a file in the document's folder; one may be written without a list.
        patch_negative: pictures of what it is not.
    """

    patch: tuple[str, ...]
    patch_negative: tuple[str, ...] = ()

    _listed = field_validator("patch", "patch_negative", mode="before")(_one_is_a_list)

    @model_validator(mode="after")
    def _makes_a_query(self) -> PatchSelection:
        _as_value_error(self.query)
        return self

    def query(self) -> PatchQuery:
        """The query to put to a scene."""
        wanted, unwanted = (tuple(map(Patch.parse, p)) for p in (self.patch, self.patch_negative))
        return PatchQuery(wanted, unwanted, self.teacher, self.threshold)


class FileSelection(Strict):
    """A selection that ``dff query --save`` wrote.

    Attributes:
        file: the .npz, in the document's folder.
    """

    file: Annotated[str, Field(min_length=1, max_length=500)]


# A selection is known by the key that only its kind has; a new kind is a class and a line here.
SELECTIONS: dict[str, type[Strict]] = {
    "text": TextSelection,
    "click": ClickSelection,
    "patch": PatchSelection,
    "file": FileSelection,
}
StepSelection = TextSelection | ClickSelection | PatchSelection | FileSelection


def _selection_kind(value: object) -> str | None:
    """The kind of a selection, or None when its keys name no kind or more than one."""
    if isinstance(value, Strict):
        return next((kind for kind, model in SELECTIONS.items() if type(value) is model), None)
    kinds = [kind for kind in SELECTIONS if isinstance(value, Mapping) and kind in value]
    return kinds[0] if len(kinds) == 1 else None


Selection = Annotated[
    Annotated[TextSelection, Tag("text")]
    | Annotated[ClickSelection, Tag("click")]
    | Annotated[PatchSelection, Tag("patch")]
    | Annotated[FileSelection, Tag("file")],
    Discriminator(_selection_kind),
]


class EditStep(Strict):
    """One step: what is selected, and what is done to it.

    Attributes:
        name: for people; none lets the editor make one.
        enabled: a step that is off does nothing.
        selection: where.
        operation: what.
    """

    name: Annotated[str, Field(max_length=200)] | None = None
    enabled: Annotated[bool, Field(strict=True)] = True
    selection: Selection
    operation: Operation


class EditDocument(Strict):
    """Steps in the order in which they act."""

    version: Literal[1] = VERSION
    steps: tuple[EditStep, ...] = ()


def _as_value_error(make):
    """Call; pydantic adds the place to a ValueError, and only to that."""
    try:
        return make()
    except DffError as error:
        raise ValueError(str(error)) from error
