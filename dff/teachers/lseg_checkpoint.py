"""The authors' LSeg checkpoint, read without the packages that wrote it."""

from __future__ import annotations

import pickle
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dff.errors import DffError
from dff.teachers.weights_file import read_weights

PREFIX = "net."

# What torch raises for a file that is none of its own, or half of one.
_UNREADABLE = (
    pickle.UnpicklingError,
    RuntimeError,
    OSError,
    EOFError,
    ValueError,
    LookupError,
)


def read_network(path: Path | None) -> dict[str, Tensor]:
    """The network's tensors in a Lightning checkpoint, names as in the file (``net.*``).

    Entries outside ``net.`` belong to the training and are left out. Half precision becomes
    float32.

    Raises:
        DffError: no path is given, the file is missing or damaged, or holds no such tensors.
    """
    if path is None:
        raise DffError(
            "teacher 'lseg' needs the weights of CLIP-LSeg, the file demo_e200.ckpt that its "
            "authors released (github.com/isl-org/lang-seg): say where it is with "
            "--teacher.checkpoint FILE (in ns-train --pipeline.teacher.checkpoint FILE)"
        )
    try:
        with strangers_as_placeholders(path):
            tensors = read_weights(path, "lseg")
    except TypeError as error:
        # A stranger's object where only plain values can stand, such as in a set.
        raise DffError(
            f"{path} holds more than plain tensors: save its state_dict alone"
        ) from error
    network = {name: tensor for name, tensor in tensors.items() if name.startswith(PREFIX)}
    if not network:
        raise DffError(
            f"{path} holds no LSeg network (no tensor is named {PREFIX}*): "
            "teacher 'lseg' wants the authors' demo_e200.ckpt"
        )
    for name, tensor in network.items():
        network[name] = tensor.float() if tensor.is_floating_point() else tensor
    return network


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
        with suppress(*_UNREADABLE):
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
