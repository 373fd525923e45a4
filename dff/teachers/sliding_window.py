"""Dense features of large images by windows that overlap by half."""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

# Windows in one forward pass; more of them need more memory and are hardly faster.
WINDOW_BATCH = 8


def window_starts(length: int, window: int) -> list[int]:
    """Where windows begin that cover a line, half a window apart; the last one ends with the line.

    Args:
        length: of the line, in cells.
        window: of a window, in cells; a line that is no longer has one window.

    Example:
        ``window_starts(10, 4)`` is ``[0, 2, 4, 6]``, ``window_starts(7, 4)`` is ``[0, 2, 3]``.
    """
    last = max(0, length - window)
    return [*range(0, last, max(1, window // 2)), last]


def average_windows(
    encode: Callable[[Tensor], Tensor],
    images: Float[Tensor, "batch 3 height width"],
    patch: tuple[int, int],
    window: tuple[int, int],
) -> Float[Tensor, "batch grid_height grid_width dim"]:
    """Features of images, each cell the mean of what the windows that cover it give.

    Each window counts the same. The mean is of features as they are, before any normalisation.

    Args:
        encode: gives (n, h, w, D) features of n crops, h by w patches each.
        images: sides are whole patches.
        patch: height and width of a patch in pixels.
        window: height and width of a window in patches.
    """
    rows, columns = images.shape[-2] // patch[0], images.shape[-1] // patch[1]
    height, width = min(window[0], rows), min(window[1], columns)
    corners = [
        (top, left) for top in window_starts(rows, height) for left in window_starts(columns, width)
    ]
    total: Tensor | None = None
    count = torch.zeros(rows, columns, 1, device=images.device)
    for start in range(0, len(corners), WINDOW_BATCH):
        chosen = corners[start : start + WINDOW_BATCH]
        crops = [
            images[
                :,
                :,
                top * patch[0] : (top + height) * patch[0],
                left * patch[1] : (left + width) * patch[1],
            ]
            for top, left in chosen
        ]
        maps = encode(torch.cat(crops)).unflatten(0, (len(chosen), len(images)))
        if total is None:
            total = maps.new_zeros(len(images), rows, columns, maps.shape[-1])
        assert total is not None
        for (top, left), features in zip(chosen, maps, strict=True):
            total[:, top : top + height, left : left + width] += features
            count[top : top + height, left : left + width] += 1
    assert total is not None  # there is always a window
    return total / count
