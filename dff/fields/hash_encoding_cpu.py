"""The hash encoding by a compiled CPU kernel: `interpolate_torch`, several times faster.

Results do not depend on the number of threads, which is torch's. Tables are those of the torch
version, so that checkpoints go from one to the other.
"""

from __future__ import annotations

from enum import IntEnum
from functools import cache
from typing import Any, cast

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from dff.fields.compiled_kernel import Kernels, load_kernels
from dff.fields.hash_encoding import GridShape, interpolate_torch


class Work(IntEnum):
    """What the kernel is asked for."""

    VALUES = 0
    TABLE_GRADIENT = 1
    POSITION_GRADIENT = 2


@cache
def _layout(shape: GridShape) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Offsets, resolutions and which levels are dense, as the kernel takes them."""
    dense = [shape.is_dense(level) for level in range(shape.levels)]
    return (
        np.array(shape.offsets(), dtype=np.int64),
        np.array(shape.resolutions, dtype=np.int32),
        np.array(dense, dtype=np.uint8),
    )


def _run(
    kernels: Kernels,
    work: Work,
    positions: Tensor,
    table: Tensor,
    gradient: Tensor | None,
    result: Tensor,
    shape: GridShape,
) -> Tensor:
    offsets, resolutions, dense = _layout(shape)
    kernels.hash_encoding(
        int(work),
        positions.data_ptr(),
        table.data_ptr(),
        None if gradient is None else gradient.data_ptr(),
        result.data_ptr(),
        offsets.ctypes.data,
        resolutions.ctypes.data,
        dense.ctypes.data,
        positions.shape[0],
        shape.table_size - 1,
        shape.levels,
        shape.features,
        torch.get_num_threads(),
    )
    return result


class _CompiledInterpolation(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, positions: Tensor, table: Tensor, shape: GridShape, kernels: Kernels
    ) -> Tensor:
        ctx.shape, ctx.kernels = shape, kernels
        ctx.save_for_backward(positions, table)
        result = positions.new_empty(positions.shape[0], shape.out_dim)
        return _run(kernels, Work.VALUES, positions, table, None, result, shape)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        positions, table = ctx.saved_tensors
        gradient = gradients[0].contiguous()
        for_positions = for_table = None

        def run(work: Work, result: Tensor) -> Tensor:
            return _run(ctx.kernels, work, positions, table, gradient, result, ctx.shape)

        if ctx.needs_input_grad[1]:
            for_table = run(Work.TABLE_GRADIENT, torch.empty_like(table))
        if ctx.needs_input_grad[0]:
            for_positions = run(Work.POSITION_GRADIENT, torch.empty_like(positions))
        return for_positions, for_table, None, None


def is_for_the_kernel(positions: Tensor, table: Tensor, shape: GridShape) -> bool:
    """Whether the kernel can take these; it knows float32 on the CPU alone.

    Raises:
        ValueError: the table or the positions are not of the shape that the kernel would read.
    """
    if table.shape != (shape.offsets()[-1], shape.features) or positions.shape[1:] != (3,):
        raise ValueError(
            f"a table {tuple(table.shape)} and positions {tuple(positions.shape)} do not fit a "
            f"grid of {shape.offsets()[-1]} rows and {shape.features} features"
        )
    single = positions.dtype == table.dtype == torch.float32
    return single and positions.device.type == table.device.type == "cpu"


def interpolate_cpu(
    positions: Float[Tensor, "points 3"], table: Float[Tensor, "rows f"], shape: GridShape
) -> Float[Tensor, "points out"]:
    """As `interpolate_torch`, which does what the kernel cannot: other types, other devices.

    Args:
        positions: in the unit cube; outside it they are clamped to the border (zero gradient). NaN
            gives NaN.
        table: all levels' entries, ``shape.offsets()`` says where each begins.
        shape: the grid.

    Returns:
        ``(points, levels * features)``, differentiable once in positions and table.
    """
    kernels = load_kernels() if is_for_the_kernel(positions, table, shape) else None
    if kernels is None:
        return interpolate_torch(positions, table, shape)
    arguments = positions.contiguous(), table.contiguous(), shape, kernels
    return cast(Tensor, _CompiledInterpolation.apply(*arguments))
