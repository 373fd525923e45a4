"""Prompts taken from ground truth, as a person would give them: where to click, what to frame."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Bool, Float
from scipy.ndimage import distance_transform_edt
from torch import Tensor

from dff.evaluate.masks import intersection_over_union


def depth_within(mask: Bool[Tensor, "h w"]) -> Float[np.ndarray, "h w"]:
    """Distance of each pixel of a mask to what is not of it, the picture's border included."""
    padded = np.pad(mask.numpy(), 1)
    return np.asarray(distance_transform_edt(padded))[1:-1, 1:-1]


def deepest(mask: Bool[Tensor, "h w"]) -> tuple[float, float]:
    """x, y of the middle of the pixel deepest inside a mask.

    Raises:
        ValueError: the mask is empty.
    """
    if not bool(mask.any()):
        raise ValueError("an empty mask has no deepest pixel")
    depth = depth_within(mask)
    y, x = np.unravel_index(int(depth.argmax()), depth.shape)
    return float(x) + 0.5, float(y) + 0.5


def box_of(mask: Bool[Tensor, "h w"]) -> tuple[float, float, float, float]:
    """x0, y0, x1, y1 of a mask's bounding box, x1 and y1 not included.

    Raises:
        ValueError: the mask is empty.
    """
    ys, xs = torch.nonzero(mask, as_tuple=True)
    if not len(ys):
        raise ValueError("an empty mask has no box")
    return float(xs.min()), float(ys.min()), float(xs.max() + 1), float(ys.max() + 1)


def best_threshold(
    scores: Float[Tensor, "h w"], truth: Bool[Tensor, "h w"], steps: int = 100
) -> float:
    """The threshold at which scores agree best with the truth, by intersection over union.

    Args:
        scores: of one picture.
        truth: of the same.
        steps: thresholds tried, evenly between the lowest and the highest score.
    """
    low, high = float(scores.min()), float(scores.max())
    tried = torch.linspace(low, high, steps + 1)[1:].tolist()
    found = [intersection_over_union(scores >= threshold, truth) for threshold in tried]
    return tried[int(np.nanargmax(found))]
