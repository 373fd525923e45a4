"""Tone curves: a function of one channel given by points, differentiable in what goes through."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor

Points = Sequence[tuple[float, float]]


def tone_curve(
    values: Float[Tensor, "*batch"], points: Points, smooth: bool = True
) -> Float[Tensor, "*batch"]:
    """``y(x)`` of the curve through ``points``, level beyond its ends.

    With ``t = (x - x_k) / h_k`` in the interval k of width ``h_k``, y is the cubic Hermite

    ``y_k + t (d_k h_k + t (3 D - 2 d_k h_k - d_{k+1} h_k + t (d_k h_k + d_{k+1} h_k - 2 D)))``,

    ``D = y_{k+1} - y_k``. With the slopes d of `monotone_slopes` it stays between the two points it
    joins, so colours stay colours; with slopes D / h it is the straight line.

    Args:
        values: x, any numbers.
        points: at least two (x, y), x rising.
        smooth: bend through the points; otherwise join them by straight lines.

    Returns:
        y, between the lowest and the highest y of the points.
    """
    xs, ys = zip(*points, strict=True)
    # In half precision, points that lie close together would be one.
    precise = values.to(torch.promote_types(values.dtype, torch.float32))
    knots, heights = precise.new_tensor(xs), precise.new_tensor(ys)
    x = precise.clamp(xs[0], xs[-1])
    k = torch.bucketize(x.detach(), knots[1:-1].contiguous())
    width, rise = knots.diff()[k], heights.diff()[k]
    t = ((x - knots[k]) / width).clamp(0.0, 1.0)
    if not smooth:
        return (heights[k] + t * rise).to(values)
    slopes = precise.new_tensor(monotone_slopes(points))
    first, last = slopes[k] * width, slopes[k + 1] * width
    cubic = t * (first + t * (3 * rise - 2 * first - last + t * (first + last - 2 * rise)))
    # What rounding adds would leave the range of the points by a last bit.
    return (heights[k] + cubic).clamp(min(ys), max(ys)).to(values)


def monotone_slopes(points: Points) -> list[float]:
    """Slopes with which a cubic rises and falls only where its points do.

    Inside: zero at a turn, else the weighted harmonic mean of the slopes on both sides (F. N.
    Fritsch and J. Butland, "A method for constructing local monotone piecewise cubic
    interpolants", SIAM J. Sci. Stat. Comput. 5, 1984). At the ends: the slope of the parabola
    through the first three points, bounded so that nothing overshoots (C. Moler, "Numerical
    Computing with MATLAB", 3.6).

    Args:
        points: at least two (x, y), x rising.

    Returns:
        One slope for each point.
    """
    widths = [after[0] - before[0] for before, after in pairwise(points)]
    secants = [
        (after[1] - before[1]) / width
        for (before, after), width in zip(pairwise(points), widths, strict=True)
    ]
    if len(secants) == 1:
        return secants * 2
    inner = [
        _harmonic(*pair, *sides)
        for pair, sides in zip(pairwise(widths), pairwise(secants), strict=True)
    ]
    first = _end(widths[0], widths[1], secants[0], secants[1])
    last = _end(widths[-1], widths[-2], secants[-1], secants[-2])
    return [first, *inner, last]


def _harmonic(width: float, next_width: float, slope: float, next_slope: float) -> float:
    if slope * next_slope <= 0:
        return 0.0
    before, after = 2 * next_width + width, next_width + 2 * width
    return (before + after) / (before / slope + after / next_slope)


def _end(width: float, next_width: float, slope: float, next_slope: float) -> float:
    parabola = ((2 * width + next_width) * slope - width * next_slope) / (width + next_width)
    if parabola * slope <= 0:
        return 0.0
    if slope * next_slope <= 0 and abs(parabola) > 3 * abs(slope):
        return 3 * slope
    return parabola
