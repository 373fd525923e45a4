"""The two building blocks of every field, per implementation: a grid encoding and an MLP."""

from __future__ import annotations

import importlib.util
from functools import cache
from typing import Literal, cast

import torch
from jaxtyping import Float
from nerfstudio.field_components.encodings import HashEncoding as NerfstudioHashEncoding
from nerfstudio.field_components.mlp import MLP as NerfstudioMLP
from torch import Tensor, nn

from dff.errors import DffError, notice_in_one_line
from dff.fields.compiled_kernel import load_kernels
from dff.fields.hash_encoding import GridShape, HashEncoding, interpolate_torch
from dff.fields.hash_encoding_cpu import interpolate_cpu
from dff.fields.mlp_cpu import CompiledMLP

ResolvedImplementation = Literal["tcnn", "triton", "cpu", "torch"]
# What each is, for people.
DESCRIPTIONS = {
    "tcnn": "tiny-cuda-nn",
    "triton": "Triton kernels for hash encoding and MLPs, torch for the rest",
    "cpu": "compiled CPU kernels for hash encoding and MLPs, torch for the rest",
    "torch": "pure torch",
}


def tcnn_is_usable() -> bool:
    """Whether tiny-cuda-nn imports and a CUDA device is there."""
    if not torch.cuda.is_available() or importlib.util.find_spec("tinycudann") is None:
        return False
    try:
        importlib.import_module("tinycudann")
    except (ImportError, OSError):
        return False
    return True


@cache
def triton_is_usable() -> bool:
    """Whether the Triton kernels run on the CUDA device here, and give what torch gives."""
    if not torch.cuda.is_available() or importlib.util.find_spec("triton") is None:
        return False
    from dff.fields.hash_encoding_triton import interpolate_triton
    from dff.fields.mlp_triton import Network, difference_from_torch

    shape = GridShape((4, 16), 9, 2)
    positions = torch.linspace(0.0, 1.0, 99, device="cuda").view(-1, 3)
    table = torch.linspace(-1.0, 1.0, shape.offsets()[-1] * 2, device="cuda").view(-1, 2)
    try:
        found = interpolate_triton(positions, table, shape)
        # The largest that dff builds: what asks less of the device will run as well.
        difference = difference_from_torch(Network(3, 64, 64, 64), 99, "cuda")
    except Exception as error:  # whatever a compiler may say of a device that it does not know
        reason = " ".join(str(error).split())[:120]
        notice_in_one_line(f"Triton does not run here, torch does: {reason}")
        return False
    wanted = interpolate_torch(positions, table, shape)
    if not difference < 1e-4 or not torch.allclose(found, wanted, atol=1e-5):
        notice_in_one_line("Triton's results are not torch's on this device: torch is used")
        return False
    return True


def resolve_implementation(implementation: str) -> ResolvedImplementation:
    """Turn ``auto`` into what this machine can run: tcnn, Triton, the CPU kernel, or torch.

    On a GPU ``cpu`` runs as ``torch`` does, and off it ``triton`` as ``cpu``: each leaves to the
    next what it cannot do.

    Raises:
        DffError: what was asked for cannot run here, or the name is not known.
    """
    if implementation not in ("auto", *DESCRIPTIONS):
        raise DffError(
            f"unknown implementation '{implementation}': choose auto, tcnn, triton, cpu or torch"
        )
    asked = implementation != "auto"
    if implementation == "torch":
        return "torch"
    if implementation in ("auto", "tcnn") and tcnn_is_usable():
        return "tcnn"
    if implementation == "tcnn":
        raise DffError(
            "implementation=tcnn needs a CUDA device and the tinycudann package; "
            "neither is needed with --pipeline.model.implementation torch (or auto)"
        )
    if implementation in ("auto", "triton") and triton_is_usable():
        return "triton"
    if implementation == "triton":
        raise DffError(
            "implementation=triton needs a CUDA device that Triton knows: "
            "give --pipeline.model.implementation auto"
        )
    if load_kernels() is not None:
        return "cpu"
    if asked:
        raise DffError(
            "implementation=cpu needs a C compiler (cc, gcc or clang, or name one in CC): "
            "install one, or give --pipeline.model.implementation auto"
        )
    return "torch"


def interpolate_on_device(
    positions: Float[Tensor, "points 3"], table: Float[Tensor, "rows f"], shape: GridShape
) -> Float[Tensor, "points out"]:
    """By Triton on CUDA, else as `interpolate_cpu`."""
    if positions.dtype == table.dtype == torch.float32 and positions.is_cuda and table.is_cuda:
        from dff.fields.hash_encoding_triton import interpolate_triton

        return interpolate_triton(positions, table, shape)
    return interpolate_cpu(positions, table, shape)


def layout_of(implementation: ResolvedImplementation) -> Literal["tcnn", "torch"]:
    """How the parameters lie: checkpoints of one layout can be loaded as any of that layout."""
    return "tcnn" if implementation == "tcnn" else "torch"


def grid_encoding(shape: GridShape, implementation: ResolvedImplementation) -> nn.Module:
    """Multiresolution hash encoding ``(..., 3)`` in the unit cube to ``(..., shape.out_dim)``."""
    if implementation == "triton":
        return HashEncoding(shape, interpolation=interpolate_on_device)
    if implementation == "cpu":
        return HashEncoding(shape, interpolation=interpolate_cpu)
    if implementation == "torch":
        return HashEncoding(shape)
    return NerfstudioHashEncoding(
        num_levels=shape.levels,
        min_res=shape.resolutions[0],
        max_res=shape.resolutions[-1],
        log2_hashmap_size=shape.log2_table_size,
        features_per_level=shape.features,
        implementation="tcnn",
    )


def _mlp_class(implementation: ResolvedImplementation) -> type[NerfstudioMLP]:
    if implementation == "triton":
        from dff.fields.mlp_triton import TritonMLP

        return TritonMLP
    return CompiledMLP if implementation == "cpu" else NerfstudioMLP


def mlp(
    in_dim: int,
    hidden_dim: int,
    out_dim: int,
    hidden_layers: int,
    implementation: ResolvedImplementation,
) -> nn.Module:
    """ReLU network with ``hidden_layers`` hidden layers and a linear last layer."""
    network = _mlp_class(implementation)(
        in_dim=in_dim,
        num_layers=hidden_layers + 1,
        layer_width=hidden_dim,
        out_dim=out_dim,
        activation=nn.ReLU(),
        implementation=layout_of(implementation),
    )
    return cast(nn.Module, network)
