"""Resampling along one axis as a matrix, so that chains of it become one small product.

Averaging over cells, resizing and doubling are linear and separable: what they do to a picture
``x`` (H, W) is ``R x C^T``, with a matrix for its rows and one for its columns. They also commute
with everything that acts on channels alone, such as a 1x1 convolution.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor


def cell_average(cells: int, size: int) -> Float[Tensor, "cells size"]:
    """Mean over each of equal cells along an axis of pixels, parts of pixels counted as such.

    Cell i covers ``[i size / cells, (i + 1) size / cells)`` and pixel x covers ``[x, x + 1)``; an
    entry is the share of the cell that lies in the pixel, so every row sums to one. With
    ``cells = 2, size = 3`` the rows are (2/3, 1/3, 0) and (0, 1/3, 2/3).

    Args:
        cells, size: at least 1; there may be more cells than pixels.

    Returns:
        float64.
    """
    edges = torch.arange(cells + 1, dtype=torch.float64) * size / cells
    pixels = torch.arange(size, dtype=torch.float64)
    right = torch.minimum(edges[1:, None], pixels + 1)
    left = torch.maximum(edges[:-1, None], pixels)
    return (right - left).clamp(min=0) * cells / size


def bilinear(target: int, source: int) -> Float[Tensor, "target source"]:
    """Linear interpolation that keeps the first and the last sample (``align_corners=True``).

    Sample y of the target sits at ``y (source - 1) / (target - 1)`` of the source; a target of
    length one takes the first sample.

    Args:
        target, source: at least 1.

    Returns:
        float64; every row sums to one.
    """
    places = torch.arange(target, dtype=torch.float64) * (source - 1) / max(target - 1, 1)
    return (1 - (places[:, None] - torch.arange(source, dtype=torch.float64)).abs()).clamp(min=0)


def doubled_twice(size: int) -> Float[Tensor, "4*size size"]:
    """The decoder's last steps: bilinear x2, twice, each keeping first and last sample."""
    return bilinear(4 * size, 2 * size) @ bilinear(2 * size, size)


def apply_to_axes(
    x: Float[Tensor, "*batch height width"],
    rows: Float[Tensor, "grid_height height"],
    columns: Float[Tensor, "grid_width width"],
) -> Float[Tensor, "*batch grid_height grid_width"]:
    """``rows x columns^T``, in the type and on the device of ``x``."""
    return rows.to(x) @ (x @ columns.to(x).T)
