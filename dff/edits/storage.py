"""Edit documents from plain data, from files, and back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import yaml
from pydantic import ValidationError

from dff.edits.document import VERSION, EditDocument
from dff.edits.explain import explain, shown
from dff.edits.reading import read_data
from dff.errors import DffError
from dff.files import atomic_write

MAX_STEPS = 1000


def parse_document(data: object, source: str = "edit document") -> EditDocument:
    """Check plain data (as JSON or YAML gives it) and make a document of it.

    Args:
        data: a mapping with ``version`` and ``steps``.
        source: how to call it in an error message.

    Raises:
        DffError: in one line, naming the step, the field and the nearest right name.
    """
    if data is None:
        raise DffError(f"{source} is empty: it needs 'version: 1' and 'steps'")
    if not isinstance(data, Mapping):
        raise DffError(f"{source} must hold 'version' and 'steps', not a {type(data).__name__}")
    version = data.get("version")
    if "version" not in data:
        raise DffError(f"{source} has no version: begin it with 'version: {VERSION}'")
    if isinstance(version, bool) or not isinstance(version, int) or version != VERSION:
        raise DffError(
            f"{source}: version {shown(version)} is unknown; this dff reads version {VERSION}"
        )
    if "steps" not in data:
        raise DffError(f"{source} has no steps: write 'steps: []' for none")
    steps = data["steps"]
    if isinstance(steps, (list, tuple)) and len(steps) > MAX_STEPS:
        raise DffError(f"{source} has {len(steps)} steps: at most {MAX_STEPS} are allowed")
    try:
        return EditDocument.model_validate(dict(data))
    except ValidationError as error:
        raise DffError(f"{source}: {explain(error, data)}") from error
    except RecursionError as error:
        raise DffError(f"{source} is nested too deeply") from error


def load_document(path: Path | str) -> EditDocument:
    """Read a document from a ``.json`` file, or from YAML under any other name.

    Raises:
        DffError: when the file is missing, unreadable, over 1 MB, neither JSON nor YAML, or no
            edit document.
    """
    path = Path(path)
    return parse_document(read_data(path), source=path.name)


def save_document(document: EditDocument, path: Path | str) -> None:
    """Write a document as JSON (``.json``) or YAML (any other name); loading it gives it back.

    The write is atomic: the file holds either its old content or the whole new one.

    Raises:
        DffError: when the file cannot be written.
    """
    path = Path(path)
    data = document.model_dump(mode="json", exclude_none=True)
    if path.suffix.lower() == ".json":
        text = json.dumps(data, indent=2, ensure_ascii=False) + "\n"
    else:
        text = yaml.safe_dump(data, sort_keys=False, allow_unicode=True, width=100)
    with atomic_write(path) as stream:
        stream.write(text.encode("utf-8"))
