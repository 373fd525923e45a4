"""In which line of a text each value stands, which readers of JSON and YAML do not say."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import yaml

_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\],:]|[^\s{}\[\],:"]+')

Keys = tuple[str | int, ...]


def json_line(text: str, path: Keys) -> int | None:
    """Line of the value at ``path``, or of the innermost one around it; None for the whole."""
    best: tuple[int, int | None] = (0, None)
    for place in json_places(text):
        depth = len(place.path)
        if depth > best[0] and place.path == path[:depth]:
            best = (depth, place.line)
    return best[1]


def yaml_line(node: yaml.Node | None, path: Keys) -> int | None:
    """The same, of a YAML text as PyYAML composes it."""
    line = None
    for part in path:
        found = None
        if isinstance(node, yaml.MappingNode):
            found = next((pair for pair in node.value if pair[0].value == part), None)
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int):
            found = (node.value[part],) * 2 if part < len(node.value) else None
        if found is None:
            return line
        line, node = found[0].start_mark.line + 1, found[1]
    return line


class Place(NamedTuple):
    """A value of a JSON text.

    Attributes:
        path: keys and indices that lead to it.
        line: where it, or the key it belongs to, begins; from 1.
        repeated: whether its key was there before.
    """

    path: Keys
    line: int
    repeated: bool


@dataclass
class _Open:
    """An object or a list that has begun."""

    is_object: bool
    index: int = 0
    key: str | None = None
    keys: set[str] = field(default_factory=set)


def json_places(text: str) -> Iterator[Place]:
    """Places of all values, in the order of the text; the top itself is left out.

    Args:
        text: valid JSON. Where it is not, places up to the fault are right.
    """
    stack: list[_Open] = []
    path: list[str | int] = []
    line, last = 1, 0
    for token in _TOKEN.finditer(text):
        line += text.count("\n", last, token.start())
        last = token.start()
        word = token[0]
        top = stack[-1] if stack else None
        if word in "}]":
            if stack:
                stack.pop()
                path = path[: max(len(stack) - 1, 0)]
        elif word == "," and top is not None:
            top.index, top.key = top.index + 1, None
        elif top is not None and top.is_object and top.key is None:
            key = str(json.loads(word, strict=False))
            yield Place((*path, key), line, key in top.keys)
            top.key = key
            top.keys.add(key)
        elif word not in ",:":
            if top is not None and top.key is None:
                yield Place((*path, top.index), line, False)
            if word in "{[":
                if top is not None:
                    path.append(top.index if top.key is None else top.key)
                stack.append(_Open(word == "{"))
