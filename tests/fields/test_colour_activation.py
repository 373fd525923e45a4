"""The sigmoid of colours: torch's values and slopes, and a way back from its ends."""

from __future__ import annotations

import pytest
import torch

from dff.fields.colour_activation import LEAST_SLOPE, colour_sigmoid


def slopes(function, raw: torch.Tensor) -> torch.Tensor:
    raw = raw.clone().requires_grad_()
    function(raw).sum().backward()
    assert raw.grad is not None
    return raw.grad


def test_values_are_torchs_to_the_last_bit():
    raw = torch.randn(50, 3) * 8
    assert torch.equal(colour_sigmoid(raw), torch.sigmoid(raw))
    assert colour_sigmoid(raw[:0]).shape == (0, 3)


def test_slopes_are_torchs_for_colours_that_can_be_told_from_black_and_white():
    raw = torch.linspace(-5.2, 5.2, 300)
    assert torch.equal(slopes(colour_sigmoid, raw), slopes(torch.sigmoid, raw))


def test_the_floor_is_below_one_8_bit_level_from_the_ends():
    raw = torch.tensor([-40.0, -12.0, -6.0, 6.0, 12.0, 40.0])
    torch.testing.assert_close(slopes(colour_sigmoid, raw), torch.full_like(raw, LEAST_SLOPE))
    flat = torch.sigmoid(torch.tensor(5.3, dtype=torch.float64))
    assert float(flat * (1 - flat)) == pytest.approx(LEAST_SLOPE, rel=0.02)
    assert float(1 - flat) * 255 < 1.3


@pytest.mark.parametrize(("start", "target"), [(-14.0, 0.1), (14.0, 0.9)])
def test_a_channel_that_was_driven_too_far_comes_back(start, target):
    def trained(function) -> float:
        raw = torch.full((1, 3), start, requires_grad=True)
        descent = torch.optim.SGD([raw], lr=50.0)
        for _ in range(1000):
            descent.zero_grad()
            (function(raw) - target).square().mean().backward()
            descent.step()
        return float(function(raw.detach()).mean())

    assert trained(colour_sigmoid) == pytest.approx(target, abs=1e-3)
    assert abs(trained(torch.sigmoid) - target) > 0.09
