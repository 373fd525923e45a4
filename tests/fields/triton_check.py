"""Run by `test_hash_encoding_triton` in a process of its own, under Triton's interpreter."""

from __future__ import annotations

import sys

import torch

from dff.fields.hash_encoding import GridShape, interpolate_torch
from dff.fields.hash_encoding_triton import interpolate_triton


def results(interpolate, positions, table, shape, upstream):
    positions, table = positions.clone().requires_grad_(), table.clone().requires_grad_()
    result = interpolate(positions, table, shape)
    result.backward(upstream)
    return result.detach(), table.grad, positions.grad


def main(device: str) -> None:
    for points, features, all_hashed in (
        (0, 2, False),
        (1, 1, False),
        (130, 4, False),
        (77, 2, True),
    ):
        generator = torch.Generator().manual_seed(points)
        geometric = GridShape.geometric(3, 3, 30, 9, features)
        shape = GridShape(geometric.resolutions, 9, features, all_hashed)
        table = torch.randn(shape.offsets()[-1], features, generator=generator)
        positions = torch.rand(points, 3, generator=generator) * 1.2 - 0.1
        positions[:1] = torch.tensor([0.0, 1.0, 0.5])
        positions[9:10, 1] = torch.nan
        upstream = torch.randn(points, shape.out_dim, generator=generator)
        arguments = [each.to(device) for each in (positions, table)]
        found = results(interpolate_triton, *arguments, shape, upstream.to(device))
        expected = results(interpolate_torch, *arguments, shape, upstream.to(device))
        for name, one, other in zip(("values", "table", "positions"), found, expected, strict=True):
            scale = max(1.0, float(other.nan_to_num().abs().max())) if other.numel() else 1.0
            near = {"rtol": 1e-4, "atol": 1e-5 * scale, "equal_nan": True}
            torch.testing.assert_close(one, other, **near, msg=name)
    print("equal")


if __name__ == "__main__":
    main(sys.argv[1])
