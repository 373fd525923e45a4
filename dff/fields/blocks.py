"""The two building blocks of every field, per implementation: a grid encoding and an MLP."""

from __future__ import annotations

import importlib.util
from typing import Literal, cast

import torch
from nerfstudio.field_components.encodings import HashEncoding as NerfstudioHashEncoding
from nerfstudio.field_components.mlp import MLP as NerfstudioMLP
from torch import nn

from dff.errors import DffError
from dff.fields.hash_encoding import GridShape, HashEncoding

Implementation = Literal["auto", "tcnn", "torch"]
ResolvedImplementation = Literal["tcnn", "torch"]


def tcnn_is_usable() -> bool:
    """Whether tiny-cuda-nn imports and a CUDA device is there."""
    if not torch.cuda.is_available() or importlib.util.find_spec("tinycudann") is None:
        return False
    try:
        importlib.import_module("tinycudann")
    except (ImportError, OSError):
        return False
    return True


def resolve_implementation(implementation: str) -> ResolvedImplementation:
    """Turn ``auto`` into what this machine can run.

    Raises:
        DffError: ``tcnn`` was asked for and cannot run here, or the name is not known.
    """
    if implementation not in ("auto", "tcnn", "torch"):
        raise DffError(f"unknown implementation '{implementation}': choose auto, tcnn or torch")
    if implementation == "torch":
        return "torch"
    if tcnn_is_usable():
        return "tcnn"
    if implementation == "tcnn":
        raise DffError(
            "implementation=tcnn needs a CUDA device and the tinycudann package; "
            "neither is needed with --pipeline.model.implementation torch (or auto)"
        )
    return "torch"


def grid_encoding(shape: GridShape, implementation: ResolvedImplementation) -> nn.Module:
    """Multiresolution hash encoding ``(..., 3)`` in the unit cube to ``(..., shape.out_dim)``."""
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


def mlp(
    in_dim: int,
    hidden_dim: int,
    out_dim: int,
    hidden_layers: int,
    implementation: ResolvedImplementation,
) -> nn.Module:
    """ReLU network with ``hidden_layers`` hidden layers and a linear last layer."""
    network = NerfstudioMLP(
        in_dim=in_dim,
        num_layers=hidden_layers + 1,
        layer_width=hidden_dim,
        out_dim=out_dim,
        activation=nn.ReLU(),
        implementation=implementation,
    )
    return cast(nn.Module, network)
