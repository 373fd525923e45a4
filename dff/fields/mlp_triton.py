"""Small MLPs in Triton, for CUDA without tiny-cuda-nn: nerfstudio's torch MLP in one kernel.

A block of points goes through all layers inside one program, so that hidden activations never
reach global memory; for gradients they are computed once more instead of being kept. Nothing is
added up by atomics: the same input gives the same bits every time.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any, NamedTuple, cast

import torch
import triton
from jaxtyping import Float
from torch import Tensor, nn

from dff.fields.mlp_cpu import CompiledMLP
from dff.fields.mlp_triton_kernels import gradients_kernel, values_kernel

# Wider ones are torch's: of 128, compiled, the gradients' kernel takes more shared memory than any
# device has, and with less of it spills 10 KiB of registers for each thread.
WIDEST = 64
DEEPEST = 4
# The least that both sides of a product on the device may have.
NARROWEST = 16
# Points that go through all layers together, and how a program is run. Products in full float32
# hold their factors in registers: by what the compiler says for compute capabilities 7.5 to 9.0,
# 16 points on 8 warps spill at most 0.6 KiB up to `WIDEST`, 64 points 9 KiB. More stages would
# buffer weights for later turns of the loop, which are the same ones.
BLOCK = 16
RUN = {"num_warps": 8, "num_stages": 1}
# Each sums weight gradients of its own; not a property of the device, on which sums would depend.
MOST_PROGRAMS = 256


class Network(NamedTuple):
    """Sizes of a network with ReLU between its layers and none after the last."""

    layers: int
    in_dim: int
    width: int
    """Of what lies between layers; a network of one layer has none, and 1 will do."""
    out_dim: int

    def dims(self) -> list[int]:
        """What enters each layer, and what leaves the last."""
        return [self.in_dim, *[self.width] * (self.layers - 1), self.out_dim]

    def padded(self) -> Network:
        """Sizes of the blocks on the device: powers of two."""
        sizes = (max(NARROWEST, 1 << (size - 1).bit_length()) for size in self[1:])
        return Network(self.layers, *sizes)

    def fits(self, device: torch.device) -> bool:
        """Whether the kernels take it.

        Four layers of 64 take 80 KiB of shared memory: devices before compute capability 8.0 have
        64 KiB, which is enough for three.
        """
        old = device.type == "cuda" and torch.cuda.get_device_capability(device) < (8, 0)
        return 1 <= self.layers <= DEEPEST - old and max(self.dims()) <= WIDEST


def _sizes(network: Network) -> tuple[int, ...]:
    """What the kernels are compiled for."""
    return (*network, *network.padded()[1:], BLOCK)


class _TritonNetwork(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, inputs: Tensor, weights: Tensor, network: Network) -> Tensor:
        ctx.network = network
        ctx.save_for_backward(inputs, weights)
        points = inputs.shape[0]
        result = inputs.new_empty(points, network.out_dim)
        if points:
            grid = (triton.cdiv(points, BLOCK),)
            with torch.cuda.device_of(inputs):
                cast(Any, values_kernel)[grid](
                    inputs, weights, result, points, *_sizes(network), **RUN
                )
        return result

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        inputs, weights = ctx.saved_tensors
        for_inputs, for_weights = ctx.needs_input_grad[:2]
        network: Network = ctx.network
        upstream, points = gradients[0].contiguous(), inputs.shape[0]
        of_inputs = torch.empty_like(inputs) if for_inputs else None
        if points == 0:
            return of_inputs, torch.zeros_like(weights) if for_weights else None, None
        blocks = triton.cdiv(points, BLOCK)
        blocks_each = triton.cdiv(blocks, MOST_PROGRAMS)
        programs = triton.cdiv(blocks, blocks_each)
        partial = weights.new_empty(programs, len(weights)) if for_weights else None
        with torch.cuda.device_of(inputs):
            # What is not asked for is not written; a pointer has to be there all the same.
            cast(Any, gradients_kernel)[(programs,)](
                inputs,
                weights,
                upstream,
                inputs if of_inputs is None else of_inputs,
                inputs if partial is None else partial,
                points,
                blocks_each,
                *_sizes(network),
                for_inputs,
                for_weights,
                **RUN,
            )
        return of_inputs, None if partial is None else partial.sum(0), None


def network_triton(
    inputs: Float[Tensor, "points in"], weights: Float[Tensor, " all"], network: Network
) -> Float[Tensor, "points out"]:
    """Values of a small ReLU network, for float32 tensors on a CUDA device.

    Args:
        inputs: one row a point.
        weights: of one layer after the other, ``(out, in)`` and then the bias ``(out,)``.
        network: its sizes, which `Network.fits` the device.

    Returns:
        ``(points, out_dim)``, differentiable once in inputs and weights.
    """
    return cast(Tensor, _TritonNetwork.apply(inputs.contiguous(), weights.contiguous(), network))


def difference_from_torch(network: Network, points: int, device: str) -> float:
    """How far values and gradients on a device are from torch's in float64.

    Args:
        network: what to try.
        points: how many, with made-up inputs.
        device: where the kernels run.

    Returns:
        The largest difference, as a part of the largest value of its kind.
    """
    dims = network.dims()
    sizes = [part for a, b in pairwise(dims) for part in (a * b, b)]

    def made_up(count: int) -> Tensor:
        return torch.sin(torch.arange(1.0, count + 1, dtype=torch.float64) * 12.9898)

    inputs = made_up(points * network.in_dim).view(points, -1)
    weights = made_up(sum(sizes)) * 0.3
    upstream = made_up(points * network.out_dim).view(points, -1)

    def by_torch(entered: Tensor, flat: Tensor) -> Tensor:
        parts = iter(flat.split(sizes))
        for layer, (matrix, bias) in enumerate(zip(parts, parts, strict=True)):
            if layer > 0:
                entered = entered.relu()
            entered = nn.functional.linear(entered, matrix.view(len(bias), -1), bias)
        return entered

    def by_triton(entered: Tensor, flat: Tensor) -> Tensor:
        return network_triton(entered, flat, network)

    def results(function: Callable[[Tensor, Tensor], Tensor], *given: Tensor) -> list[Tensor]:
        leaves = [each.clone().requires_grad_() for each in given]
        values = function(*leaves)
        gradients = torch.autograd.grad(values, leaves, upstream.to(values))
        return [each.detach().cpu().double() for each in (values, *gradients)]

    with torch.enable_grad():
        found = results(by_triton, *(each.float().to(device) for each in (inputs, weights)))
        expected = results(by_torch, inputs.float().double(), weights.float().double())
    parts = [
        (one - other).abs().max() / other.abs().max()
        for one, other in zip(found, expected, strict=True)
    ]
    return float(torch.stack(parts).max())  # which lets NaN through


class TritonMLP(CompiledMLP):
    """nerfstudio's MLP with ReLU between layers, by Triton; what it cannot do, `CompiledMLP` does.

    The kernels take float32 on a CUDA device, no layer wider than `WIDEST` and at most `DEEPEST`
    layers. Gradients are of the first order only. Parameters are those of the torch version.
    """

    kernels_device = "cuda"

    def forward(self, in_tensor: Float[Tensor, "*bs in_dim"]) -> Float[Tensor, "*bs out_dim"]:
        """Values of the network, ``(..., in_dim)`` to ``(..., out_dim)``."""
        layers = self._linear()
        network = Network(len(layers), self.in_dim, layers[0].out_features, self.out_dim)
        if (
            not self._is_plain()
            or not self._lies_on(self.kernels_device, in_tensor)
            or not network.fits(in_tensor.device)
        ):
            return super().forward(in_tensor)
        found = network_triton(in_tensor.reshape(-1, self.in_dim), self._weights(), network)
        return found.view(*in_tensor.shape[:-1], self.out_dim)
