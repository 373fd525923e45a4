"""Colour functions on tensors: RGB in, RGB out, all in [0, 1], differentiable, nothing in place."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from dff.edits import operations as ops
from dff.edits.tone_curve import Points, tone_curve

RGB = Float[Tensor, "*batch 3"]

# Rec. ITU-R BT.709, luminance of linear RGB; used here on display values, as image editors do.
LUMINANCE = (0.2126, 0.7152, 0.0722)


def rgb_to_hsv(rgb: RGB) -> Float[Tensor, "*batch 3"]:
    """Hue (fraction of a turn, [0, 1)), saturation and value of RGB in [0, 1].

    The hexcone model (A. R. Smith, "Color gamut transform pairs", SIGGRAPH 1978). Greys have hue
    and saturation 0, and gradients there are finite.
    """
    red, green, blue = rgb.unbind(-1)
    value = rgb.amax(dim=-1)
    chroma = value - rgb.amin(dim=-1)
    # Divide by one where the true divisor is zero: `where` alone would still give NaN gradients.
    step = torch.where(chroma > 0, chroma, torch.ones_like(chroma))
    sector = torch.where(
        value == red,
        (green - blue) / step,
        torch.where(value == green, 2 + (blue - red) / step, 4 + (red - green) / step),
    )
    hue = torch.remainder(torch.where(chroma > 0, sector, torch.zeros_like(sector)) / 6, 1)
    # remainder of a tiny negative number rounds up to 1, which is hue 0 again.
    hue = torch.where(hue >= 1, torch.zeros_like(hue), hue)
    saturation = chroma / torch.where(value > 0, value, torch.ones_like(value))
    return torch.stack([hue, saturation, value], dim=-1)


def hsv_to_rgb(hsv: Float[Tensor, "*batch 3"]) -> RGB:
    """Inverse of `rgb_to_hsv`; the hue may be any number, whole turns are dropped."""
    hue, saturation, value = hsv.unbind(-1)
    channels = []
    for offset in (5.0, 3.0, 1.0):
        k = torch.remainder(offset + hue * 6, 6)
        channels.append(
            value - value * saturation * torch.minimum(k, 4 - k).clamp(min=0.0, max=1.0)
        )
    return torch.stack(channels, dim=-1)


def shift_hue(rgb: RGB, degrees: float) -> RGB:
    """Turn the hue by ``degrees``, keeping saturation and value."""
    hue, saturation, value = rgb_to_hsv(rgb).unbind(-1)
    return hsv_to_rgb(torch.stack([hue + degrees / 360, saturation, value], dim=-1))


def scale_saturation(rgb: RGB, factor: float) -> RGB:
    """Multiply the saturation by ``factor`` >= 0, at most up to 1; hue and value stay.

    Saturation S and value V give every channel as ``V (1 - S t)``, t in [0, 1] depending on the hue
    alone; so the channels move along the line to V, without a round trip through the hue.
    """
    value = rgb.amax(dim=-1, keepdim=True)
    chroma = value - rgb.amin(dim=-1, keepdim=True)
    limit = value / torch.where(chroma > 0, chroma, torch.ones_like(chroma))
    reach = torch.where(chroma > 0, limit, torch.ones_like(limit)).clamp(max=factor)
    return (value - (value - rgb) * reach).clamp(0.0, 1.0)


def scale_value(rgb: RGB, factor: float) -> RGB:
    """Multiply the value by ``factor`` >= 0, at most up to 1; hue and saturation stay."""
    value = rgb.amax(dim=-1, keepdim=True)
    limit = 1 / torch.where(value > 0, value, torch.ones_like(value))
    return rgb * limit.clamp(max=factor)


def tint(rgb: RGB, color: tuple[float, float, float], strength: float) -> RGB:
    """Mix with ``color``: ``(1 - strength) rgb + strength color``."""
    return (1 - strength) * rgb + strength * rgb.new_tensor(color)


def set_colour(rgb: RGB, color: tuple[float, float, float], gain: float) -> RGB:
    """``color`` under the shading of ``rgb``: ``min(gain max(rgb), 1) color``."""
    shading = (gain * rgb.amax(dim=-1, keepdim=True)).clamp(max=1.0)
    return shading * rgb.new_tensor(color)


def greyscale(rgb: RGB, strength: float) -> RGB:
    """Mix with the luminance: ``(1 - strength) rgb + strength Y``."""
    luminance = (rgb * rgb.new_tensor(LUMINANCE)).sum(dim=-1, keepdim=True)
    return (1 - strength) * rgb + strength * luminance


def swap_channels(rgb: RGB, order: str) -> RGB:
    """New red, green and blue are the old channels that ``order`` (such as ``gbr``) names."""
    return rgb[..., ["rgb".index(name) for name in order]]


def tone_curves(
    rgb: RGB, channels: Sequence[Points | None], overall: Points | None, smooth: bool
) -> RGB:
    """Each channel through its own curve, then all of them through one; None is no curve."""
    own = [
        value if points is None else tone_curve(value, points, smooth)
        for value, points in zip(rgb.unbind(-1), channels, strict=True)
    ]
    result = torch.stack(own, dim=-1)
    return result if overall is None else tone_curve(result, overall, smooth)


# Known by name, so that a document says which function, never what code.
COLOUR_FUNCTIONS: Mapping[str, Callable[[Any, RGB], RGB]] = MappingProxyType(
    {
        "hue": lambda op, rgb: shift_hue(rgb, op.degrees),
        "saturation": lambda op, rgb: scale_saturation(rgb, op.factor),
        "value": lambda op, rgb: scale_value(rgb, op.factor),
        "tint": lambda op, rgb: tint(rgb, op.color, op.strength),
        "set": lambda op, rgb: set_colour(rgb, op.color, op.gain),
        "greyscale": lambda op, rgb: greyscale(rgb, op.strength),
        "channels": lambda op, rgb: swap_channels(rgb, op.order),
        "curves": lambda op, rgb: tone_curves(
            rgb, (op.red, op.green, op.blue), op.all, smooth=op.smooth
        ),
    }
)


def recolour(rgb: RGB, operation: ops.Recolor) -> RGB:
    """``g(rgb)`` for a recolour operation.

    Args:
        rgb: (..., 3) in [0, 1].
        operation: names the function and holds its parameters.

    Returns:
        (..., 3) in [0, 1].
    """
    return COLOUR_FUNCTIONS[operation.function](operation, rgb)
