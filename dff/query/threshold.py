"""Where to cut scores into selected and not selected, and how softly."""

from __future__ import annotations

import contextlib
import re

import torch
from jaxtyping import Float
from torch import Tensor

from dff.errors import DffError

BINS = 256
# Both scoring rules put a match as good as its best rival at this score.
EVEN_ODDS = 0.5
_TOP = re.compile(r"top(?P<percent>\d+(\.\d+)?)%")


def otsu_threshold(
    scores: Float[Tensor, "*any"], weights: Float[Tensor, "*any"] | None = None
) -> float:
    """Otsu's threshold: the cut that maximises the variance between the two classes.

    Histogram of 256 equal bins over [0, 1], counted in float64 (N. Otsu, "A threshold selection
    method from gray-level histograms", IEEE Trans. SMC 9(1), 1979). Where a run of cuts is equally
    good (no score in between), the middle of the run is taken.

    Args:
        scores: any shape, values in [0, 1]; values that are not finite are left out.
        weights: how often each score counts, not negative; once by default.

    Returns:
        The threshold, a multiple of 1/512 in (0, 1); select scores at or above it. When all scores
        fall into one bin there is nothing to separate and 0.5 is returned.

    Raises:
        DffError: when there is no finite score.
    """
    flat = scores.detach().flatten()
    each = torch.ones_like(flat) if weights is None else weights.detach().flatten()
    flat, each = flat[torch.isfinite(flat)], each[torch.isfinite(flat)]
    if flat.numel() == 0:
        raise DffError("no scores to choose a threshold from: the view or the scene is empty")
    bins = (flat.double() * BINS).long().clamp(0, BINS - 1)
    counts = torch.bincount(bins.cpu(), each.double().cpu(), minlength=BINS)
    if (counts > 0).sum() < 2:
        return EVEN_ODDS
    centres = (torch.arange(BINS, dtype=torch.float64) + 0.5) / BINS
    below = counts.cumsum(0)[:-1]
    above = counts.sum() - below
    mass = (counts * centres).cumsum(0)
    mean_below = mass[:-1] / below.clamp_min(1)
    mean_above = (mass[-1] - mass[:-1]) / above.clamp_min(1)
    variance = below * above * (mean_below - mean_above) ** 2
    best = torch.nonzero(variance >= variance.max() * (1 - 1e-12)).flatten()
    # A run of ties: the cut after bin k lies at (k + 1) / BINS.
    first = int(best[0])
    last = first
    while last + 1 < BINS - 1 and counts[last + 1] == 0:
        last += 1
    return (first + last + 2) / (2 * BINS)


def check_threshold(mode: float | str | None) -> None:
    """Refuse what is no threshold.

    Raises:
        DffError: it is neither None, a number from 0 to 1, ``otsu``, ``even``, nor ``top5%``.
    """
    if mode is None or mode in ("otsu", "even"):
        return
    if isinstance(mode, str):
        _share(mode)
        return
    if isinstance(mode, bool) or not isinstance(mode, (int, float)) or not 0.0 <= mode <= 1.0:
        raise DffError(
            f"threshold must be a number from 0 to 1, otsu, even, or a share as in top5%, not "
            f"{mode!r}"
        )


def parse_threshold(text: str | None) -> float | str | None:
    """From a command line.

    Raises:
        DffError: as `check_threshold`.
    """
    mode: float | str | None = text
    if text is not None:
        with contextlib.suppress(ValueError):
            mode = float(text)
    check_threshold(mode)
    return mode


def select_threshold(
    scores: Float[Tensor, " n"],
    mode: float | str,
    weights: Float[Tensor, " n"] | None = None,
) -> float:
    """The threshold to use: a number as given, or one chosen from the scores.

    Args:
        scores: in [0, 1].
        mode: a number in [0, 1]; ``otsu``; ``even`` for 0.5, the score at which the query and its
            best rival match equally well; ``top5%`` for the score that the best 5% reach.
        weights: how often each score counts, not negative; once by default.

    Raises:
        DffError: for another name or a number out of range.
    """
    check_threshold(mode)
    if mode == "otsu":
        return otsu_threshold(scores, weights)
    if mode == "even":
        return EVEN_ODDS
    if not isinstance(mode, str):
        return float(mode)
    if scores.numel() == 0:
        raise DffError("no scores to choose a threshold from: the view or the scene is empty")
    each = torch.ones_like(scores) if weights is None else weights
    order = scores.argsort(descending=True, stable=True)
    reached = each[order].double().cumsum(0)
    last = torch.searchsorted(reached, _share(mode) * reached[-1]).clamp(max=len(order) - 1)
    return float(scores[order[last]].clamp(0.0, 1.0))


def _share(mode: str) -> float:
    found = _TOP.fullmatch(mode.strip())
    share = float(found["percent"]) / 100 if found else 0.0
    if not 0.0 < share <= 1.0:
        raise DffError(
            f"unknown threshold {mode!r}: give a number from 0 to 1, otsu, even, or a share as in "
            "top5%"
        )
    return share


def soft_mask(
    scores: Float[Tensor, "*batch"], threshold: float, softness: float = 0.0
) -> Float[Tensor, "*batch"]:
    """Turn scores into a soft mask: 0 below the threshold, 1 above it, a smoothstep between.

    With ``u = (s - (t - w)) / 2w`` the mask is ``u^2 (3 - 2u)``: exactly 0 up to ``t - w``, exactly
    1 from ``t + w`` on, 0.5 at the threshold. w is the softness, narrowed where it would reach past
    the ends of [0, 1], so that a score of 0 is never selected by a threshold above 0, and a score
    of 1 always is.

    Args:
        scores: any shape, in [0, 1].
        threshold: t, in [0, 1].
        softness: half the width of the transition, in [0, 0.5]; 0 selects ``s >= t``, hard.

    Returns:
        Same shape, in [0, 1].
    """
    width = min(softness, threshold, 1.0 - threshold)
    if width < 1e-6:  # finer than single precision can tell
        return (scores >= threshold).to(scores.dtype)
    low, high = threshold - width, threshold + width
    u = ((scores - low) / (high - low)).clamp(0.0, 1.0)
    smooth = u * u * (3 - 2 * u)
    smooth = torch.where(scores >= high, torch.ones_like(smooth), smooth)
    return torch.where(scores <= low, torch.zeros_like(smooth), smooth)
