"""The scores of a query as a small picture, above the slider of their threshold."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, UInt8
from torch import Tensor

# Twice as fine as a panel shows it.
WIDTH, HEIGHT = 690, 120
BINS = 100
GROUND, BARS, CHOSEN, OTSU = (30, 32, 38), (110, 130, 170), (255, 96, 48), (240, 220, 120)
LINE = 2


def histogram(
    scores: Float[Tensor, " n"] | None,
    threshold: float | None,
    suggested: float | None,
    ends: tuple[float, float] = (0.0, 1.0),
) -> UInt8[np.ndarray, "120 690 3"]:
    """Counts of scores in [0, 1], by their square root, so that small groups can be seen.

    Args:
        scores: of the surface; None leaves the picture empty.
        threshold: what reaches it is shown in the colour of what is selected.
        suggested: Otsu's, a dashed line.
        ends: where the scores 0 and 1 are, as shares of the picture's width.
    """
    picture = np.empty((HEIGHT, WIDTH, 3), dtype=np.uint8)
    picture[:] = GROUND
    first, last = (round(end * WIDTH) for end in ends)

    def column(score: float) -> int:
        return min(first + int(score * (last - first)), WIDTH - LINE)

    if scores is not None and len(scores):
        counts, _ = np.histogram(scores.numpy(), bins=BINS, range=(0.0, 1.0))
        heights = np.sqrt(counts / max(counts.max(), 1)) * (HEIGHT - 6)
        for number, height in enumerate(heights.round().astype(int)):
            centre = (number + 0.5) / BINS
            colour = CHOSEN if threshold is not None and centre >= threshold else BARS
            if height > 0:
                left, right = column(number / BINS), column((number + 1) / BINS)
                picture[HEIGHT - height :, left:right] = colour
    if suggested is not None:
        left = column(suggested)
        picture[(np.arange(HEIGHT) // 8) % 2 == 0, left : left + LINE] = OTSU
    if threshold is not None:
        picture[:, column(threshold) : column(threshold) + LINE] = (255, 255, 255)
    return picture
