"""Learning rates by the formula, and optimizer state in plain floats."""

from __future__ import annotations

import math

import pytest
import torch

from dff.schedules import ExponentialDecayConfig, FusedAdamOptimizerConfig


def rates(steps: int, **settings) -> list[float]:
    weight = torch.nn.Parameter(torch.zeros(1))
    optimizer = FusedAdamOptimizerConfig(lr=1e-2).setup(params=[weight])
    scheduler = ExponentialDecayConfig(**settings).setup().get_scheduler(optimizer, 1e-2)
    found = []
    for _ in range(steps + 1):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return found


def test_the_rate_decays_from_the_first_to_the_last():
    found = rates(120, lr_final=1e-4, max_steps=100)
    assert found[0] == pytest.approx(1e-2)
    assert found[50] == pytest.approx(1e-3)  # halfway: the geometric mean
    assert found[100] == pytest.approx(1e-4)
    assert found[120] == pytest.approx(1e-4)  # and stays there
    assert found[25] == pytest.approx(1e-2 * math.sqrt(math.sqrt(1e-2)))


def test_the_rate_warms_up_linearly():
    found = rates(10, lr_final=1e-2, max_steps=100, warmup_steps=4)
    assert found[:6] == pytest.approx([0.25e-2, 0.5e-2, 0.75e-2, 1e-2, 1e-2, 1e-2])


def test_everything_is_a_plain_float():
    assert all(type(rate) is float for rate in rates(3, lr_final=1e-4, max_steps=10))


def test_the_state_loads_with_weights_only(tmp_path):
    weight = torch.nn.Parameter(torch.zeros(3))
    optimizer = FusedAdamOptimizerConfig(lr=1e-2).setup(params=[weight])
    scheduler = ExponentialDecayConfig(max_steps=5).setup().get_scheduler(optimizer, 1e-2)
    weight.grad = torch.ones(3)
    optimizer.step()
    scheduler.step()
    torch.save([optimizer.state_dict(), scheduler.state_dict()], tmp_path / "state.pt")
    states = torch.load(tmp_path / "state.pt", weights_only=True)
    assert states[1]["last_epoch"] == 1
    assert optimizer.defaults["fused"] is True


def test_fused_adam_steps_as_plain_adam():
    results = []
    for fused in (True, False):
        torch.manual_seed(0)
        weight = torch.nn.Parameter(torch.randn(50))
        optimizer = FusedAdamOptimizerConfig(lr=1e-2, eps=1e-15, fused=fused).setup(params=[weight])
        for _ in range(5):
            optimizer.zero_grad()
            (weight.sin() * torch.arange(50)).sum().backward()
            optimizer.step()
        results.append(weight.detach().clone())
    torch.testing.assert_close(*results)
