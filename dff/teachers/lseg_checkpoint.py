"""The authors' LSeg checkpoint, read without the packages that wrote it."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor

from dff.errors import DffError
from dff.teachers.weights_file import read_weights

PREFIX = "net."


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
    tensors = read_weights(path, "lseg")
    network = {name: tensor for name, tensor in tensors.items() if name.startswith(PREFIX)}
    if not network:
        raise DffError(
            f"{path} holds no LSeg network (no tensor is named {PREFIX}*): "
            "teacher 'lseg' wants the authors' demo_e200.ckpt"
        )
    for name, tensor in network.items():
        network[name] = tensor.float() if tensor.is_floating_point() else tensor
    return network
