"""Snapping to seen surfaces against a brute-force nearest neighbour."""

from __future__ import annotations

import torch

from dff.selection.surface_snap import REACH, SurfaceSnap, cells


def sphere(points: int = 4000) -> torch.Tensor:
    """Points on a sphere of radius 0.25 around the middle of the unit cube."""
    generator = torch.Generator().manual_seed(1)
    direction = torch.randn(points, 3, generator=generator)
    return 0.5 + 0.25 * direction / direction.norm(dim=-1, keepdim=True)


def test_the_inside_takes_the_nearest_surface():
    surface = sphere()
    world = surface * 10 - 3
    snap = SurfaceSnap.build(surface, world, resolution=32)
    inside = torch.tensor([[0.5, 0.5, 0.6], [0.5, 0.42, 0.5], [0.58, 0.5, 0.5]])
    moved = snap(inside, inside * 10 - 3)
    for point, asked in zip(inside * 10 - 3, moved, strict=True):
        nearest = float((world - point).norm(dim=-1).min())
        voxel = 10 / 32
        # Within the size of a voxel of the true nearest surface point, and on the surface.
        assert float((asked - point).norm()) <= nearest + 2 * voxel
        assert abs(float((asked - 2.0).norm()) - 2.5) < voxel


def test_points_on_or_next_to_the_surface_stay_bit_for_bit():
    surface = sphere()
    snap = SurfaceSnap.build(surface, surface, resolution=32)
    assert torch.equal(snap(surface, surface), surface)
    close = surface + 0.5 / 32
    assert torch.equal(snap(close, close), close)


def test_nearest_seen_voxel_agrees_with_brute_force():
    generator = torch.Generator().manual_seed(2)
    surface = torch.rand(40, 3, generator=generator)
    snap = SurfaceSnap.build(surface, surface, resolution=8)
    centres = torch.stack(
        torch.meshgrid(*[(torch.arange(8) + 0.5) / 8] * 3, indexing="ij"), dim=-1
    ).view(-1, 3)
    seen = torch.unique(cells(surface, 8))
    distance = torch.cdist(centres * 8, centres[seen] * 8)
    moved = snap(centres, centres)
    for index, (point, asked) in enumerate(zip(centres, moved, strict=True)):
        if float(distance[index].min()) <= REACH:
            assert torch.equal(asked, point)
        else:
            chosen = int(cells(asked[None], 8)[0])
            at = int((seen == chosen).nonzero()[0, 0])
            assert float(distance[index, at]) == float(distance[index].min())


def test_with_nothing_seen_points_stay():
    nothing = torch.zeros(0, 3)
    snap = SurfaceSnap.build(nothing, nothing, resolution=8)
    points = torch.rand(5, 3)
    assert torch.equal(snap(points, points), points)


def test_points_outside_the_cube_are_handled():
    surface = sphere(200)
    snap = SurfaceSnap.build(surface, surface, resolution=16)
    far = torch.tensor([[5.0, -3.0, 0.5]])
    assert torch.isfinite(snap(far, far)).all()
