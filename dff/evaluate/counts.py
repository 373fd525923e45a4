"""What one picture says of one mask, small enough to keep, and what many of them say together."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool
from torch import Tensor

from dff.evaluate.masks import boundary_iou


@dataclass(frozen=True)
class Counts:
    """Pixels of a mask and of its truth in one picture, those of unknown truth left out.

    Attributes:
        both, either: pixels in both, and in one of them.
        right, pixels: pixels where the two agree, and all of them.
        boundary: boundary IoU; NaN where both are empty.
        present: the picture shows the thing.
    """

    both: int
    either: int
    right: int
    pixels: int
    boundary: float
    present: bool

    @classmethod
    def of(
        cls, mask: Bool[Tensor, "h w"], truth: Bool[Tensor, "h w"], known: Bool[Tensor, "h w"]
    ) -> Counts:
        """Of one picture."""
        mask, truth = mask & known, truth & known
        return cls(
            int((mask & truth).sum()),
            int((mask | truth).sum()),
            int(((mask == truth) & known).sum()),
            int(known.sum()),
            boundary_iou(mask, truth),
            bool(truth.any()),
        )

    @property
    def iou(self) -> float:
        """Intersection over union in this picture; NaN where both are empty."""
        return math.nan if self.either == 0 else self.both / self.either


def pooled_iou(counts: Iterable[Counts]) -> float:
    """Intersection over union, pixels of all pictures pooled; NaN where there are none."""
    found = list(counts)
    either = sum(each.either for each in found)
    return math.nan if either == 0 else sum(each.both for each in found) / either


def pooled_accuracy(counts: Iterable[Counts]) -> float:
    """Share of the pixels, of all pictures, where mask and truth agree."""
    found = list(counts)
    pixels = sum(each.pixels for each in found)
    return math.nan if pixels == 0 else sum(each.right for each in found) / pixels


def mean_boundary(counts: Iterable[Counts]) -> float:
    """Mean boundary IoU over the pictures that show the thing."""
    return mean([each.boundary for each in counts if each.present])


def mean_where_present(counts: Iterable[Counts]) -> float:
    """Mean IoU over the pictures that show the thing, as published protocols average."""
    return mean([each.iou for each in counts if each.present])


def share_above(counts: Iterable[Counts], least: float) -> float:
    """Share of the pictures that show the thing in which the IoU is above ``least``."""
    return mean([float(each.iou > least) for each in counts if each.present])


def mean(values: Sequence[float]) -> float:
    """Mean of those that are numbers; NaN where there are none."""
    found = [value for value in values if not math.isnan(value)]
    return float(np.mean(found)) if found else math.nan
