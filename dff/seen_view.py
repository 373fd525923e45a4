"""A view rendered once, in which any number of selections can then be looked at."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from nerfstudio.cameras.rays import RayBundle
from torch import Tensor

from dff.fields.feature_field import FeatureField
from dff.selection.at_points import mask_at
from dff.selection.selection import Selection


@dataclass(frozen=True, eq=False)
class SeenView:
    """What one camera sees of a scene.

    Attributes:
        field: the scene's features.
        rgb: (h, w, 3) in [0, 1].
        hidden: (h, w, H), composited hidden features.
        points: (h, w, 3), world positions of the first surface, by median depth.
        depth: (h, w), distance to it along the ray.
        there: (h, w), whether there is one: the accumulation is at least 0.5.
    """

    field: FeatureField
    rgb: Float[Tensor, "h w 3"]
    hidden: Float[Tensor, "h w H"]
    points: Float[Tensor, "h w 3"]
    depth: Float[Tensor, "h w"]
    there: Bool[Tensor, "h w"]

    @classmethod
    def of(cls, field: FeatureField, rays: RayBundle, outputs: Mapping[str, Tensor]) -> SeenView:
        """From a camera's rays (h, w) and what rendering them with hidden features gave."""
        return cls(
            field,
            outputs["rgb"],
            outputs["hidden_features"],
            rays.origins.cpu() + outputs["depth"] * rays.directions.cpu(),
            outputs["depth"][..., 0],
            outputs["accumulation"][..., 0] >= 0.5,
        )

    @torch.no_grad()
    def asked(self, selection: Selection) -> tuple[Float[Tensor, "h w 1"], Float[Tensor, "h w 1"]]:
        """Scores and soft mask of a selection here, both in [0, 1]."""
        hidden = self.hidden.to(self.field.aabb)
        scores, values = mask_at(selection, self.field, hidden, self.points)
        return scores.cpu()[..., None], (values.cpu() * self.there)[..., None]

    def mask(self, selection: Selection) -> Bool[Tensor, "h w"]:
        """Pixels that show what is selected."""
        return self.asked(selection)[1][..., 0] >= 0.5
