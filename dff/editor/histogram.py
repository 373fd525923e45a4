"""The scores of a query as a small picture."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, UInt8
from torch import Tensor

WIDTH, HEIGHT = 300, 70
BINS = 100
GROUND, BARS, CHOSEN, OTSU = (30, 32, 38), (110, 130, 170), (255, 96, 48), (240, 220, 120)


def histogram(
    scores: Float[Tensor, " n"] | None, threshold: float | None, suggested: float | None
) -> UInt8[np.ndarray, "70 300 3"]:
    """Counts of scores in [0, 1], by their square root, so that small groups can be seen.

    Args:
        scores: of the surface; None leaves the picture empty.
        threshold: what reaches it is shown in the colour of what is selected.
        suggested: Otsu's, a dashed line.
    """
    picture = np.empty((HEIGHT, WIDTH, 3), dtype=np.uint8)
    picture[:] = GROUND
    if scores is not None and len(scores):
        counts, _ = np.histogram(scores.numpy(), bins=BINS, range=(0.0, 1.0))
        heights = np.sqrt(counts / max(counts.max(), 1)) * (HEIGHT - 6)
        wide = WIDTH // BINS
        for number, height in enumerate(heights.round().astype(int)):
            centre = (number + 0.5) / BINS
            colour = CHOSEN if threshold is not None and centre >= threshold else BARS
            if height > 0:
                picture[HEIGHT - height :, number * wide : (number + 1) * wide] = colour
    if suggested is not None:
        column = min(int(suggested * WIDTH), WIDTH - 1)
        picture[:, column][(np.arange(HEIGHT) // 4) % 2 == 0] = OTSU
    if threshold is not None:
        picture[:, min(int(threshold * WIDTH), WIDTH - 1)] = (255, 255, 255)
    return picture
