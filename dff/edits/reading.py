"""Plain data from a JSON or YAML file that may have been written by anybody.

Sizes are bounded, no tags make objects, and aliases are refused: a few lines of nested aliases
unfold to billions of values.
"""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import yaml

from dff.edits import lines
from dff.edits.document import MAX_STEPS
from dff.edits.explain import printable
from dff.edits.strict import MAX_DIGITS
from dff.errors import DffError

MAX_BYTES = 1_000_000
MAX_DEPTH = 100
# A thousand steps with matrices or curves have fewer.
MAX_VALUES = 50_000
TOO_MANY = f"over {MAX_VALUES} values are too many: a document has at most {MAX_STEPS} steps"
# Where systems show what a process has open, as `/dev/stdin` and the shell's `<(...)` are.
OPENED_PIPES = ("/proc/", "/dev/fd/")

# Words and numbers as YAML 1.2's core schema has them, which is what JSON and its schemas mean.
# YAML 1.1, PyYAML's default, would read "no" as false, "12:30" as 750 and "1e-3" as text.
CORE_SCALARS = {
    "null": (r"~|null|Null|NULL|", "~nN\0"),
    "bool": (r"true|True|TRUE|false|False|FALSE", "tTfF"),
    "int": (rf"[-+]?(?:0|[1-9][0-9]{{0,{MAX_DIGITS - 1}}})", "-+0123456789"),
    "float": (
        r"[-+]?(?:\.[0-9]+|[0-9]+\.[0-9]*|[0-9]+(?=[eE]))(?:[eE][-+]?[0-9]+)?"
        r"|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)",
        "-+0123456789.",
    ),
}


@dataclass(frozen=True)
class Written:
    """What a file holds, and where.

    Attributes:
        data: plain values.
        text: as it was read.
        node: what PyYAML composed of it; None for JSON and for nothing.
    """

    data: Any
    text: str
    node: yaml.Node | None = None

    def line(self, path: lines.Keys) -> int | None:
        """The line, from 1, of the value at a path of keys and indices, or of what is around it."""
        if self.node is None:
            return lines.json_line(self.text, path)
        return lines.yaml_line(self.node, path)


def read_data(path: Path) -> Written:
    """Read a ``.json`` file as JSON and any other as YAML.

    Raises:
        DffError: missing or unreadable file, over 1 MB, no UTF-8, broken syntax, a key given
            twice, a YAML alias or tag.
    """
    text, name = _read_text(path), printable(path.name)
    try:
        return _json(text) if path.suffix.lower() == ".json" else _yaml(text)
    except _At as error:
        raise DffError(f"{name}, line {error.line}: {error}") from error
    except json.JSONDecodeError as error:
        raise DffError(f"{name}, line {error.lineno}: not JSON: {error.msg}") from error
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        # To libyaml the end of a text is a line of its own.
        last = text.count("\n")
        where = f", line {min(mark.line, last) + 1}" if mark else ""
        problem = printable(error.problem or error.context or "unreadable")
        raise DffError(f"{name}{where}: not YAML: {problem[:200]}") from error
    except RecursionError as error:
        raise DffError(f"{name} is nested too deeply") from error
    except Exception as error:
        # PyYAML and its C library let through whatever their casts and converters raise.
        raise DffError(f"{name} cannot be read: {printable(str(error))[:200]}") from error


def readable(data: Any, content: bytes) -> bool:
    """Whether plain data, and the bytes it is written as, are small enough to be read again."""
    return len(content) <= MAX_BYTES and _count(data) <= MAX_VALUES


def refuse_named_pipe(path: Path) -> None:
    """Refuse what may wait for ever for a writer; pipes that a shell opened have theirs.

    Raises:
        DffError: it is a named pipe.
    """
    try:
        # Not Path.resolve: a path that cannot be followed is for open() to tell.
        named = path.is_fifo() and not os.path.realpath(path).startswith(OPENED_PIPES)
    except ValueError:
        return
    if named:
        raise DffError(f"{printable(str(path))} is a named pipe, no file: give the document itself")


class _At(Exception):
    """Something is wrong in a line."""

    def __init__(self, message: str, line: int) -> None:
        super().__init__(message)
        self.line = line


def _read_text(path: Path) -> str:
    refuse_named_pipe(path)
    try:
        # One byte more than allowed is enough to know, whatever the file claims to be.
        with path.open("rb") as stream:
            content = stream.read(MAX_BYTES + 1)
    except FileNotFoundError as error:
        raise DffError(f"no such edit document: {printable(str(path))}") from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise DffError(f"cannot read {printable(str(path))}: {reason}") from error
    name = printable(path.name)
    if len(content) > MAX_BYTES:
        raise DffError(f"{name} is over {MAX_BYTES // 10**6} MB: too large for a document")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DffError(f"{name} is not text in UTF-8 (byte {error.start})") from error


def _json(text: str) -> Written:
    if not text.strip():
        return Written(None, text)
    repeated = False

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        nonlocal repeated
        result = dict(pairs)
        repeated = repeated or len(result) < len(pairs)
        return result

    def whole(digits: str) -> int | float:
        return int(digits) if len(digits) <= MAX_DIGITS else float(digits)

    data = json.loads(text, object_pairs_hook=unique, parse_int=whole)
    if _count(data) > MAX_VALUES:
        raise ValueError(TOO_MANY)
    if repeated:
        place = next(place for place in lines.json_places(text) if place.repeated)
        raise _At(f"{str(place.path[-1])[:40]!r} is given twice in one place", place.line)
    return Written(data, text)


def _count(data: Any) -> int:
    count, waiting = 1, [data]
    while waiting:
        value = waiting.pop()
        if isinstance(value, (dict, list)):
            count += len(value)
            waiting += value.values() if isinstance(value, dict) else value
    return count


def _yaml(text: str) -> Written:
    depth = count = 0
    for event in yaml.parse(text, Loader=_DocumentLoader):
        line = event.start_mark.line + 1
        if isinstance(event, yaml.AliasEvent):
            raise _At("aliases (*name) are not allowed", line)
        if getattr(event, "tag", None) is not None:
            raise _At("tags (!name) are not allowed", line)
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        count += isinstance(event, yaml.NodeEvent)
        if depth > MAX_DEPTH:
            raise _At("nested too deeply", line)
        if count > MAX_VALUES:
            raise _At(TOO_MANY, line)
    loader = _DocumentLoader(text)
    try:
        node = loader.get_single_node()
        return Written(None if node is None else loader.construct_document(node), text, node)
    finally:
        loader.dispose()


# The C library reads some five times as fast; it is part of every wheel of PyYAML.
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _DocumentLoader(_Loader):
    """Safe YAML in which words mean what they mean in YAML 1.2, without a key twice."""

    yaml_implicit_resolvers: ClassVar[dict[str, Any]] = {}

    def construct_mapping(self, node, deep=False):
        seen = set()
        for key_node, _ in node.value:
            if isinstance(key_node, yaml.ScalarNode):
                if key_node.value in seen:
                    line = key_node.start_mark.line + 1
                    raise _At(f"{key_node.value[:40]!r} is given twice in one place", line)
                seen.add(key_node.value)
        return super().construct_mapping(node, deep=deep)


for _kind, (_pattern, _first) in CORE_SCALARS.items():
    _DocumentLoader.add_implicit_resolver(
        f"tag:yaml.org,2002:{_kind}",
        re.compile(f"^(?:{_pattern})$"),
        ["" if letter == "\0" else letter for letter in _first],
    )
