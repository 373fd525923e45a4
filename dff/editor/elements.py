"""What all panels do with their elements."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

# A dropdown's entry for none of what there is.
NOTHING = "-"


def put(handle: Any, **properties: Any) -> None:
    """Give an element other properties; browsers are told of those alone that differ."""
    for name, value in properties.items():
        before = getattr(handle, name)
        if isinstance(value, tuple):
            before = tuple(before)
        if before != value:
            setattr(handle, name, value)


def offer(dropdown: Any, names: Iterable[str]) -> None:
    """Give a dropdown other entries; what is chosen stays so where it is still among them.

    Args:
        dropdown: the element.
        names: its entries; without any there is `NOTHING` alone.
    """
    put(dropdown, options=tuple(names) or (NOTHING,))
