"""Where in a document pydantic found a fault: in what the user wrote, and in our models."""

from __future__ import annotations

import types
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import Tag

from dff.edits.strict import Strict


@dataclass(frozen=True)
class Spot:
    """A place in a document.

    Attributes:
        path: keys and indices from the top of the data, as the user wrote them.
        model: the innermost one on the way; its fields are what could be meant.
        kind: the type that is wanted there, without None; None where nothing is.
        bounds: what pydantic and annotated-types say about its values.
    """

    path: tuple[str | int, ...]
    model: type[Strict]
    kind: Any
    bounds: Sequence[object] = field(default=())

    @property
    def step(self) -> int | None:
        """Index of the step it is in."""
        index = self.path[1] if len(self.path) > 1 and self.path[0] == "steps" else None
        return index if isinstance(index, int) else None

    @property
    def fields(self) -> tuple[str | int, ...]:
        """The path within the step, or the whole one outside of the steps."""
        return self.path if self.step is None else self.path[2:]

    @property
    def range(self) -> tuple[float, float] | None:
        """Lowest and highest number that are allowed."""
        low = [item.ge for item in self.bounds if hasattr(item, "ge")]  # pyright: ignore
        high = [item.le for item in self.bounds if hasattr(item, "le")]  # pyright: ignore
        return (low[0], high[0]) if low and high else None


def locate(loc: Sequence[str | int], model: type[Strict]) -> Spot:
    """Follow pydantic's path from a model down.

    On its way pydantic also names the chosen member of each union, which the user never wrote.
    """
    path: list[str | int] = []
    kind, bounds = _plain(model)
    for part in loc:
        if get_origin(kind) in (Union, types.UnionType):
            members = [member for member in get_args(kind) if _is_called(member, part)]
            kind, bounds = _plain(_union(members))
            continue
        path.append(part)
        if isinstance(kind, type) and issubclass(kind, Strict):
            model = kind
            info = kind.model_fields.get(str(part))
            kind, bounds = (None, []) if info is None else _plain(info.annotation)
            bounds = [*bounds, *_flat(info.metadata if info else [])]
        elif get_origin(kind) is tuple:
            inner = get_args(kind)
            if inner[-1] is Ellipsis:
                kind, bounds = _plain(inner[0])
            else:
                known = isinstance(part, int) and part < len(inner)
                kind, bounds = _plain(inner[int(part)] if known else None)
        else:
            kind, bounds = None, []
    if isinstance(kind, type) and issubclass(kind, Strict):
        model = kind
    return Spot(tuple(path), model, kind, tuple(bounds))


def _plain(annotation: Any) -> tuple[Any, list[object]]:
    """A type without None and its annotations, and those annotations."""
    bounds: list[object] = []
    while True:
        if get_origin(annotation) is Annotated:
            annotation, *metadata = get_args(annotation)
            bounds += _flat(metadata)
            continue
        if get_origin(annotation) in (Union, types.UnionType):
            members = [m for m in get_args(annotation) if m is not type(None)]
            if len(members) == 1:
                annotation = members[0]
                continue
            annotation = _union(members)
        return annotation, bounds


def _union(members: Sequence[Any]) -> Any:
    return Union[tuple(members)] if members else None  # noqa: UP007


def _flat(metadata: Sequence[Any]) -> list[object]:
    """Annotations, with those that a pydantic field holds taken out of it."""
    return [inner for item in metadata for inner in (item, *getattr(item, "metadata", ()))]


def _is_called(member: Any, tag: str | int) -> bool:
    """Whether pydantic may call a member of a union by this tag."""
    kind, bounds = _plain(member)
    tags = [item.tag for item in bounds if isinstance(item, Tag)]
    if tags:
        return tag in tags
    if get_origin(kind) in (Union, types.UnionType):
        return any(_is_called(inner, tag) for inner in get_args(kind))
    fields = getattr(kind, "model_fields", {})
    return any(tag == fields[name].default for name in ("type", "function") if name in fields)
