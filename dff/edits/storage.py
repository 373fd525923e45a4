"""Edit documents from plain data, from files, and back."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path

import yaml
from pydantic import ValidationError

from dff.edits.document import MAX_STEPS, VERSION, EditDocument
from dff.edits.explain import explain, printable, shown
from dff.edits.reading import CORE_SCALARS, MAX_BYTES, read_data
from dff.errors import DffError
from dff.files import atomic_write


def parse_document(
    data: object,
    source: str = "edit document",
    line: Callable[[tuple[str | int, ...]], int | None] = lambda path: None,
) -> EditDocument:
    """Check plain data (as JSON or YAML gives it) and make a document of it.

    Args:
        data: a mapping with ``version`` and ``steps``.
        source: how to call it in an error message.
        line: in which line of it something stands, by its path of keys and indices.

    Raises:
        DffError: in one line, naming the step, the field and the nearest right name.
    """
    source = printable(source)
    if data is None:
        raise DffError(f"{source} is empty: it needs 'version: {VERSION}' and 'steps'")
    if not isinstance(data, Mapping):
        raise DffError(f"{source} must hold 'version' and 'steps', not {shown(data)}")

    def wrong(path: tuple[str | int, ...], sentence: str) -> DffError:
        number = line(path)
        return DffError(f"{source}{'' if number is None else f', line {number}'}: {sentence}")

    version = data.get("version")
    if "version" not in data:
        raise DffError(f"{source} has no version: begin it with 'version: {VERSION}'")
    if isinstance(version, bool) or not isinstance(version, int) or version != VERSION:
        raise wrong(
            ("version",),
            f"version {shown(version)} is unknown; this dff reads version {VERSION}",
        )
    if "steps" not in data:
        raise DffError(f"{source} has no steps: write 'steps: []' for none")
    steps = data["steps"]
    if isinstance(steps, (list, tuple)) and len(steps) > MAX_STEPS:
        raise wrong(("steps",), f"{len(steps)} steps: at most {MAX_STEPS} are allowed")
    try:
        return EditDocument.model_validate(dict(data))
    except ValidationError as error:
        fault = explain(error, data)
        raise wrong(fault.path, fault.sentence) from error
    except RecursionError as error:
        raise DffError(f"{source} is nested too deeply") from error


def load_document(path: Path | str) -> EditDocument:
    """Read a document from a ``.json`` file, or from YAML under any other name.

    Raises:
        DffError: when the file is missing, unreadable, over 1 MB, neither JSON nor YAML, or no
            edit document; with the line.
    """
    path = Path(path)
    written = read_data(path)
    return parse_document(written.data, path.name, written.line)


def save_document(document: EditDocument, path: Path | str) -> None:
    """Write a document as JSON (``.json``) or YAML (any other name); loading it gives it back.

    The write is atomic: the file holds either its old content or the whole new one.

    Raises:
        DffError: when the file cannot be written, or would be over 1 MB.
    """
    path = Path(path)
    content = document_text(document, path).encode("utf-8")
    if len(content) > MAX_BYTES:
        raise DffError(f"{path.name} would be over {MAX_BYTES // 10**6} MB: too large to be read")
    with atomic_write(path) as stream:
        stream.write(content)


def document_text(document: EditDocument, path: Path) -> str:
    """What the file of a document holds: JSON (``.json``) or YAML (any other name)."""
    data = document.model_dump(mode="json", exclude_none=True)
    if path.suffix.lower() == ".json":
        return json.dumps(data, indent=2, ensure_ascii=False) + "\n"
    return yaml.dump(data, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100)


class _Dumper(yaml.SafeDumper):
    """Puts texts in quotes that are numbers to YAML 1.1 or to 1.2."""


_Dumper.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(f"^(?:{CORE_SCALARS['float'][0]})$"),
    list(CORE_SCALARS["float"][1]),
)
