"""What all panels do with their elements."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

# A dropdown's entry for none of what there is.
NOTHING = "-"


def put(handle: Any, **properties: Any) -> None:
    """Give an element other properties; browsers are told of those alone that differ."""
    for name, value in properties.items():
        # viser 0.2.7 does not know whether a folder is visible: that always is told.
        before = getattr(handle, name, None)
        if before is not None and isinstance(value, tuple):
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
