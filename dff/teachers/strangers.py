"""Read checkpoints that hold objects of other packages beside their weights."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import torch

from dff.files import DAMAGED


class _Record:
    """Gives an ordered dictionary, which a ``weights_only`` reader may fill in every way."""

    def __new__(cls, *args: Any) -> Any:
        return OrderedDict()


class _Opaque:
    """Accepts whatever state it is given, and keeps none; for state that is no dictionary."""

    def __new__(cls, *args: Any) -> Any:
        return object.__new__(cls)

    def __setstate__(self, state: Any) -> None:
        pass


@contextmanager
def strangers_as_placeholders(path: Path) -> Iterator[None]:
    """Let ``torch.load(weights_only=True)`` read past objects that are not plain values.

    Training frameworks pickle objects of their own beside the weights (callbacks, settings). Inside
    this context each class or function that the file asks for and torch would refuse is stood in
    for by an empty class: nothing of it is imported or called, and what the file says about it is
    dropped. Where torch is too old for it (before 2.6), or the file is no checkpoint, this does
    nothing and the reader says what is wrong.

    Args:
        path: the checkpoint.
    """
    names: list[str] = []
    if hasattr(torch.serialization, "get_unsafe_globals_in_checkpoint"):
        with suppress(*DAMAGED):
            names = torch.serialization.get_unsafe_globals_in_checkpoint(path)
    if not names:
        yield
        return
    placeholders: list[Any] = [
        # Its own class for each name: callbacks are kept in a dictionary by class.
        (type("Placeholder", (_Opaque if name.startswith("numpy.") else _Record,), {}), name)
        for name in names
    ]
    with torch.serialization.safe_globals(placeholders):
        yield
