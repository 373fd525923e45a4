"""Weights of teachers: read safely, loaded strictly, and named by their content."""

from __future__ import annotations

import hashlib
import pickle
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from dff.errors import DffError
from dff.files import DAMAGED
from dff.teachers.strangers import strangers_as_placeholders

# Where training code puts the network's tensors inside a checkpoint.
_WRAPPERS = ("state_dict", "model", "teacher", "module")


def read_weights(path: Path, teacher: str) -> dict[str, Tensor]:
    """Tensors of a ``.safetensors`` file or of a checkpoint of torch, on the CPU.

    Of a checkpoint only plain tensors are read (``weights_only``), and objects of other packages
    beside them are passed over without being made (see `strangers_as_placeholders`). A dictionary
    under ``state_dict``, ``model``, ``teacher`` or ``module`` is taken for the whole.

    Args:
        path: the file.
        teacher: whose weights they are, for error messages.

    Raises:
        DffError: the file is missing, truncated, holds more than tensors, or no tensors.
    """
    if path.is_dir():
        raise DffError(f"{path} is a folder: give teacher '{teacher}' the weights file in it")
    if not path.exists():
        raise DffError(f"teacher '{teacher}' wants weights at {path}: there is no such file")
    content: Any
    try:
        if path.suffix == ".safetensors":
            content = load_file(str(path))
        else:
            with strangers_as_placeholders(path):
                content = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, TypeError) as error:
        # TypeError: a stranger's object where only plain values can stand, such as in a set.
        raise DffError(
            f"{path} is damaged, or holds more than plain tensors: save its state_dict alone"
        ) from error
    except (SafetensorError, *DAMAGED) as error:
        raise DffError(f"{path} is damaged or no weights file: fetch it again") from error
    for wrapper in _WRAPPERS:
        if isinstance(content, Mapping) and isinstance(content.get(wrapper), Mapping):
            content = content[wrapper]
    if not isinstance(content, Mapping):
        raise DffError(f"{path} holds no weights by name, but a {type(content).__name__}")
    tensors = {str(key): value for key, value in content.items() if isinstance(value, Tensor)}
    if not tensors:
        raise DffError(f"{path} holds no tensors: it is no weights file")
    return tensors


def load_strictly(
    module: nn.Module,
    tensors: Mapping[str, Tensor],
    source: str | Path,
    unused: Sequence[str] = (),
    assign: bool = False,
) -> None:
    """Load weights into a module, every one of them.

    Args:
        module: is changed.
        tensors: by the names of the module's state.
        source: file or model they come from, for error messages.
        unused: names, or beginnings of names ending in ".", that may be there and are left out.
        assign: take the tensors over, with their type, instead of copying their values; for a
            module made on the "meta" device, so that memory holds the weights once.

    Raises:
        DffError: saying how many names are missing, not expected or of another shape, and which
            comes first.
    """
    prefixes = tuple(name for name in unused if name.endswith("."))
    wanted = module.state_dict()
    given = {
        name: tensor
        for name, tensor in tensors.items()
        if name in wanted or not (name in unused or (prefixes and name.startswith(prefixes)))
    }
    missing = [name for name in wanted if name not in given]
    unexpected = [name for name in given if name not in wanted]
    misshapen = [
        name for name in wanted if name in given and given[name].shape != wanted[name].shape
    ]
    problems = [
        f"{len(names)} {what} (first {names[0]!r})"
        for what, names in (("missing", missing), ("unexpected", unexpected))
        if names
    ]
    if misshapen:
        name = misshapen[0]
        problems.append(
            f"{len(misshapen)} of another shape (first {name!r}: {tuple(given[name].shape)}, "
            f"not {tuple(wanted[name].shape)})"
        )
    if problems:
        raise DffError(f"{source} does not fit this architecture: tensors {'; '.join(problems)}")
    if assign:
        module.load_state_dict(given, strict=True, assign=True)
    else:
        module.load_state_dict(given, strict=True)


def fingerprint(tensors: Mapping[str, Tensor], preprocessing: str) -> str:
    """SHA-256 over names, shapes, types and values of tensors and a description of what happens.

    Args:
        tensors: weights; their order does not count.
        preprocessing: everything else that changes the features (sizes, layers, a version).
    """
    digest = hashlib.sha256(preprocessing.encode())
    for name in sorted(tensors):
        value = tensors[name].detach().cpu().contiguous()
        digest.update(f"{name} {tuple(value.shape)} {value.dtype}".encode())
        digest.update(value.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
