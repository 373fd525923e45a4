"""What every model of a document is made of: checked on entry, unchanged afterwards."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from typing import Annotated, Any, NamedTuple, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from dff.errors import DffError

Made = TypeVar("Made")

MAX_FILE_NAME = 500
# Longer ones are no numbers of ours, and converting them takes time that grows with their square.
MAX_DIGITS = 100

Flag = Annotated[bool, Field(strict=True)]


class Looks(NamedTuple):
    """Annotates a list: how it is written, for messages."""

    text: str


def _kinds_are_required(schema: dict[str, Any]) -> None:
    """In a JSON Schema, what tells kinds apart has to be there, though here it has a default."""
    tags = [name for name, field in schema.get("properties", {}).items() if "const" in field]
    if tags:
        schema["required"] = [*tags, *schema.get("required", [])]


class Strict(BaseModel):
    """Data from a document: unknown fields are refused and values never change after checking."""

    model_config = ConfigDict(extra="forbid", frozen=True, json_schema_extra=_kinds_are_required)


def bounded(low: float, high: float) -> object:
    """A field for a finite number in [low, high]; text and true/false are no numbers."""
    return Field(strict=True, ge=low, le=high, allow_inf_nan=False)


def plain_text(value: str) -> str:
    """Text that may be printed in a terminal.

    Raises:
        ValueError: it holds control characters or line breaks.
    """
    if any(unicodedata.category(char) in ("Cc", "Cs", "Zl", "Zp") for char in value):
        raise ValueError(f"{value[:40]!r} holds control characters or line breaks")
    return value


Line = Annotated[str, Field(max_length=200), AfterValidator(plain_text)]
FileName = Annotated[str, Field(min_length=1, max_length=MAX_FILE_NAME), AfterValidator(plain_text)]


def as_value_error(make: Callable[[], Made]) -> Made:
    """Call; pydantic adds the place in the document to a ValueError, and only to that."""
    try:
        return make()
    except DffError as error:
        raise ValueError(str(error)) from error
