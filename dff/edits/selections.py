"""What a step of an edit document selects: words, clicks, pictures, a file, or an earlier step."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Annotated

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Discriminator,
    Field,
    Tag,
    WithJsonSchema,
    model_validator,
)

from dff.edits.strict import (
    MAX_FILE_NAME,
    FileName,
    Flag,
    Line,
    Looks,
    Strict,
    as_value_error,
    bounded,
    plain_text,
)
from dff.query.shown import ClickQuery, Patch, PatchQuery, parse_click
from dff.query.text import MAX_PROMPT_LENGTH, TEMPERATURE_RANGE, TextQuery, clean_prompts

# Far more than anybody writes; each text is looked at, and faults are collected.
MAX_LISTED = 1000


def _one_or_more(longest: int, most: int, least: int) -> WithJsonSchema:
    """The schema of a list of texts, or one text without a list."""
    item = {"type": "string", "minLength": 1, "maxLength": longest}
    many = {"type": "array", "items": item, "minItems": least, "maxItems": most}
    return WithJsonSchema({"anyOf": [item, many]}, mode="validation")


def _listed(value: object) -> object:
    """A list that is short enough to be looked at; one text may be written without a list."""
    if isinstance(value, (list, tuple)) and len(value) > MAX_LISTED:
        raise ValueError(f"{len(value)} are too many: at most {MAX_LISTED}")
    return [value] if isinstance(value, str) else value


def _clean(value: tuple[str, ...]) -> tuple[str, ...]:
    return as_value_error(lambda: clean_prompts(value, "phrase"))


def _known_step(value: object) -> object:
    """A step's number or name; anything else is refused before the two are tried in turn."""
    number = isinstance(value, int) and not isinstance(value, bool) and value >= 1
    if not number and not (isinstance(value, str) and value):
        raise ValueError("a step is given by its name, or by its number counted from 1")
    return value if isinstance(value, int) else plain_text(str(value))


_LOOKS = Looks("text, or a list of texts")
Phrases = Annotated[tuple[str, ...], _LOOKS, BeforeValidator(_listed), AfterValidator(_clean)]
Shown = Annotated[tuple[FileName, ...], _LOOKS, BeforeValidator(_listed)]


class Asking(Strict):
    """What a query selects."""

    @model_validator(mode="after")
    def _makes_a_query(self) -> Asking:
        as_value_error(self.query)
        return self

    @abstractmethod
    def query(self) -> TextQuery | ClickQuery | PatchQuery:
        """The query to put to a scene.

        Raises:
            DffError: it contradicts itself.
        """


class TextSelection(Asking):
    """What a text query selects.

    Attributes:
        text: phrases that name what is wanted; one phrase may be written without a list.
        negative: phrases that name what is not; none means the teacher's canonical phrases.
        threshold: scores at or above it are selected, in [0, 1]; none means Otsu's.
        softness: half the width of the soft rim in units of score, in [0, 0.5]; 0 is a hard cut.
        temperature: divides cosine similarity, in [0.001, 100]; none means the teacher's own.
        teacher: which of several distilled teachers answers.
        exact: ask the feature field at every sample of what is selected, not on its rim alone.
    """

    text: Annotated[Phrases, _one_or_more(MAX_PROMPT_LENGTH, MAX_LISTED, 1)]
    negative: Annotated[Phrases, _one_or_more(MAX_PROMPT_LENGTH, MAX_LISTED, 0)] = ()
    threshold: Annotated[float, bounded(0, 1)] | None = None
    softness: Annotated[float, bounded(0, 0.5)] = 0.05
    temperature: Annotated[float, bounded(*TEMPERATURE_RANGE)] | None = None
    teacher: Line | None = None
    exact: Flag = False

    def query(self) -> TextQuery:
        """The query to put to a teacher."""
        return TextQuery(self.text, self.negative, self.temperature, self.threshold, self.teacher)


class ShownSelection(Asking):
    """What selections by showing have in common.

    Attributes:
        threshold, softness: as in `TextSelection`; no threshold means the stable one.
        teacher: which of several distilled teachers answers, or ``product``.
        exact: as in `TextSelection`.
    """

    threshold: Annotated[float, bounded(0, 1)] | None = None
    softness: Annotated[float, bounded(0, 0.5)] = 0.0
    teacher: Line | None = None
    exact: Flag = False


class ClickSelection(ShownSelection):
    """What clicks select.

    Attributes:
        click: pixels of the thing, as ``FRAME:x,y``, or points of its surface, as ``x,y,z`` in
            world units; one may be written without a list.
        click_negative: the same of what is not of it.
        alike: everything that looks like it, not only what is connected.
    """

    click: Annotated[Shown, _one_or_more(MAX_FILE_NAME, MAX_LISTED, 1)]
    click_negative: Annotated[Shown, _one_or_more(MAX_FILE_NAME, MAX_LISTED, 0)] = ()
    alike: Flag = False

    def query(self) -> ClickQuery:
        """The query to put to a scene."""
        wanted, unwanted = (tuple(map(parse_click, c)) for c in (self.click, self.click_negative))
        return ClickQuery(wanted, unwanted, not self.alike, self.teacher, self.threshold)


class PatchSelection(ShownSelection):
    """What looks like pictures.

    Attributes:
        patch: ``IMAGE:x0,y0,x1,y1``, ``IMAGE:MASK.png`` or ``IMAGE``: stem of an image of the
            capture, or a file in the document's folder; one may be written without a list.
        patch_negative: pictures of what it is not.
    """

    patch: Annotated[Shown, _one_or_more(MAX_FILE_NAME, MAX_LISTED, 1)]
    patch_negative: Annotated[Shown, _one_or_more(MAX_FILE_NAME, MAX_LISTED, 0)] = ()

    def query(self) -> PatchQuery:
        """The query to put to a scene."""
        wanted, unwanted = (tuple(map(Patch.parse, p)) for p in (self.patch, self.patch_negative))
        return PatchQuery(wanted, unwanted, self.teacher, self.threshold)


class FileSelection(Strict):
    """A selection that ``dff query --save`` wrote.

    Attributes:
        file: the .npz, in the document's folder.
    """

    file: FileName


class MovedSelection(Strict):
    """What an earlier step brought where it is: the copies it made, what it moved or inserted.

    Attributes:
        step: its name, or its number in the document, counted from 1.
    """

    step: Annotated[
        Annotated[int, Field(strict=True, ge=1)] | Annotated[str, Field(min_length=1)],
        BeforeValidator(_known_step),
    ]


# A selection is known by the key that only its kind has; a new kind is a class and a line here.
SELECTIONS: dict[str, type[Strict]] = {
    "text": TextSelection,
    "click": ClickSelection,
    "patch": PatchSelection,
    "file": FileSelection,
    "step": MovedSelection,
}
StepSelection = TextSelection | ClickSelection | PatchSelection | FileSelection | MovedSelection


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
    | Annotated[FileSelection, Tag("file")]
    | Annotated[MovedSelection, Tag("step")],
    Discriminator(_selection_kind),
]
