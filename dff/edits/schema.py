"""The JSON Schema of edit documents, for editors that complete and check while one types."""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterator
from typing import Any

import docstring_parser

from dff.edits.document import EditDocument
from dff.edits.strict import Strict

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def schema_text() -> str:
    """The schema as a JSON text.

    It accepts every document that `dff.edits.storage.parse_document` accepts, and a few more: that
    points of curves rise, that a matrix is rigid and that steps refer to earlier ones is beyond
    JSON Schema.
    """
    schema = {"$schema": DIALECT, **EditDocument.model_json_schema()}
    models = {model.__name__: model for model in _models(Strict)}
    for part in (schema, *schema["$defs"].values()):
        _describe(part, models[part["title"]])
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def _models(base: type[Strict]) -> Iterator[type[Strict]]:
    for model in base.__subclasses__():
        yield model
        yield from _models(model)


def _describe(schema: dict[str, Any], model: type[Strict]) -> None:
    """What docstrings say of a model and of each of its fields, where an editor shows it."""
    says = docstring_parser.parse(inspect.getdoc(model) or "")
    about = [says.short_description, says.long_description]
    schema["description"] = _plain("\n\n".join(text for text in about if text))
    for base in model.__mro__:
        for field in docstring_parser.parse(base.__doc__ or "").params:
            for name in field.arg_name.split(", "):
                described = schema["properties"].get(name, {})
                described.setdefault("description", _plain(field.description or ""))


def _plain(text: str) -> str:
    """Without the line breaks and marks of a docstring."""
    paragraphs = [" ".join(part.split()) for part in text.split("\n\n")]
    return "\n\n".join(paragraphs).replace("``", "")
