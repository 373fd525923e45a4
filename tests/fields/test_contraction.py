"""Contraction against nerfstudio's own, and its inverse."""

from __future__ import annotations

import pytest
import torch
from nerfstudio.field_components.spatial_distortions import SceneContraction

from dff.fields.contraction import contract, to_unit_cube, uncontract


def spread(count: int = 4000, dtype=torch.float32) -> torch.Tensor:
    """Points from the origin to far away, their size spread over six orders of magnitude."""
    direction = torch.randn(count, 3, dtype=dtype)
    return direction * 10 ** (torch.rand(count, 1, dtype=dtype) * 6 - 3)


@pytest.mark.parametrize("shape", [(3,), (7, 3), (2, 5, 3), (0, 3)])
def test_equals_nerfstudios_contraction(shape):
    points = torch.randn(shape) * 5
    expected = SceneContraction(order=float("inf"))(points)
    torch.testing.assert_close(contract(points), expected)


def test_equals_nerfstudios_contraction_at_all_scales():
    points = spread(dtype=torch.float64)
    expected = SceneContraction(order=float("inf"))(points)
    torch.testing.assert_close(contract(points), expected, rtol=1e-12, atol=1e-12)


def test_the_inner_cube_stays_bit_for_bit_and_the_rest_lands_in_the_outer():
    inner = torch.rand(500, 3) * 2 - 1
    assert torch.equal(contract(inner), inner)
    far = contract(spread() * 1e6)
    assert torch.isfinite(far).all()
    assert far.abs().max() <= 2.0


def test_the_inverse_gives_points_back():
    points = spread(dtype=torch.float64)
    points = points[points.abs().amax(dim=-1) < 900]  # beyond 1000 the inverse stops on purpose
    torch.testing.assert_close(uncontract(contract(points)), points, rtol=1e-9, atol=1e-12)


def test_the_inverse_is_finite_on_the_border():
    border = torch.tensor([[2.0, 0.0, 0.0], [-2.0, 2.0, 2.0], [0.0, 0.0, 0.0]])
    assert torch.isfinite(uncontract(border)).all()


def test_gradients_equal_nerfstudios():
    points = spread(200, torch.float64)
    ours, theirs = points.clone().requires_grad_(), points.clone().requires_grad_()
    weight = torch.randn_like(points)
    (contract(ours) * weight).sum().backward()
    (SceneContraction(order=float("inf"))(theirs) * weight).sum().backward()
    torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-9, atol=1e-12)


def test_unit_cube_with_contraction_holds_all_of_space():
    unit = to_unit_cube(spread(), torch.zeros(2, 3), contracted=True)
    assert unit.min() >= 0.0
    assert unit.max() <= 1.0


def test_unit_cube_without_contraction_is_the_scene_box():
    aabb = torch.tensor([[-1.0, -2.0, 0.0], [3.0, 2.0, 4.0]])
    corners = torch.stack([aabb[0], aabb[1], aabb.mean(dim=0), aabb[1] + 4])
    expected = torch.tensor([[0.0] * 3, [1.0] * 3, [0.5] * 3, [2.0, 2.0, 2.0]])
    torch.testing.assert_close(to_unit_cube(corners, aabb, contracted=False), expected)
