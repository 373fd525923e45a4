"""Small MLPs by a compiled CPU kernel: nerfstudio's torch MLP, several times faster.

Results do not depend on the number of threads, which is torch's. Parameters are those of the torch
version, so that checkpoints go from one to the other.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Any, cast

import numpy as np
import torch
from jaxtyping import Float
from nerfstudio.field_components.mlp import MLP
from torch import Tensor, nn

from dff.fields.compiled_kernel import Kernels, load_kernels

# Above it torch's matrix products, which are cut to fit caches, win.
WIDEST = 128


class Work(IntEnum):
    """What the kernel is asked for."""

    VALUES = 0
    GRADIENTS = 1


def _run(
    kernels: Kernels,
    work: Work,
    inputs: Tensor,
    weights: Tensor,
    dims: np.ndarray,
    gradient: Tensor | None,
    result: Tensor | None,
    of_weights: Tensor | None,
) -> None:
    given = (inputs, weights, gradient, result, of_weights)
    failed = kernels.mlp(
        int(work),
        *(None if tensor is None else tensor.data_ptr() for tensor in given),
        dims.ctypes.data,
        len(dims) - 1,
        inputs.shape[0],
        torch.get_num_threads(),
    )
    if failed:
        raise MemoryError("no memory for a block of points in an MLP")


class _CompiledNetwork(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, inputs: Tensor, weights: Tensor, dims: np.ndarray, kernels: Kernels
    ) -> Tensor:
        ctx.dims, ctx.kernels = dims, kernels
        ctx.save_for_backward(inputs, weights)
        result = inputs.new_empty(inputs.shape[0], int(dims[-1]))
        _run(kernels, Work.VALUES, inputs, weights, dims, None, result, None)
        return result

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor, None, None]:
        inputs, weights = ctx.saved_tensors
        of_inputs = torch.empty_like(inputs) if ctx.needs_input_grad[0] else None
        of_weights = torch.zeros_like(weights)
        gradient = gradients[0].contiguous()
        _run(
            ctx.kernels,
            Work.GRADIENTS,
            inputs,
            weights,
            ctx.dims,
            gradient,
            of_inputs,
            of_weights,
        )
        return of_inputs, of_weights, None, None


class CompiledMLP(MLP):
    """nerfstudio's MLP with ReLU between layers; what the kernel cannot do, torch does.

    The kernel takes float32 on the CPU and no layer wider than `WIDEST`. Gradients are of the
    first order only.
    """

    def forward(self, in_tensor: Float[Tensor, "*bs in_dim"]) -> Float[Tensor, "*bs out_dim"]:
        """Values of the network, ``(..., in_dim)`` to ``(..., out_dim)``."""
        kernels = load_kernels() if self._is_for_the_kernel(in_tensor) else None
        if kernels is None:
            return super().forward(in_tensor)
        sizes = [self.in_dim, *(layer.out_features for layer in self._linear())]
        dims = np.array(sizes, dtype=np.int32)
        flat = in_tensor.reshape(-1, self.in_dim).contiguous()
        found = cast(Tensor, _CompiledNetwork.apply(flat, self._weights(), dims, kernels))
        return found.view(*in_tensor.shape[:-1], self.out_dim)

    def _linear(self) -> list[nn.Linear]:
        return [cast(nn.Linear, layer) for layer in self.layers]

    def _weights(self) -> Float[Tensor, " all"]:
        """Of one layer after the other, ``(out, in)`` and then the bias ``(out,)``."""
        parts = [part for layer in self._linear() for part in (layer.weight, layer.bias)]
        return torch.cat([part.reshape(-1) for part in parts])

    def _is_plain(self) -> bool:
        """Whether it is layers with ReLU between them and nothing else."""
        return (
            isinstance(self.activation, nn.ReLU)
            and self.out_activation is None
            and not self.skip_connections
        )

    def _lies_on(self, device_type: str, in_tensor: Tensor) -> bool:
        """Whether input and weights are float32 on one device of a type, and go together."""
        tensors = [in_tensor, *(layer.weight for layer in self._linear())]
        return (
            all(x.dtype == torch.float32 and x.device == in_tensor.device for x in tensors)
            and in_tensor.device.type == device_type
            and in_tensor.shape[-1] == self.in_dim
        )

    def _is_for_the_kernel(self, in_tensor: Tensor) -> bool:
        widest = max(self.in_dim, *(layer.out_features for layer in self._linear()))
        return self._is_plain() and self._lies_on("cpu", in_tensor) and widest <= WIDEST
