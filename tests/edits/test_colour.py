"""Colour functions against colorsys, pixel by pixel."""

from __future__ import annotations

import colorsys
from itertools import pairwise, permutations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.interpolate import PchipInterpolator

from dff.edits import (
    COLOUR_FUNCTIONS,
    Channels,
    Curves,
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
from dff.edits.tone_curve import tone_curve

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


@st.composite
def curves(draw) -> tuple[tuple[float, float], ...]:
    xs = draw(st.lists(st.integers(0, 10_000), min_size=2, max_size=8, unique=True))
    return tuple((x / 10_000, draw(channel)) for x in sorted(xs))


@given(curves(), st.lists(channel, min_size=1, max_size=20))
def test_tone_curves_agree_with_scipy_and_numpy(points, values):
    xs, ys = zip(*points, strict=True)
    inside = np.clip(values, xs[0], xs[-1])
    smooth = PchipInterpolator(xs, ys)(inside) if len(xs) > 2 else np.interp(values, xs, ys)
    got = tone_curve(tensor(values), points, smooth=True)
    torch.testing.assert_close(got, tensor(smooth.tolist()), rtol=1e-7, atol=1e-9)
    got = tone_curve(tensor(values), points, smooth=False)
    torch.testing.assert_close(got, tensor(np.interp(values, xs, ys).tolist()), atol=1e-9, rtol=0)


@given(curves(), st.booleans())
def test_tone_curves_go_through_their_points_and_never_beyond(points, smooth):
    xs, ys = zip(*points, strict=True)
    torch.testing.assert_close(tone_curve(tensor(xs), points, smooth), tensor(ys))
    x = torch.linspace(-0.5, 1.5, 1001, dtype=torch.float64)
    y = tone_curve(x, points, smooth)
    for (x0, y0), (x1, y1) in pairwise(points):
        between = y[(x >= x0) & (x <= x1)]
        assert ((between >= min(y0, y1) - 1e-12) & (between <= max(y0, y1) + 1e-12)).all()
    assert (y[x <= xs[0]] == ys[0]).all()
    assert torch.allclose(y[x >= xs[-1]], tensor(ys[-1]))
    rising = tuple(zip(xs, sorted(ys), strict=True))
    assert (tone_curve(x, rising, smooth).diff() >= -1e-12).all()


def test_the_slope_of_a_curve_is_its_gradient():
    points = ((0.1, 0.0), (0.3, 0.5), (0.6, 0.6), (0.9, 0.2))
    x = torch.linspace(0.11, 0.89, 40, dtype=torch.float64, requires_grad=True)
    tone_curve(x, points).sum().backward()
    slopes = PchipInterpolator(*zip(*points, strict=True)).derivative()(x.detach().numpy())
    torch.testing.assert_close(x.grad, torch.from_numpy(slopes))
    assert torch.autograd.gradcheck(lambda v: tone_curve(v, points), (x,))


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float32])
def test_points_close_together_are_no_trouble_to_low_precision(kind):
    points = ((0.0, 0.0), (0.9, 0.2), (0.9001, 0.8), (1.0, 1.0))
    values = torch.linspace(0, 1, 200).to(kind)
    for smooth in (True, False):
        got = tone_curve(values, points, smooth)
        assert got.dtype == kind
        torch.testing.assert_close(
            got.float(), tone_curve(values.double(), points, smooth).float(), atol=0.01, rtol=0
        )


def test_channels_go_through_their_own_curve_first_then_through_that_of_all():
    half, up = ((0.0, 0.0), (1.0, 0.5)), ((0.0, 0.2), (1.0, 1.0))
    rgb = tensor([[0.2, 0.4, 0.8]])
    got = recolour(rgb, Curves(red=half, all=up, smooth=False))
    torch.testing.assert_close(got, tensor([[0.2 + 0.8 * 0.1, 0.2 + 0.8 * 0.4, 0.2 + 0.8 * 0.8]]))
    got = recolour(rgb, Curves(green=half, blue=up))
    torch.testing.assert_close(got, tensor([[0.2, 0.2, 0.2 + 0.8 * 0.8]]))


@pytest.mark.parametrize("order", ["".join(names) for names in permutations("rgb")])
def test_channels_change_places(order):
    rgb = torch.rand(5, 4, 3)
    old = dict(zip("rgb", rgb.unbind(-1), strict=True))
    assert torch.equal(
        recolour(rgb, Channels(order=order)), torch.stack([old[name] for name in order], dim=-1)
    )


def examples():
    yield Curves(all=((0.1, 0.0), (0.3, 0.6), (0.9, 0.4)), red=((0.0, 1.0), (1.0, 0.0)))
    yield Channels(order="brg")
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
