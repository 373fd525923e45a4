"""The hash encoding in Triton, for CUDA without tiny-cuda-nn: what `interpolate_torch` does.

One program handles a block of points on one level. The table's gradient is added up by atomics, so
its last bits depend on the order in which programs run, as with tiny-cuda-nn.
"""

# What Triton compiles is not Python to a type checker.
# pyright: reportArgumentType=false, reportGeneralTypeIssues=false

from __future__ import annotations

from typing import Any, cast

import torch
import triton
import triton.language as tl
from jaxtyping import Float
from torch import Tensor

from dff.fields.hash_encoding import GridShape

BLOCK = 128


@triton.jit
def _axis(positions, point, there, resolution, axis: tl.constexpr):  # pragma: no cover
    """Cell and fraction along one axis; clamped to [0, 1]; of NaN the fraction is NaN."""
    given = tl.load(positions + point * 3 + axis, mask=there, other=0.0)
    is_number = (given < 0.0) | (given >= 0.0)
    scaled = tl.minimum(tl.maximum(tl.where(is_number, given, 0.0), 0.0), 1.0) * resolution
    cell = tl.minimum(scaled.to(tl.int32), resolution - 1)
    return cell, tl.where(is_number, scaled - cell.to(tl.float32), given)


@triton.jit
def _row(x, y, z, resolution, dense, mask):  # pragma: no cover
    """Row of a vertex within its level."""
    side = resolution + 1
    plain = x + y * side + z * side * side
    # The primes of Teschner et al. 2003; as int32 they wrap around.
    hashed = (x ^ (y * -1640531535) ^ (z * 805459861)) & mask
    return tl.where(dense != 0, plain, hashed)


@triton.jit
def _values(
    positions, table, out, resolutions, offsets, dense, points, mask,
    LEVELS: tl.constexpr, FEATURES: tl.constexpr, SIZE: tl.constexpr,
):  # pragma: no cover  # fmt: skip
    level = tl.program_id(1)
    point = tl.program_id(0) * SIZE + tl.arange(0, SIZE)
    there = point < points
    resolution = tl.load(resolutions + level)
    offset = tl.load(offsets + level)
    is_dense = tl.load(dense + level)
    x, fx = _axis(positions, point, there, resolution, 0)
    y, fy = _axis(positions, point, there, resolution, 1)
    z, fz = _axis(positions, point, there, resolution, 2)
    for feature in tl.static_range(FEATURES):
        total = tl.zeros((SIZE,), tl.float32)
        for corner in tl.static_range(8):
            dx, dy, dz = corner & 1, (corner >> 1) & 1, corner >> 2
            weight = tl.where(dy == 1, fy, 1.0 - fy) * tl.where(dz == 1, fz, 1.0 - fz)
            weight = weight * tl.where(dx == 1, fx, 1.0 - fx)
            row = _row(x + dx, y + dy, z + dz, resolution, is_dense, mask).to(tl.int64) + offset
            entry = tl.load(table + row * FEATURES + feature, mask=there, other=0.0)
            total += weight * entry.to(tl.float32)
        place = point.to(tl.int64) * (LEVELS * FEATURES) + level * FEATURES + feature
        tl.store(out + place, total, mask=there)


@triton.jit
def _table_gradient(
    positions, upstream, out, resolutions, offsets, dense, points, mask,
    LEVELS: tl.constexpr, FEATURES: tl.constexpr, SIZE: tl.constexpr,
):  # pragma: no cover  # fmt: skip
    level = tl.program_id(1)
    point = tl.program_id(0) * SIZE + tl.arange(0, SIZE)
    there = point < points
    resolution = tl.load(resolutions + level)
    offset = tl.load(offsets + level)
    is_dense = tl.load(dense + level)
    x, fx = _axis(positions, point, there, resolution, 0)
    y, fy = _axis(positions, point, there, resolution, 1)
    z, fz = _axis(positions, point, there, resolution, 2)
    for corner in tl.static_range(8):
        dx, dy, dz = corner & 1, (corner >> 1) & 1, corner >> 2
        weight = tl.where(dy == 1, fy, 1.0 - fy) * tl.where(dz == 1, fz, 1.0 - fz)
        weight = weight * tl.where(dx == 1, fx, 1.0 - fx)
        row = _row(x + dx, y + dy, z + dz, resolution, is_dense, mask).to(tl.int64) + offset
        for feature in tl.static_range(FEATURES):
            place = point.to(tl.int64) * (LEVELS * FEATURES) + level * FEATURES + feature
            gradient = tl.load(upstream + place, mask=there, other=0.0)
            tl.atomic_add(out + row * FEATURES + feature, weight * gradient, mask=there)


@triton.jit
def _position_gradient(
    positions, table, upstream, out, resolutions, offsets, dense, points, mask,
    LEVELS: tl.constexpr, FEATURES: tl.constexpr, SIZE: tl.constexpr,
):  # pragma: no cover  # fmt: skip
    point = tl.program_id(0) * SIZE + tl.arange(0, SIZE)
    there = point < points
    sum_x = tl.zeros((SIZE,), tl.float32)
    sum_y = tl.zeros((SIZE,), tl.float32)
    sum_z = tl.zeros((SIZE,), tl.float32)
    for level in range(LEVELS):
        resolution = tl.load(resolutions + level)
        offset = tl.load(offsets + level)
        is_dense = tl.load(dense + level)
        x, fx = _axis(positions, point, there, resolution, 0)
        y, fy = _axis(positions, point, there, resolution, 1)
        z, fz = _axis(positions, point, there, resolution, 2)
        for corner in tl.static_range(8):
            dx, dy, dz = corner & 1, (corner >> 1) & 1, corner >> 2
            row = _row(x + dx, y + dy, z + dz, resolution, is_dense, mask).to(tl.int64) + offset
            along = tl.zeros((SIZE,), tl.float32)
            for feature in tl.static_range(FEATURES):
                place = point.to(tl.int64) * (LEVELS * FEATURES) + level * FEATURES + feature
                entry = tl.load(table + row * FEATURES + feature, mask=there, other=0.0)
                along += entry.to(tl.float32) * tl.load(upstream + place, mask=there, other=0.0)
            along = along * resolution
            wx = tl.where(dx == 1, fx, 1.0 - fx)
            wy = tl.where(dy == 1, fy, 1.0 - fy)
            wz = tl.where(dz == 1, fz, 1.0 - fz)
            sum_x += (2 * dx - 1) * along * wy * wz
            sum_y += (2 * dy - 1) * along * wx * wz
            sum_z += (2 * dz - 1) * along * wx * wy
    for axis in tl.static_range(3):
        given = tl.load(positions + point * 3 + axis, mask=there, other=-1.0)
        slope = sum_x if axis == 0 else (sum_y if axis == 1 else sum_z)
        inside = (given >= 0.0) & (given <= 1.0)
        tl.store(out + point * 3 + axis, tl.where(inside, slope, 0.0), mask=there)


def _facts(shape: GridShape, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """Resolutions, offsets and which levels are dense, where the kernel reads them."""
    dense = [int(shape.is_dense(level)) for level in range(shape.levels)]
    return (
        torch.tensor(shape.resolutions, dtype=torch.int32, device=device),
        torch.tensor(shape.offsets()[:-1], dtype=torch.int64, device=device),
        torch.tensor(dense, dtype=torch.int32, device=device),
    )


class _TritonInterpolation(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, positions: Tensor, table: Tensor, shape: GridShape) -> Tensor:
        ctx.shape, ctx.facts = shape, _facts(shape, table.device)
        ctx.save_for_backward(positions, table)
        points = positions.shape[0]
        result = positions.new_empty(points, shape.out_dim)
        if points:
            grid = (triton.cdiv(points, BLOCK), shape.levels)
            sizes = shape.levels, shape.features, BLOCK
            known = *ctx.facts, points, shape.table_size - 1
            cast(Any, _values)[grid](positions, table, result, *known, *sizes)
        return result

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        positions, table = ctx.saved_tensors
        shape: GridShape = ctx.shape
        upstream, points = gradients[0].contiguous(), positions.shape[0]
        blocks = triton.cdiv(points, BLOCK)
        sizes = shape.levels, shape.features, BLOCK
        known = *ctx.facts, points, shape.table_size - 1
        for_positions = for_table = None
        if ctx.needs_input_grad[1]:
            for_table = torch.zeros_like(table)
            if points:
                grid = (blocks, shape.levels)
                cast(Any, _table_gradient)[grid](positions, upstream, for_table, *known, *sizes)
        if ctx.needs_input_grad[0]:
            for_positions = torch.empty_like(positions)
            if points:
                arguments = positions, table, upstream, for_positions
                cast(Any, _position_gradient)[(blocks,)](*arguments, *known, *sizes)
        return for_positions, for_table, None


def interpolate_triton(
    positions: Float[Tensor, "points 3"], table: Float[Tensor, "rows f"], shape: GridShape
) -> Float[Tensor, "points out"]:
    """As `interpolate_torch`, for float32 tensors on a CUDA device.

    Args:
        positions: in the unit cube; outside it they are clamped to the border (zero gradient).
        table: all levels' entries, ``shape.offsets()`` says where each begins.
        shape: the grid.

    Returns:
        ``(points, levels * features)``, differentiable once in positions and table.
    """
    arguments = positions.contiguous(), table.contiguous(), shape
    return cast(Tensor, _TritonInterpolation.apply(*arguments))
