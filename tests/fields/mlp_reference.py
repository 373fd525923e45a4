"""What the MLPs of every implementation are compared with: nerfstudio's torch MLP in float64."""

from __future__ import annotations

from typing import Any

import torch
from nerfstudio.field_components.mlp import MLP
from torch import Tensor, nn

SHAPES = [  # in, width, out, layers
    (32, 64, 16, 2),  # density
    (31, 64, 3, 3),  # colour
    (8, 16, 1, 2),  # proposals
    (48, 64, 64, 2),  # features
    (1, 1, 1, 1),
    (7, 9, 5, 4),
    (16, 17, 33, 2),
]


def reference(network: MLP) -> MLP:
    """The same network by torch, in float64."""
    sizes = network.in_dim, network.num_layers, network.layer_width, network.out_dim
    wanted = MLP(*sizes, activation=nn.ReLU(), implementation="torch")
    wanted.load_state_dict(network.state_dict())
    return wanted.double().to(next(network.parameters()).device)


def values_and_gradients(network: MLP, inputs: Tensor, upstream: Tensor) -> list[Any]:
    """Values, gradients of the inputs, and of every parameter."""
    network.zero_grad()
    leaf = inputs.detach().clone().requires_grad_()
    result = network(leaf)
    result.backward(upstream)
    return [result.detach(), leaf.grad, *(each.grad for each in network.parameters())]


def check_near(found: list[Tensor], expected: list[Tensor], what: object = "") -> None:
    """That float32 results are the float64 ones, as far as float32 goes."""
    for one, other in zip(found, expected, strict=True):
        assert one.dtype == torch.float32
        scale = float(other.abs().max()) if other.numel() else 1.0
        torch.testing.assert_close(
            one.double(),
            other,
            rtol=1e-5,
            atol=2e-6 * max(scale, 1.0),
            msg=lambda text: f"{what}: {text}",
        )
