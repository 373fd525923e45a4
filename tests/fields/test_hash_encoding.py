"""The fast encoding against an interpolation written out point by point in float64."""

from __future__ import annotations

import itertools

import pytest
import torch

from dff.fields import hash_encoding
from dff.fields.hash_encoding import GridShape, HashEncoding, interpolate_torch

PRIMES = (1, 2654435761, 805459861)


def brute_force(positions: torch.Tensor, table: torch.Tensor, shape: GridShape) -> torch.Tensor:
    rows = []
    for point in positions.double().tolist():
        row = []
        for level, resolution in enumerate(shape.resolutions):
            scaled = [min(max(p, 0.0), 1.0) * resolution for p in point]
            cell = [min(int(s), resolution - 1) for s in scaled]
            fraction = [s - c for s, c in zip(scaled, cell, strict=True)]
            value = torch.zeros(shape.features, dtype=torch.float64)
            for corner in itertools.product((0, 1), repeat=3):
                vertex = [c + o for c, o in zip(cell, corner, strict=True)]
                if (resolution + 1) ** 3 <= 2**shape.log2_table_size:
                    side = resolution + 1
                    index = vertex[0] + vertex[1] * side + vertex[2] * side**2
                else:
                    index = 0
                    for v, prime in zip(vertex, PRIMES, strict=True):
                        index ^= v * prime
                    index %= 2**shape.log2_table_size
                weight = 1.0
                for f, o in zip(fraction, corner, strict=True):
                    weight *= f if o else 1.0 - f
                value += weight * table[shape.offsets()[level] + index].double()
            row.append(value)
        rows.append(torch.cat(row))
    return torch.stack(rows) if rows else torch.zeros(0, shape.out_dim, dtype=torch.float64)


def make(levels=4, base=3, finest=37, log2=9, features=3, seed=0, dtype=torch.float32):
    shape = GridShape.geometric(levels, base, finest, log2, features)
    generator = torch.Generator().manual_seed(seed)
    table = torch.randn(shape.offsets()[-1], features, generator=generator, dtype=dtype)
    return shape, table, generator


@pytest.mark.parametrize("points", [0, 1, 7, 64])
@pytest.mark.parametrize("features", [1, 2, 4, 5])
def test_values_equal_the_brute_force(points, features):
    shape, table, generator = make(features=features)
    positions = torch.rand(points, 3, generator=generator)
    result = interpolate_torch(positions, table, shape)
    assert result.shape == (points, shape.out_dim)
    expected = brute_force(positions, table, shape)
    torch.testing.assert_close(result.double(), expected, rtol=1e-5, atol=1e-5)


def test_points_on_the_border_and_outside_are_clamped():
    shape, table, _ = make()
    positions = torch.tensor(
        [[0.0, 0.0, 0.0], [1.0, 1.0, 1.0], [-0.5, 0.3, 2.0], [1.0, 0.0, 0.5], [1e9, -1e9, 0.5]]
    )
    expected = brute_force(positions, table, shape)
    result = interpolate_torch(positions, table, shape)
    torch.testing.assert_close(result.double(), expected, rtol=1e-5, atol=1e-5)


def test_positions_need_not_be_contiguous():
    shape, table, generator = make()
    positions = torch.rand(3, 20, generator=generator).t()
    torch.testing.assert_close(
        interpolate_torch(positions, table, shape),
        interpolate_torch(positions.contiguous(), table, shape),
    )


def test_gradients_of_table_and_positions_by_finite_differences():
    shape, table, generator = make(levels=3, finest=20, log2=8, features=2, dtype=torch.float64)
    # Away from cell borders, where the interpolation has kinks.
    positions = torch.rand(6, 3, generator=generator, dtype=torch.float64) * 0.96 + 0.02
    positions.requires_grad_()
    table.requires_grad_()
    assert torch.autograd.gradcheck(lambda p, t: interpolate_torch(p, t, shape), (positions, table))


def test_positions_outside_get_no_gradient():
    shape, table, _ = make()
    positions = torch.tensor([[1.5, 0.2, 0.2], [0.31, 0.42, 0.53]], requires_grad=True)
    interpolate_torch(positions, table, shape).sum().backward()
    assert positions.grad is not None
    assert float(positions.grad[0, 0]) == 0.0
    assert float(positions.grad[1].abs().min()) > 0.0


def test_both_ways_to_the_table_gradient_agree(monkeypatch):
    shape, table, generator = make(features=4)
    positions = torch.rand(50, 3, generator=generator)
    weight = torch.randn(50, shape.out_dim, generator=generator)

    def gradient():
        leaf = table.clone().requires_grad_()
        (interpolate_torch(positions, leaf, shape) * weight).sum().backward()
        return leaf.grad

    sparse = gradient()
    monkeypatch.setattr(hash_encoding, "csc_matrix", None)
    monkeypatch.setattr(hash_encoding, "adds_rows_by_sparse_product", lambda table: False)
    torch.testing.assert_close(gradient(), sparse, rtol=1e-5, atol=1e-6)


def test_one_and_two_threads_give_the_same():
    shape, table, generator = make()
    positions = torch.rand(1000, 3, generator=generator)
    before = torch.get_num_threads()
    results = []
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            results.append(interpolate_torch(positions, table, shape))
    finally:
        torch.set_num_threads(before)
    assert torch.equal(*results)


def test_resolutions_grow_geometrically_and_coarse_levels_are_dense():
    shape = GridShape.geometric(8, 16, 1024, 17, 4)
    assert shape.resolutions[0] == 16
    assert shape.resolutions[-1] == 1024
    ratios = [b / a for a, b in itertools.pairwise(shape.resolutions)]
    assert max(ratios) / min(ratios) < 1.1
    assert [shape.is_dense(level) for level in range(8)] == [True] * 2 + [False] * 6
    assert shape.entries(0) == 17**3
    assert shape.offsets()[-1] == sum(shape.entries(level) for level in range(8))


def test_module_keeps_leading_shape_and_plugs_in_another_kernel():
    shape, _, _ = make()
    module = HashEncoding(shape)
    assert module(torch.rand(2, 5, 3)).shape == (2, 5, shape.out_dim)

    def constant(positions, table, shape):
        return positions.new_full((len(positions), shape.out_dim), 7.0)

    assert float(HashEncoding(shape, interpolation=constant)(torch.rand(1, 3)).max()) == 7.0
