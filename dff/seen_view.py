"""A view rendered once, in which any number of selections can then be looked at."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from nerfstudio.cameras.cameras import Cameras
from torch import Tensor

from dff.scene import Scene
from dff.selection.at_points import mask_at
from dff.selection.selection import Selection


@dataclass(frozen=True, eq=False)
class SeenView:
    """What one camera sees of a scene.

    Attributes:
        scene: the scene.
        rgb: (h, w, 3) in [0, 1].
        hidden: (h, w, H), composited hidden features.
        points: (h, w, 3), world positions of the first surface, by median depth.
        depth: (h, w), distance to it along the ray.
        there: (h, w), whether there is one: the accumulation is at least 0.5.
    """

    scene: Scene
    rgb: Float[Tensor, "h w 3"]
    hidden: Float[Tensor, "h w H"]
    points: Float[Tensor, "h w 3"]
    depth: Float[Tensor, "h w"]
    there: Bool[Tensor, "h w"]

    @torch.no_grad()
    def asked(self, selection: Selection) -> tuple[Float[Tensor, "h w 1"], Float[Tensor, "h w 1"]]:
        """Scores and soft mask of a selection here, both in [0, 1]."""
        field = self.scene.model.feature_field
        assert field is not None
        hidden = self.hidden.to(self.scene.model.device)
        scores, values = mask_at(selection, field, hidden, self.points)
        return scores.cpu()[..., None], (values.cpu() * self.there)[..., None]

    def mask(self, selection: Selection) -> Bool[Tensor, "h w"]:
        """Pixels that show what is selected."""
        return self.asked(selection)[1][..., 0] >= 0.5


def see(scene: Scene, camera: Cameras) -> SeenView:
    """Render a camera of a scene once.

    Args:
        scene: trained with features.
        camera: one camera; its height and width are the size of the result.
    """
    outputs = scene.render(camera, hidden=True)
    rays = camera.to("cpu").generate_rays(camera_indices=0, keep_shape=True)
    return SeenView(
        scene,
        outputs["rgb"],
        outputs["hidden_features"],
        rays.origins + outputs["depth"] * rays.directions,
        outputs["depth"][..., 0],
        outputs["accumulation"][..., 0] >= 0.5,
    )
