"""The published rules for one class at a time: where is it, and which pixels are it.

As LERF (arXiv 2303.09553) and LangSplat (arXiv 2312.16084, its released evaluation) have them, for
a rendered map of relevancy in [0, 1]. LangSplat chooses among three scales of its features by the
highest relevancy; here there is one.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Bool, Float
from scipy.ndimage import uniform_filter
from torch import Tensor

# Of the mean filter, in pixels of pictures about a thousand wide.
MEAN_WIDTH = 30
# A pixel is foreground above this, once the map is stretched to [-1, 1].
FOREGROUND = 0.4
MAJORITY_WIDTH = 7


def mean_filtered(relevancy: Float[Tensor, "h w"], width: int = MEAN_WIDTH) -> Tensor:
    """Mean over a square, the picture mirrored at its border."""
    filtered = uniform_filter(relevancy.double().numpy(), width, mode="mirror")
    return torch.from_numpy(np.asarray(filtered)).to(relevancy.dtype)


def is_localised(
    relevancy: Float[Tensor, "h w"],
    boxes: Sequence[tuple[float, float, float, float]],
    width: int = MEAN_WIDTH,
) -> bool:
    """Whether the highest relevancy, mean-filtered, is in one of the boxes.

    Args:
        relevancy: of one class.
        boxes: x0, y0, x1, y1 in pixels, their borders included.
        width: of the filter; 1 is LERF's own rule, without one.
    """
    filtered = mean_filtered(relevancy, width) if width > 1 else relevancy
    y, x = divmod(int(filtered.argmax()), filtered.shape[1])
    return any(x0 <= x <= x1 and y0 <= y <= y1 for x0, y0, x1, y1 in boxes)


def rendered_mask(relevancy: Float[Tensor, "h w"], width: int = MEAN_WIDTH) -> Bool[Tensor, "h w"]:
    """Pixels of a class by LangSplat's rule.

    With m the mean of the map and its mean-filtered self, ``2 (m - min) / (max - min) - 1 > 0.4``,
    then the majority of each 7x7 pixels.
    """
    mixed = 0.5 * (mean_filtered(relevancy, width) + relevancy)
    spread = (mixed.max() - mixed.min()).clamp_min(1e-9)
    found = 2 * (mixed - mixed.min()) / spread - 1 > FOREGROUND
    share = uniform_filter(found.double().numpy(), MAJORITY_WIDTH, mode="nearest")
    return torch.from_numpy(np.asarray(share) > 0.5)
