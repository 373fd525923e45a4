"""Features as colours: their three main directions, the same from every view."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

# Shares of the surface that are darker than black and brighter than full in each colour.
TAILS = (0.02, 0.98)


@dataclass(frozen=True, eq=False)
class FeatureColours:
    """One basis for all pictures of a scene, so that a thing has the same colour in all of them.

    Attributes:
        mean: (H,), of unit features.
        axes: (H, 3), the directions in which they differ most.
        low, high: (3,), what becomes 0 and 1.
    """

    mean: Float[Tensor, " H"]
    axes: Float[Tensor, "H 3"]
    low: Float[Tensor, " 3"]
    high: Float[Tensor, " 3"]

    @classmethod
    def of(cls, features: Float[Tensor, "n H"], weights: Float[Tensor, " n"]) -> FeatureColours:
        """Principal component analysis in float64.

        The sign of each axis, which is arbitrary, is such that its largest entry is positive.

        Args:
            features: of the surface, of any length.
            weights: how often each counts, not negative.
        """
        unit = _unit(features.double())
        share = weights.double()[:, None] / weights.double().sum().clamp_min(1e-12)
        mean = (share * unit).sum(dim=0)
        centred = unit - mean
        _, vectors = torch.linalg.eigh(centred.T @ (share * centred))
        axes = vectors.flip(-1)[:, :3]
        if axes.shape[1] < 3:
            axes = torch.cat([axes, axes.new_zeros(len(axes), 3 - axes.shape[1])], dim=1)
        largest = axes.abs().argmax(dim=0)
        signs = axes[largest, torch.arange(3)].sign()
        axes = axes * torch.where(signs == 0, torch.ones_like(signs), signs)
        if len(features) == 0:
            zero = torch.zeros(3)
            return cls(mean.float(), axes.float(), zero, zero + 1)
        low, high = torch.quantile(centred @ axes, torch.tensor(TAILS).double(), dim=0).unbind()
        return cls(mean.float(), axes.float(), low.float(), high.float())

    def __call__(self, features: Float[Tensor, "*batch H"]) -> Float[Tensor, "*batch 3"]:
        """Colours in [0, 1]; where there are no features, black."""
        there = (features != 0).any(dim=-1, keepdim=True)
        projected = (_unit(features) - self.mean.to(features)) @ self.axes.to(features)
        span = (self.high - self.low).clamp_min(1e-6).to(features)
        return ((projected - self.low.to(features)) / span).clamp(0.0, 1.0) * there


def _unit(features: Float[Tensor, "*batch H"]) -> Float[Tensor, "*batch H"]:
    return torch.nn.functional.normalize(features, dim=-1, eps=1e-12)
