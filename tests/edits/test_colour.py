"""Colour functions against colorsys, pixel by pixel."""

from __future__ import annotations

import colorsys

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dff.edits import (
    COLOUR_FUNCTIONS,
    Greyscale,
    HueShift,
    SaturationScale,
    SetColor,
    Tint,
    ValueScale,
    hsv_to_rgb,
    recolour,
    rgb_to_hsv,
)
from dff.edits.operations import RECOLOR_FUNCTIONS

channel = st.one_of(st.floats(0, 1, width=32), st.sampled_from([0.0, 0.5, 1.0]))
pixels = st.lists(st.tuples(channel, channel, channel), min_size=1, max_size=8)


def tensor(values) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


@given(pixels)
def test_hsv_agrees_with_colorsys_both_ways(values):
    hsv = rgb_to_hsv(tensor(values))
    expected = tensor([colorsys.rgb_to_hsv(*v) for v in values])
    torch.testing.assert_close(hsv, expected, rtol=1e-12, atol=1e-12)
    back = tensor([colorsys.hsv_to_rgb(*v) for v in values])
    torch.testing.assert_close(hsv_to_rgb(tensor(values)), back, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(hsv_to_rgb(hsv), tensor(values), rtol=1e-9, atol=1e-9)


def through_hsv(value, change):
    h, s, v = change(*colorsys.rgb_to_hsv(*value))
    return colorsys.hsv_to_rgb(h % 1, min(s, 1), min(v, 1))


@given(pixels, st.floats(-360, 360), st.floats(0, 10))
def test_shifts_and_scales_agree_with_colorsys(values, degrees, factor):
    cases = [
        (HueShift(degrees=degrees), lambda h, s, v: (h + degrees / 360, s, v)),
        (SaturationScale(factor=factor), lambda h, s, v: (h, s * factor, v)),
        (ValueScale(factor=factor), lambda h, s, v: (h, s, v * factor)),
    ]
    for operation, change in cases:
        expected = tensor([through_hsv(v, change) for v in values])
        got = recolour(tensor(values), operation)
        torch.testing.assert_close(got, expected, rtol=1e-6, atol=1e-6)


def test_known_colours():
    red = tensor([[1.0, 0.0, 0.0]])
    torch.testing.assert_close(recolour(red, HueShift(degrees=120)), tensor([[0.0, 1, 0]]))
    torch.testing.assert_close(recolour(red, HueShift(degrees=-120)), tensor([[0.0, 0, 1]]))
    torch.testing.assert_close(recolour(red, SaturationScale(factor=0)), tensor([[1.0, 1, 1]]))
    half = Tint(color=(0.0, 0.0, 1.0), strength=0.25)
    torch.testing.assert_close(recolour(red, half), tensor([[0.75, 0, 0.25]]))
    grey = recolour(red, Greyscale())
    torch.testing.assert_close(grey, tensor([[0.2126, 0.2126, 0.2126]]))


def test_setting_a_colour_keeps_the_shading():
    lit = tensor([[0.8, 0.2, 0.1]])
    shades = torch.linspace(0.1, 1, 10, dtype=torch.float64)[:, None] * lit
    blue = recolour(shades, SetColor(color=(0.0, 0.5, 1.0)))
    torch.testing.assert_close(blue, shades[:, :1] * tensor([[0.0, 0.5, 1.0]]))
    assert recolour(lit, SetColor(color=(1.0, 1.0, 1.0), gain=10)).max() == 1


def examples():
    yield HueShift(degrees=77)
    yield SaturationScale(factor=3)
    yield ValueScale(factor=2)
    yield Tint(color=(0.1, 0.9, 0.5))
    yield SetColor(color=(0.1, 0.9, 0.5), gain=2)
    yield Greyscale(strength=0.5)


@pytest.mark.parametrize("operation", examples(), ids=lambda o: o.function)
def test_results_are_colours_with_finite_gradients_and_the_input_is_left_alone(operation):
    corners = torch.cartesian_prod(*[torch.tensor([0.0, 0.25, 0.5, 1.0])] * 3)
    rgb = torch.cat([corners, torch.rand(200, 3)]).requires_grad_()
    before = rgb.detach().clone()
    result = recolour(rgb, operation)
    assert ((result >= 0) & (result <= 1 + 1e-6)).all()
    result.sum().backward()
    assert torch.isfinite(rgb.grad).all()
    assert torch.equal(rgb.detach(), before)


def test_every_function_of_a_document_is_there():
    assert set(COLOUR_FUNCTIONS) == set(RECOLOR_FUNCTIONS)
    assert {o.function for o in examples()} == set(RECOLOR_FUNCTIONS)
