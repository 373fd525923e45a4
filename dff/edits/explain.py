"""What is wrong with a document, in one line: the step, the field, and what was probably meant."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import ValidationError

from dff.edits.document import SELECTIONS, EditDocument, EditStep
from dff.edits.operations import OPERATIONS, RECOLOR_FUNCTIONS, Strict

# A misspelt field is both an unknown one and a missing one: say the first, which is the cause.
_CAUSES_FIRST = {"extra_forbidden": 0, "union_tag_invalid": 0, "missing": 2}
_NUMBER_ERRORS = {
    "float_type",
    "float_parsing",
    "finite_number",
    "greater_than_equal",
    "less_than_equal",
}
_MUST_BE = {
    "bool_type": "true or false",
    "model_attributes_type": "a mapping",
    "model_type": "a mapping",
    "string_type": "text",
    "tuple_type": "a list",
}


def explain(error: ValidationError, data: Mapping[Any, Any]) -> str:
    """Describe the first fault of a document."""
    details = error.errors(include_url=False)
    first_step = min(_step_of(d) for d in details)
    chosen = min(
        (d for d in details if _step_of(d) == first_step),
        key=lambda d: _CAUSES_FIRST.get(d["type"], 1),
    )
    step, model, fields = _locate(chosen["loc"])
    place = ".".join(str(field)[:40] for field in fields)
    where = f"step {step + 1}{_step_name(data, step)}" if step is not None else ""
    sentence = _sentence(chosen, model, place, fields)
    return " ".join(f"{where}: {sentence}".removeprefix(": ").split())


def nearest(word: object, known: Iterable[str]) -> str:
    """`` (did you mean 'x'?)`` or the list of what is known."""
    known = list(known)
    close = difflib.get_close_matches(str(word)[:100], known, n=1, cutoff=0.6)
    return f"did you mean {close[0]!r}?" if close else f"known: {', '.join(known)}"


def shown(value: object) -> str:
    """A value in a message: short, and only where showing it is safe and useful."""
    if value is None or isinstance(value, (bool, float)):
        return repr(value)
    if isinstance(value, int):
        return repr(value) if abs(value) < 10**20 else "a huge number"
    if isinstance(value, str):
        return repr(value[:40])
    return f"a {type(value).__name__}"


def _sentence(detail: Any, model: type[Strict], place: str, fields: list[Any]) -> str:
    kind, value = detail["type"], detail["input"]
    last = fields[-1] if fields else ""
    if kind == "extra_forbidden":
        return f"unknown field {place!r}; {nearest(last, model.model_fields)}"
    if kind == "missing":
        return f"{place} is missing"
    if kind == "union_tag_invalid":
        names = [*OPERATIONS, "recolor"] if model is EditStep else list(RECOLOR_FUNCTIONS)
        what = "operation" if model is EditStep else "colour function"
        return (
            f"unknown {what} {shown(detail['ctx']['tag'])}; {nearest(detail['ctx']['tag'], names)}"
        )
    if kind == "union_tag_not_found":
        return _without_tag(model, last, value)
    if kind in _NUMBER_ERRORS:
        return f"{place} must be a number{_range(model, fields)}, not {shown(value)}"
    if kind in _MUST_BE:
        return f"{place} must be {_MUST_BE[kind]}, not {shown(value)}".removeprefix(" ")
    message = detail["msg"].removeprefix("Value error, ")
    return f"{place}: {message}" if place else message


def _without_tag(model: type[Strict], last: object, value: object) -> str:
    if last == "selection":
        names = ", ".join(SELECTIONS)
        hint = ""
        if isinstance(value, Mapping) and value:
            guesses = (difflib.get_close_matches(str(k)[:100], SELECTIONS, n=1) for k in value)
            hint = next((f" (did you mean {g[0]!r}?)" for g in guesses if g), "")
        return f"selection must say what is selected by exactly one of: {names}{hint}"
    if not isinstance(value, Mapping):
        return f"operation must be a mapping with 'type', not {shown(value)}"
    if value.get("type") == "recolor":
        return f"operation.function is missing: one of {', '.join(RECOLOR_FUNCTIONS)}"
    return f"operation.type is missing: one of {', '.join([*OPERATIONS, 'recolor'])}"


def _locate(loc: tuple[Any, ...]) -> tuple[int | None, type[Strict], list[Any]]:
    """Split pydantic's path into the step's index, the model at fault, and the field's path.

    In the path pydantic names the chosen member of each union; the user never wrote those.
    """
    rest = list(loc)
    if rest[:1] != ["steps"] or len(rest) < 2 or not isinstance(rest[1], int):
        return None, EditDocument, rest
    step, rest = rest[1], rest[2:]
    model: type[Strict] = EditStep
    fields: list[Any] = rest[:1]
    rest = rest[1:]
    if fields == ["selection"] and rest:
        model = SELECTIONS.get(rest.pop(0), model)
    elif fields == ["operation"] and rest:
        tag = rest.pop(0)
        if tag == "recolor":
            model = RECOLOR_FUNCTIONS["hue"].__mro__[1]
            if rest:
                model = RECOLOR_FUNCTIONS.get(rest.pop(0), model)
        else:
            model = OPERATIONS.get(tag, model)
    return step, model, fields + rest


def _range(model: type[Strict], fields: list[Any]) -> str:
    """`` from LOW to HIGH`` for the field at fault; colours are lists of channels in [0, 1]."""
    if fields and isinstance(fields[-1], int):
        return " from 0 to 1"
    info = model.model_fields.get(str(fields[-1])) if fields else None
    metadata = list(info.metadata) if info else []
    for argument in getattr(info.annotation, "__args__", ()) if info else ():
        metadata += getattr(argument, "__metadata__", ())
    for item in list(metadata):
        metadata += getattr(item, "metadata", [])
    low = next((item.ge for item in metadata if hasattr(item, "ge")), None)
    high = next((item.le for item in metadata if hasattr(item, "le")), None)
    return f" from {low:g} to {high:g}" if low is not None and high is not None else ""


def _step_of(detail: Any) -> int:
    loc = detail["loc"]
    return loc[1] if len(loc) > 1 and loc[0] == "steps" and isinstance(loc[1], int) else -1


def _step_name(data: Mapping[Any, Any], step: int) -> str:
    try:
        name = data["steps"][step]["name"]
    except (KeyError, IndexError, TypeError):
        return ""
    return f" ({name[:40]!r})" if isinstance(name, str) else ""
