"""Plain data from a JSON or YAML file that may have been written by anybody.

Sizes are bounded, no tags make objects, and aliases are refused: a few lines of nested aliases
unfold to billions of values.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml

from dff.errors import DffError

MAX_BYTES = 1_000_000


def read_data(path: Path) -> Any:
    """Read a ``.json`` file as JSON and any other as YAML.

    Raises:
        DffError: missing or unreadable file, over 1 MB, no UTF-8, broken syntax, a key given
            twice, a YAML alias.
    """
    text = _read_text(path)
    try:
        if path.suffix.lower() == ".json":
            return json.loads(text, object_pairs_hook=_unique_pairs) if text.strip() else None
        return yaml.load(text, Loader=_DocumentLoader)
    except DffError as error:
        raise DffError(f"{path.name}: {error}") from error
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise DffError(f"{path.name} is not JSON: {error.msg} at {where}") from error
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f" at line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        problem = _one_line(error.problem or error.context or "unreadable")
        raise DffError(f"{path.name} is not YAML: {problem}{where}") from error
    except RecursionError as error:
        raise DffError(f"{path.name} is nested too deeply") from error
    except Exception as error:
        # PyYAML's converters of tagged scalars (!!int, !!timestamp ...) let through whatever their
        # regular expressions and casts raise, from IndexError to OverflowError.
        raise DffError(f"{path.name} cannot be read: {_one_line(str(error))}") from error


def _read_text(path: Path) -> str:
    try:
        # One byte more than allowed is enough to know, whatever the file claims to be.
        with path.open("rb") as stream:
            content = stream.read(MAX_BYTES + 1)
    except FileNotFoundError as error:
        raise DffError(f"no such edit document: {path}") from error
    except OSError as error:
        raise DffError(f"cannot read {path}: {error.strerror or error}") from error
    if len(content) > MAX_BYTES:
        raise DffError(f"{path.name} is over {MAX_BYTES // 10**6} MB: too large for a document")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DffError(f"{path.name} is not text in UTF-8 (byte {error.start})") from error


def _unique_pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for key, value in pairs:
        if key in result:
            raise DffError(f"{key[:40]!r} is given twice in one place")
        result[key] = value
    return result


class _DocumentLoader(yaml.SafeLoader):
    """Safe YAML without aliases and without a key twice."""

    def compose_node(self, parent, index):
        if self.check_event(yaml.AliasEvent):
            line = self.peek_event().start_mark.line + 1
            raise DffError(f"aliases (*name) are not allowed, line {line}")
        return super().compose_node(parent, index)

    def construct_mapping(self, node, deep=False):
        seen = set()
        for key_node, _ in node.value:
            if isinstance(key_node, yaml.ScalarNode):
                if key_node.value in seen:
                    line = key_node.start_mark.line + 1
                    raise DffError(f"{key_node.value[:40]!r} is given twice, line {line}")
                seen.add(key_node.value)
        return super().construct_mapping(node, deep=deep)


def _one_line(text: str) -> str:
    return " ".join(text.split())[:200]
