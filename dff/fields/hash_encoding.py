"""Multiresolution hash encoding in pure torch, fast on a CPU (Mueller et al. 2022, Instant-NGP).

Three ideas make it several times faster than the usual torch version: corner indices and weights
are computed corner by corner, so that every operation runs along contiguous points; the weighted
sum of the eight corners is one ``embedding_bag``; and levels that fit in the table are dense, with
no hash. A faster kernel plugs in by giving another ``GridInterpolation`` to ``HashEncoding``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Protocol, cast

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from scipy.sparse import csc_matrix
from torch import Tensor, nn

# Spatial hash of Teschner et al. 2003 as in Instant-NGP; as int32 they wrap around, which leaves
# the low bits that the table index keeps unchanged.
HASH_PRIMES = (1, 2654435761 - 2**32, 805459861)
# Points worked on at once: bounds the memory of large batches; smaller blocks are slower.
BLOCK = 32768


@dataclass(frozen=True)
class GridShape:
    """The shape of a multiresolution grid over the unit cube.

    Attributes:
        resolutions: cells along one side, per level, coarse to fine.
        log2_table_size: log2 of the entries per level.
        features: values per entry.
        all_hashed: every level has a table of full size, as in nerfstudio's own torch version;
            otherwise levels that fit are dense.
    """

    resolutions: tuple[int, ...]
    log2_table_size: int
    features: int
    all_hashed: bool = False

    @classmethod
    def geometric(
        cls, levels: int, base: int, finest: int, log2_table_size: int, features: int
    ) -> GridShape:
        """Resolutions growing geometrically from ``base`` to ``finest`` (Instant-NGP eq. 2-3)."""
        growth = math.exp((math.log(finest) - math.log(base)) / max(levels - 1, 1))
        resolutions = tuple(int(base * growth**level + 1e-6) for level in range(levels))
        return cls(resolutions, log2_table_size, features)

    @property
    def table_size(self) -> int:
        return 2**self.log2_table_size

    @property
    def levels(self) -> int:
        return len(self.resolutions)

    @property
    def out_dim(self) -> int:
        return self.levels * self.features

    def is_dense(self, level: int) -> bool:
        """Whether every vertex of the level has an entry of its own."""
        return not self.all_hashed and (self.resolutions[level] + 1) ** 3 <= self.table_size

    def entries(self, level: int) -> int:
        """Entries the level needs: its vertices when dense, else the table size."""
        if self.is_dense(level):
            return (self.resolutions[level] + 1) ** 3
        return self.table_size

    def offsets(self) -> tuple[int, ...]:
        """First row of each level in the joint table, and the total number of rows at the end."""
        rows = [0]
        for level in range(self.levels):
            rows.append(rows[-1] + self.entries(level))
        return tuple(rows)


def corner_indices(
    cell: Int[Tensor, "3 points"], shape: GridShape, level: int
) -> list[Int[Tensor, " points"]]:
    """Rows, within the level, of each cell's eight vertices; vertex c has bits x 1, y 2, z 4."""
    if shape.is_dense(level):
        stride = shape.resolutions[level] + 1
        base = cell[0] + cell[1] * stride + cell[2] * stride**2
        steps = [(c & 1) + ((c >> 1) & 1) * stride + (c >> 2) * stride**2 for c in range(8)]
        return [base + step if step else base for step in steps]
    mask = shape.table_size - 1
    x = (cell[0] & mask, (cell[0] + 1) & mask)
    hashed_y, hashed_z = cell[1] * HASH_PRIMES[1], cell[2] * HASH_PRIMES[2]
    y = (hashed_y & mask, (hashed_y + HASH_PRIMES[1]) & mask)
    z = (hashed_z & mask, (hashed_z + HASH_PRIMES[2]) & mask)
    yz = [y[pair & 1] ^ z[pair >> 1] for pair in range(4)]
    return [yz[c >> 1] ^ x[c & 1] for c in range(8)]


def corner_weights(fraction: Float[Tensor, "3 points"]) -> list[Float[Tensor, " points"]]:
    """Trilinear weights of the eight vertices; they are non-negative and sum to one."""
    low, high = 1.0 - fraction, fraction
    x, y, z = (low[0], high[0]), (low[1], high[1]), (low[2], high[2])
    yz = [y[pair & 1] * z[pair >> 1] for pair in range(4)]
    return [yz[c >> 1] * x[c & 1] for c in range(8)]


def locate(
    positions: Float[Tensor, "3 points"], resolution: int
) -> tuple[Int[Tensor, "3 points"], Float[Tensor, "3 points"]]:
    """Cell of each position and the fraction inside it; positions outside [0, 1] are clamped.

    NaN gives a cell that is there, and a fraction that is NaN.
    """
    scaled = positions.clamp(0.0, 1.0) * resolution
    # What integer NaN becomes is the machine's choice, often the lowest.
    cell = scaled.to(torch.int32).clamp_(0, resolution - 1)
    return cell, scaled - cell


class GridInterpolation(Protocol):
    """What a kernel offers: values, and gradients for the table and for the positions."""

    def __call__(
        self, positions: Float[Tensor, "points 3"], table: Float[Tensor, "rows f"], shape: GridShape
    ) -> Float[Tensor, "points out"]: ...


def _interpolate(
    positions: Tensor,
    table: Tensor,
    shape: GridShape,
    index: Tensor | None = None,
    weight: Tensor | None = None,
) -> Tensor:
    """The interpolation itself; rows and weights of all corners are kept if a place is given."""
    points = positions.shape[0]
    by_axis = positions.detach().t().contiguous()
    output = torch.empty(
        (points, shape.levels, shape.features), dtype=table.dtype, device=table.device
    )
    offsets = shape.offsets()
    for start in range(0, points, BLOCK):
        here = slice(start, min(start + BLOCK, points))
        for level in range(shape.levels):
            cell, fraction = locate(by_axis[:, here], shape.resolutions[level])
            # torch.stack interleaves three times faster than copying a transposed view.
            rows = torch.stack(
                corner_indices(cell, shape, level),
                dim=-1,
                out=None if index is None else index[level, here],
            )
            weights = torch.stack(
                corner_weights(fraction),
                dim=-1,
                out=None if weight is None else weight[level, here],
            )
            output[here, level] = F.embedding_bag(
                rows,
                table[offsets[level] : offsets[level + 1]],
                per_sample_weights=weights,
                mode="sum",
            )
    return output.view(points, shape.out_dim)


class _TorchInterpolation(torch.autograd.Function):
    """Forward by ``embedding_bag``, table gradient by a sparse product or ``scatter_add_``."""

    @staticmethod
    def forward(ctx: Any, positions: Tensor, table: Tensor, shape: GridShape) -> Tensor:
        corners = (shape.levels, positions.shape[0], 8)
        index = torch.empty(corners, dtype=torch.int32, device=table.device)
        weight = torch.empty(corners, dtype=table.dtype, device=table.device)
        output = _interpolate(positions, table, shape, index, weight)
        ctx.shape = shape
        ctx.save_for_backward(positions, table, index, weight)
        return output

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        positions, table, index, weight = ctx.saved_tensors
        shape: GridShape = ctx.shape
        gradient = gradients[0].view(-1, shape.levels, shape.features)
        for_positions = for_table = None
        if ctx.needs_input_grad[1]:
            for_table = _table_gradient(gradient, index, weight, shape, table)
        if ctx.needs_input_grad[0]:
            for_positions = _position_gradient(gradient, positions, index, shape, table)
        return for_positions, for_table, None


def adds_rows_by_sparse_product(table: Tensor) -> bool:
    """Whether scipy's sparse product can add up the table's gradient (CPU, float32 or float64)."""
    return table.device.type == "cpu" and table.dtype in (torch.float32, torch.float64)


def _table_gradient(
    gradient: Tensor, index: Tensor, weight: Tensor, shape: GridShape, table: Tensor
) -> Tensor:
    offsets = shape.offsets()
    points = gradient.shape[0]
    if points and adds_rows_by_sparse_product(table):
        # One pass over the points that adds whole rows: a third of scatter_add_'s time, which
        # visits every feature column apart.
        result = np.empty((offsets[-1], shape.features), dtype=gradient.numpy().dtype)
        by_level = gradient.transpose(0, 1).contiguous()
        pointer = np.arange(0, points * 8 + 1, 8, dtype=np.int32)
        for level in range(shape.levels):
            rows = index[level].numpy().ravel()
            size = (offsets[level + 1] - offsets[level], points)
            matrix = csc_matrix((weight[level].numpy().ravel(), rows, pointer), size, copy=False)
            result[offsets[level] : offsets[level + 1]] = matrix @ by_level[level].numpy()
        return torch.from_numpy(result)
    by_column = torch.zeros((shape.features, offsets[-1]), dtype=table.dtype, device=table.device)
    for level in range(shape.levels):
        rows = index[level].view(-1).long() + offsets[level]
        for column in range(shape.features):
            values = weight[level] * gradient[:, level, column, None]
            by_column[column].scatter_add_(0, rows, values.view(-1))
    return by_column.t().contiguous()


def _position_gradient(
    gradient: Tensor, positions: Tensor, index: Tensor, shape: GridShape, table: Tensor
) -> Tensor:
    total = torch.zeros_like(positions)
    offsets = shape.offsets()
    by_axis = positions.detach().t().contiguous()
    bits = torch.arange(8, device=positions.device)
    high = torch.stack([(bits & 1), (bits >> 1) & 1, bits >> 2], dim=-1).bool()
    sign = torch.where(high, 1.0, -1.0).to(positions.dtype)
    for level, resolution in enumerate(shape.resolutions):
        _, fraction = locate(by_axis, resolution)
        fraction = fraction.t()[:, None, :]
        axis_weight = torch.where(high, fraction, 1.0 - fraction)
        values = F.embedding(index[level].long() + offsets[level], table)
        projected = (values * gradient[:, level, None, :]).sum(dim=-1)
        for axis in range(3):
            others = [other for other in range(3) if other != axis]
            slope = sign[:, axis] * axis_weight[..., others[0]] * axis_weight[..., others[1]]
            total[:, axis] += (slope * projected).sum(dim=-1) * resolution
    inside = (positions >= 0.0) & (positions <= 1.0)
    return torch.where(inside, total, torch.zeros_like(total))


def interpolate_torch(
    positions: Float[Tensor, "points 3"], table: Float[Tensor, "rows f"], shape: GridShape
) -> Float[Tensor, "points out"]:
    """The reference kernel: trilinear interpolation on every level, levels concatenated.

    Args:
        positions: in the unit cube; outside it they are clamped to the border (zero gradient). NaN
            gives NaN.
        table: all levels' entries, ``shape.offsets()`` says where each begins.
        shape: the grid.

    Returns:
        ``(points, levels * features)``, differentiable in positions and table.
    """
    if torch.is_grad_enabled() and (positions.requires_grad or table.requires_grad):
        return cast(Tensor, _TorchInterpolation.apply(positions, table, shape))
    return _interpolate(positions, table, shape)


class HashEncoding(nn.Module):
    """A trainable multiresolution hash grid over the unit cube.

    Args:
        shape: the grid.
        init_scale: entries start uniformly in [-init_scale, init_scale].
        interpolation: the kernel; the pure-torch one by default.
    """

    def __init__(
        self,
        shape: GridShape,
        init_scale: float = 1e-4,
        interpolation: GridInterpolation = interpolate_torch,
    ) -> None:
        super().__init__()
        self.shape = shape
        self.interpolation = interpolation
        rows = shape.offsets()[-1]
        self.table = nn.Parameter((torch.rand(rows, shape.features) * 2.0 - 1.0) * init_scale)

    @property
    def out_dim(self) -> int:
        return self.shape.out_dim

    def forward(self, positions: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch out"]:
        """Encode positions in the unit cube."""
        flat = positions.reshape(-1, 3)
        encoded = self.interpolation(flat, self.table, self.shape)
        return encoded.view(*positions.shape[:-1], self.out_dim)
