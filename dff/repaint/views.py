"""Views of the scene in which only the paint of the selection is left to compute.

Density, sampling and masks stay as they are while a paint is trained, so a pixel is
``I' = I + sum_i w_i m_i (r_i - c_i)`` with everything but the paint r known beforehand. The sum
runs over selected samples alone: nothing outside of the selection has a gradient.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from nerfstudio.cameras.cameras import Cameras
from nerfstudio.cameras.rays import RayBundle, RaySamples
from torch import Tensor

from dff.edited_sampling import masks_of
from dff.edits.compiled import CompiledEdits, Paint
from dff.fields.radiance_field import colour_where
from dff.model import DFFModel
from dff.rendering import alphas_from_density, weights_from_alphas

# Samples that give a pixel less of its light than this are left out of training.
LEAST = 1e-3


@dataclass(frozen=True, eq=False)
class PreparedView:
    """A picture, and the selected samples in it.

    Attributes:
        picture: (h, w, 3) in [0, 1], as it was trained.
        share: (h, w, 1), how much of a pixel's light the selected samples give, in [0, 1].
        pixel: (k,), which pixel each selected sample belongs to, row by row, ascending.
        weight: (k, 1), its rendering weight times its mask.
        positions, directions, code, rgb: of each sample, as `Paint` takes them.
    """

    picture: Float[Tensor, "h w 3"]
    share: Float[Tensor, "h w 1"]
    pixel: Int[Tensor, " k"]
    weight: Float[Tensor, "k 1"]
    positions: Float[Tensor, "k 3"]
    directions: Float[Tensor, "k 3"]
    code: Float[Tensor, "k C"]
    rgb: Float[Tensor, "k 3"]

    def light(self, paint: Paint | None) -> Float[Tensor, "h w 3"]:
        """What the selection gives, ``sum_i w_i m_i r_i``; without paint, as it was trained."""
        colours = self.rgb
        if paint is not None:
            colours = paint(self.positions, self.directions, self.code, self.rgb)
        return self._summed(self.weight * colours)

    def painted(self, paint: Paint) -> Float[Tensor, "h w 3"]:
        """The picture with the paint on."""
        colours = paint(self.positions, self.directions, self.code, self.rgb)
        return self.picture + self._summed(self.weight * (colours - self.rgb))

    def at(self, pixels: Int[Tensor, " p"]) -> PreparedView:
        """Some of its pixels, as a picture of shape (1, p).

        Args:
            pixels: row by row, each once, ascending.
        """
        number = torch.full((self.share.numel(),), -1, device=pixels.device)
        number[pixels] = torch.arange(len(pixels), device=pixels.device)
        kept = number[self.pixel] >= 0
        return PreparedView(
            self.picture.reshape(-1, 3)[pixels][None],
            self.share.reshape(-1, 1)[pixels][None],
            number[self.pixel[kept]],
            self.weight[kept],
            self.positions[kept],
            self.directions[kept],
            self.code[kept],
            self.rgb[kept],
        )

    def _summed(self, values: Float[Tensor, "k 3"]) -> Float[Tensor, "h w 3"]:
        height, width = self.share.shape[:2]
        none = values.new_zeros(height * width, 3)
        return none.index_add(0, self.pixel, values).view(height, width, 3)


@torch.no_grad()
def prepare(model: DFFModel, edits: CompiledEdits, camera: Cameras) -> PreparedView:
    """Render a camera, and keep what is selected.

    Args:
        model: of the scene, in evaluation mode.
        edits: of that scene, one layer with one act, the mask of which is what is selected.
        camera: one camera; its height and width are the size of the view.
    """
    rays = camera.to(model.device).generate_rays(camera_indices=0, keep_shape=True)
    height, width = rays.origins.shape[:2]
    flat = rays.flatten()
    chunk = model.config.eval_num_rays_per_chunk
    parts = [
        _part(model, edits, flat[start : start + chunk], start)
        for start in range(0, len(flat), chunk)
    ]
    whole = {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
    return PreparedView(
        picture=whole.pop("picture").view(height, width, 3),
        share=whole.pop("share").view(height, width, 1),
        **whole,
    )


def _part(model: DFFModel, edits: CompiledEdits, rays: RayBundle, first: int) -> dict[str, Tensor]:
    """Some of the rays, ``first`` being the number of their first pixel."""
    bundle = model.collider(rays)
    samples: RaySamples
    samples, _, _ = model.eval_sampler(bundle, density_fns=model.density_fns)
    assert samples.deltas is not None
    shape = samples.deltas.shape[:-1]
    positions = samples.frustums.get_positions().reshape(-1, 3)
    directions = samples.frustums.directions.expand(*shape, 3).reshape(-1, 3)
    matter = edits.matters[0]
    density, code = matter.density(positions)
    alphas = alphas_from_density(density, samples.deltas.reshape(-1, 1)).view(*shape, 1)
    weights = weights_from_alphas(alphas)
    visible = model.shown(weights)
    rgb = colour_where(visible, model.field, code.view(*shape, -1), samples)
    picture = model.renderer_rgb(rgb=rgb, weights=weights)
    if model.config.background_color == "last_sample":
        weights = weights.clone()
        weights[:, -1] += 1 - weights.sum(dim=-2)
    (mask,) = masks_of(matter, edits.layers[0].acts, positions, visible.reshape(-1))
    selected = weights.reshape(-1) * mask
    there = torch.nonzero(selected > LEAST)[:, 0]
    pixel = there // shape[-1]
    weight = selected[there, None]
    share = weight.new_zeros(shape[0], 1).index_add(0, pixel, weight)
    return {
        "picture": picture,
        "share": share.clamp(max=1.0),
        "pixel": pixel + first,
        "weight": weight,
        "positions": positions[there],
        "directions": directions[there],
        "code": code[there],
        "rgb": rgb.view(-1, 3)[there],
    }
