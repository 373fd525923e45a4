"""What all panels do with their elements."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

# A dropdown's entry for none of what there is.
NOTHING = "-"


def put(handle: Any, **properties: Any) -> None:
    """Give an element other properties, and tell browsers of those alone that are others."""
    for name, value in properties.items():
        before = getattr(handle, name)
        if (tuple(before) if isinstance(value, tuple) else before) != value:
            setattr(handle, name, value)


def offer(dropdown: Any, names: Iterable[str], beginning: tuple[str, ...] = ()) -> None:
    """Give a dropdown other entries; what was chosen stays so where it is still there.

    Args:
        dropdown: the element.
        names: its entries; without any there is `NOTHING` alone.
        beginning: entries before them.
    """
    options = (*beginning, *names) or (NOTHING,)
    chosen = dropdown.value
    if tuple(dropdown.options) != options:
        dropdown.options = options
        put(dropdown, value=chosen if chosen in options else options[0])
