"""How well masks and label maps agree with ground truth."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Int
from scipy.ndimage import binary_erosion
from torch import Tensor


def intersection_over_union(mask: Bool[Tensor, "*size"], truth: Bool[Tensor, "*size"]) -> float:
    """``|A and B| / |A or B|``; NaN where both are empty."""
    union = int((mask | truth).sum())
    return math.nan if union == 0 else int((mask & truth).sum()) / union


def inner_border(mask: Bool[Tensor, "h w"], width: int) -> Bool[Tensor, "h w"]:
    """Pixels of a mask within ``width`` pixels (chessboard distance) of its outside.

    What lies beyond the picture counts as outside.
    """
    inside = mask.cpu().numpy()
    core = np.asarray(
        binary_erosion(inside, np.ones((3, 3)), iterations=width, border_value=0), dtype=bool
    )
    return torch.from_numpy(inside & ~core).to(mask.device)


def boundary_iou(
    mask: Bool[Tensor, "h w"], truth: Bool[Tensor, "h w"], share: float = 0.02
) -> float:
    """Intersection over union of the two masks' inner borders: how sharp and right the rims are.

    Boundary IoU of Cheng et al., "Boundary IoU" (arXiv 2103.16562), equation 2, the border being
    ``share`` of the picture's diagonal wide, at least one pixel.

    Returns:
        In [0, 1]; NaN where both masks are empty.
    """
    width = max(1, round(share * math.hypot(*mask.shape)))
    return intersection_over_union(inner_border(mask, width), inner_border(truth, width))


@dataclass(frozen=True)
class Confusion:
    """Pixel counts: row is the true class, column the predicted one.

    Attributes:
        counts: (n, n), non-negative whole numbers.
    """

    counts: Int[Tensor, "n n"]

    @classmethod
    def empty(cls, classes: int) -> Confusion:
        """No pixels seen yet."""
        return cls(torch.zeros(classes, classes, dtype=torch.int64))

    def add(self, predicted: Int[Tensor, "*size"], truth: Int[Tensor, "*size"]) -> Confusion:
        """With the pixels of one more picture; those whose truth is negative do not count.

        Raises:
            ValueError: a prediction or a truth that is no class.
        """
        classes = len(self.counts)
        known = truth >= 0
        for values in (predicted[known], truth[known]):
            if values.numel() and not 0 <= int(values.min()) <= int(values.max()) < classes:
                raise ValueError(f"a label is outside 0 to {classes - 1}")
        joint = truth[known].long() * classes + predicted[known].long()
        counted = torch.bincount(joint, minlength=classes**2).view(classes, classes)
        return Confusion(self.counts + counted)

    @property
    def ious(self) -> list[float]:
        """Intersection over union of each class, NaN for classes neither true nor predicted."""
        hit = self.counts.diagonal().double()
        union = self.counts.sum(0) + self.counts.sum(1) - self.counts.diagonal()
        return [math.nan if int(u) == 0 else float(h / u) for h, u in zip(hit, union, strict=True)]

    def mean_iou(self, classes: list[int] | None = None) -> float:
        """Mean over the given classes (all by default), those that are NaN left out."""
        ious = self.ious
        values = [ious[c] for c in (classes if classes is not None else range(len(ious)))]
        values = [value for value in values if not math.isnan(value)]
        return sum(values) / len(values) if values else math.nan

    @property
    def accuracies(self) -> list[float]:
        """Share of each class's true pixels that are right, NaN for classes that have none."""
        right, there = self.counts.diagonal().tolist(), self.counts.sum(1).tolist()
        return [r / t if t else math.nan for r, t in zip(right, there, strict=True)]

    @property
    def accuracy(self) -> float:
        """Share of the pixels that are right."""
        total = int(self.counts.sum())
        return math.nan if total == 0 else int(self.counts.diagonal().sum()) / total
