"""What is wrong with a document, in one line: the step, the field, and what was probably meant."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_args

from pydantic import ValidationError

from dff.edits.document import EditDocument
from dff.edits.locate import Spot, locate
from dff.edits.operations import OPERATIONS, RECOLOR_FUNCTIONS
from dff.edits.selections import SELECTIONS
from dff.edits.strict import MAX_DIGITS, Looks, Strict

# A misspelt field is both an unknown one and a missing one, and a list with a wrong entry is also
# too short without it: say the cause.
_CAUSES_FIRST = {"extra_forbidden": 0, "union_tag_invalid": 0, "missing": 2, "too_short": 3}
_NUMBER_ERRORS = {
    "float_type",
    "float_parsing",
    "finite_number",
    "int_type",
    "int_from_float",
    "int_parsing_size",
    "greater_than_equal",
    "less_than_equal",
}
_MUST_BE = {
    "bool_type": "true or false",
    "model_attributes_type": "a mapping",
    "model_type": "a mapping",
    "string_type": "text",
    "string_unicode": "text in UTF-8",
}


# Other people's words for operations.
_SYNONYMS = {
    "move": "transform",
    "translate": "transform",
    "rotate": "transform",
    "scale": "transform",
    "copy": "duplicate",
    "clone": "duplicate",
    "array": "duplicate",
    "remove": "delete",
    "hide": "delete",
    "keep": "extract",
    "isolate": "extract",
    "add": "insert",
    "swap": "replace",
    "paint": "repaint",
}


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong.

    Attributes:
        path: where in the data, as keys and indices.
        sentence: names the step and the field; one line, safe to print.
    """

    path: tuple[str | int, ...]
    sentence: str


def explain(
    error: ValidationError, data: Mapping[Any, Any], model: type[Strict] = EditDocument
) -> Fault:
    """Describe the first fault of a document, or of another model made from ``data``."""
    details = error.errors(include_url=False)
    first_step = min(_step_of(d) for d in details)
    chosen = min(
        (d for d in details if _step_of(d) == first_step),
        key=lambda d: _CAUSES_FIRST.get(d["type"], 1),
    )
    spot = locate(_loc(chosen), model)
    where = "" if spot.step is None else f"step {spot.step + 1}{_step_name(data, spot.step)}: "
    return Fault(spot.path, printable(where + _sentence(chosen, spot, model)))


def printable(text: str) -> str:
    """Text in one line, with what would steer a terminal written out."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in " ".join(text.split()))


def nearest(word: object, known: Iterable[str]) -> str:
    """``did you mean 'x'?`` or the list of what is known."""
    names = {name.lower(): name for name in known}
    close = difflib.get_close_matches(str(word)[:100].lower(), names, n=1, cutoff=0.6)
    return f"did you mean {names[close[0]]!r}?" if close else f"known: {', '.join(names.values())}"


def shown(value: object) -> str:
    """A value in a message: short, and only where showing it is safe and useful."""
    if value is None:
        return "null"
    if isinstance(value, (bool, float)):
        return repr(value)
    if isinstance(value, int):
        return repr(value) if abs(value) < 10**20 else "a huge number"
    if isinstance(value, str):
        return repr(value[:40])
    return "a mapping" if isinstance(value, Mapping) else f"a {type(value).__name__}"


def _sentence(detail: Any, spot: Spot, model: type[Strict]) -> str:
    kind, value = detail["type"], detail["input"]
    place = _place(spot.fields)
    if kind == "extra_forbidden":
        known = nearest(spot.path[-1], spot.model.model_fields)
        return f"unknown field {place!r}; {known}"
    if kind == "invalid_key":
        where = _place(spot.fields[:-1]) or "document"
        return f"{where}: names of fields are text, not {shown(spot.path[-1])}"
    if kind == "missing":
        if isinstance(spot.path[-1], int):
            # A list of fixed length is too short; the value that pydantic gives is the list.
            return _wrong_list(locate(detail["loc"][:-1], model), value)
        return f"{place} is missing"
    if kind == "too_long" and spot.path == ("steps",):
        return f"{detail['ctx']['actual_length']} steps: at most {detail['ctx']['max_length']}"
    if kind in ("too_long", "too_short", "tuple_type"):
        return _wrong_list(spot, value)
    if kind in ("union_tag_invalid", "union_tag_not_found"):
        return _wrong_kind(spot, value)
    if kind == "literal_error":
        return _wrong_choice(place, spot, value)
    if kind in _NUMBER_ERRORS:
        return _wrong_number(place, spot, value)
    if kind == "string_too_short":
        return f"{place} is empty"
    if kind == "string_too_long":
        most = detail["ctx"]["max_length"]
        return f"{place} must be at most {most} characters long, not {len(value)}"
    if kind in _MUST_BE:
        in_quotes = kind == "string_type" and isinstance(value, (bool, int, float))
        hint = " (put it in quotes)" if in_quotes else ""
        return f"{place} must be {_MUST_BE[kind]}, not {shown(value)}{hint}".removeprefix(" ")
    message = detail["msg"].removeprefix("Value error, ")
    return f"{place}: {message}" if place else message


def _wrong_number(place: str, spot: Spot, value: object) -> str:
    what = "a whole number" if spot.kind is int else "a number"
    between = f" from {spot.range[0]:g} to {spot.range[1]:g}" if spot.range else ""
    if not isinstance(value, str) or not _is_number(value):
        return f"{place} must be {what}{between}, not {shown(value)}"
    # One with too many digits stays text as it is read, quotes or not.
    got = f"{shown(value)} (without quotes)" if len(value) <= MAX_DIGITS else "a huge number"
    return f"{place} must be {what}{between}, not {got}"


def _wrong_choice(place: str, spot: Spot, value: object) -> str:
    known = [str(name) for name in get_args(spot.kind)]
    what = _looks(spot) or " or ".join([", ".join(known[:-1]), known[-1]])
    close = difflib.get_close_matches(value[:100], known, n=1) if isinstance(value, str) else []
    hint = f"; did you mean {close[0]!r}?" if close else ""
    return f"{place} must be {what}, not {shown(value)}{hint}"


def _looks(spot: Spot) -> str:
    """How what is wanted is written; the outermost says most."""
    looks = [item.text for item in spot.bounds if isinstance(item, Looks)]
    return looks[-1] if looks else ""


def _wrong_list(spot: Spot, value: object) -> str:
    what = _looks(spot) or "a list"
    got = f"a list of {len(value)}" if isinstance(value, (list, tuple)) else shown(value)
    hint = " (put it in quotes)" if "text" in what and isinstance(value, (bool, int, float)) else ""
    return f"{_place(spot.fields)} must be {what}, not {got}{hint}".removeprefix(" ")


def _wrong_kind(spot: Spot, value: object) -> str:
    """A mapping of no known kind: an operation, a colour function, or a selection."""
    place, last = _place(spot.fields), spot.fields[-1]
    if last != "operation":
        return _wrong_selection(place, value)
    if not isinstance(value, Mapping):
        return f"operation must be a mapping with 'type', not {shown(value)}"
    recolor = value.get("type") == "recolor"
    key, what = ("function", "colour function") if recolor else ("type", "operation")
    known = list(RECOLOR_FUNCTIONS) if recolor else [*OPERATIONS, "recolor"]
    if key in value:
        word = str(value[key])[:100].lower()
        also = _SYNONYMS.get(word)
        meant = f"did you mean {also!r}?" if also else nearest(word, known)
        return f"unknown {what} {shown(value[key])}; {meant}"
    return f"operation.{key} is missing: one of {', '.join(known)}"


def _wrong_selection(place: str, value: object) -> str:
    hint = ""
    if isinstance(value, Mapping) and value:
        given = [kind for kind in SELECTIONS if kind in value]
        if len(given) > 1:
            return f"{place} says {given[0]!r} and {given[1]!r}: only one of them"
        guesses = (difflib.get_close_matches(str(k)[:100], SELECTIONS, n=1) for k in value)
        hint = next((f" (did you mean {g[0]!r}?)" for g in guesses if g), "")
    elif not isinstance(value, Mapping):
        hint = f", not {shown(value)}"
    names = ", ".join(kind for kind in SELECTIONS if not (place.endswith("by") and kind == "step"))
    return f"{place} must say what is selected by exactly one of: {names}{hint}"


def _place(fields: Iterable[str | int]) -> str:
    return ".".join(str(name)[:40] for name in fields)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _loc(detail: Any) -> Sequence[str | int]:
    """Where pydantic found it; what concerns several steps is found by their list, and says it."""
    return detail["ctx"]["loc"] if detail["type"] == "reference" else detail["loc"]


def _step_of(detail: Any) -> int:
    loc = _loc(detail)
    return loc[1] if len(loc) > 1 and loc[0] == "steps" and isinstance(loc[1], int) else -1


def _step_name(data: Mapping[Any, Any], step: int) -> str:
    try:
        found = data["steps"][step]
    except (KeyError, IndexError, TypeError):
        return ""
    name = found.get("name") if isinstance(found, Mapping) else getattr(found, "name", None)
    return f" ({name[:40]!r})" if isinstance(name, str) else ""
