"""Compositing against closed forms and a float64 brute force."""

from __future__ import annotations

import math

import pytest
import torch

from dff import rendering


def brute_force_weights(alphas: list[float]) -> list[float]:
    weights, transmittance = [], 1.0
    for alpha in alphas:
        weights.append(transmittance * alpha)
        transmittance *= 1.0 - alpha
    return weights


def random_samples(rays: int = 5, samples: int = 9) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(3)
    density = torch.rand(rays, samples, 1, generator=generator, dtype=torch.float64) * 4
    deltas = torch.rand(rays, samples, 1, generator=generator, dtype=torch.float64) * 0.5
    return density, deltas


def test_weights_of_the_example_in_the_docstring():
    density = torch.ones(2, 1)
    deltas = torch.full((2, 1), math.log(2.0))
    weights = rendering.weights_from_density(density, deltas)
    torch.testing.assert_close(weights[:, 0], torch.tensor([0.5, 0.25]))
    alphas = torch.tensor([[0.5], [0.5], [1.0]])
    expected = torch.tensor([[0.5], [0.25], [0.25]])
    torch.testing.assert_close(rendering.weights_from_alphas(alphas), expected)


def test_a_homogeneous_medium_has_the_closed_form():
    # Integral of sigma exp(-sigma t) over [0, L], exact whatever the cut into samples.
    sigma, length, samples = 1.7, 2.3, 64
    density = torch.full((samples, 1), sigma, dtype=torch.float64)
    deltas = torch.full((samples, 1), length / samples, dtype=torch.float64)
    weights = rendering.weights_from_density(density, deltas)
    assert float(weights.sum()) == pytest.approx(1 - math.exp(-sigma * length), rel=1e-12)
    # Mean depth of the absorbed light, with samples at their middle: closed form up to O(delta^2).
    distances = (torch.arange(samples, dtype=torch.float64)[:, None] + 0.5) * length / samples
    absorbed = 1 - math.exp(-sigma * length)
    mean = (1 / sigma - math.exp(-sigma * length) * (length + 1 / sigma)) / absorbed
    assert float(rendering.expected_depth(weights, distances)) == pytest.approx(mean, rel=1e-3)


@pytest.mark.parametrize("form", ["density", "alphas"])
def test_weights_agree_with_a_brute_force_in_float64(form):
    density, deltas = random_samples()
    alphas = 1 - torch.exp(-density * deltas)
    if form == "density":
        weights = rendering.weights_from_density(density.float(), deltas.float())
    else:
        weights = rendering.weights_from_alphas(
            rendering.alphas_from_density(density.float(), deltas.float())
        )
    for ray in range(len(density)):
        expected = brute_force_weights(alphas[ray, :, 0].tolist())
        torch.testing.assert_close(
            weights[ray, :, 0].double(),
            torch.tensor(expected, dtype=torch.float64),
            rtol=1e-5,
            atol=1e-7,
        )


def test_compositing_is_the_weighted_sum_and_never_exceeds_one():
    density, deltas = random_samples()
    weights = rendering.weights_from_density(density, deltas)
    values = torch.rand(5, 9, 4, dtype=torch.float64)
    expected = torch.einsum("rs,rsc->rc", weights[..., 0], values)
    torch.testing.assert_close(rendering.accumulate(weights, values), expected)
    assert float(rendering.accumulation(weights).max()) <= 1.0


def test_an_opaque_sample_hides_what_is_behind_and_keeps_gradients_finite():
    density = torch.tensor([[0.0], [1e6], [3.0]], requires_grad=True)
    weights = rendering.weights_from_density(density, torch.ones(3, 1))
    torch.testing.assert_close(weights[:, 0].detach(), torch.tensor([0.0, 1.0, 0.0]))
    weights.sum().backward()
    assert density.grad is not None
    assert torch.isfinite(density.grad).all()


def test_depths_on_a_wall_and_in_the_void():
    distances = torch.tensor([[1.0], [2.0], [3.0]])
    wall = torch.tensor([[0.0], [1.0], [0.0]])
    void = torch.zeros(3, 1)
    assert float(rendering.expected_depth(wall, distances)) == 2.0
    assert float(rendering.median_depth(wall, distances)) == 2.0
    assert float(rendering.expected_depth(void, distances)) == 3.0
    assert float(rendering.median_depth(void, distances)) == 3.0


@pytest.mark.parametrize("k", [1, 3, 9, 20, None])
def test_top_samples_are_the_heaviest_in_the_order_of_the_ray(k):
    weights = rendering.weights_from_density(*random_samples())
    top, index = rendering.top_samples(weights, k)
    kept = 9 if k is None else min(k, 9)
    assert top.shape == (5, kept, 1)
    for ray in range(5):
        heaviest = sorted(range(9), key=lambda i: -float(weights[ray, i, 0]))[:kept]
        assert index[ray].tolist() == sorted(heaviest)
        torch.testing.assert_close(top[ray, :, 0], weights[ray, index[ray], 0])


def test_feature_rendering_sends_no_gradient_to_density():
    density, deltas = random_samples()
    density.requires_grad_()
    features = torch.rand(5, 9, 4, dtype=torch.float64, requires_grad=True)
    rendering.render_features(
        rendering.weights_from_density(density, deltas), features
    ).square().sum().backward()
    assert density.grad is None
    assert features.grad is not None
    assert float(features.grad.abs().sum()) > 0


def test_decoding_after_compositing_is_exact():
    weights = rendering.weights_from_density(*random_samples())
    hidden = torch.rand(5, 9, 6, dtype=torch.float64)
    decoder = torch.rand(11, 6, dtype=torch.float64)
    late = rendering.render_features(weights, hidden) @ decoder.T
    early = rendering.render_features(weights, hidden @ decoder.T)
    torch.testing.assert_close(late, early)
