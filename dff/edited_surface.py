"""What of the trained scene lies where an edited one shows a surface.

Selections go with the matter: a thing that was moved is still the thing, so what is asked about a
point of the edited scene is asked where that point was trained.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from dff.edited_sampling import masks_of, own_positions
from dff.edits.apply import apply_operations
from dff.edits.compiled import CompiledEdits
from dff.edits.operations import OPACITIES
from dff.rendering import alphas_from_density

# Less than this of the light is no surface.
LEAST_ALPHA = 1e-4


@torch.no_grad()
def trained_places(
    edits: CompiledEdits | None, points: Float[Tensor, "n 3"], length: Float[Tensor, "n 1"]
) -> tuple[Float[Tensor, "n 3"], Bool[Tensor, " n"]]:
    """Where points of the edited scene's surfaces were trained.

    Args:
        edits: what was changed.
        points: world positions of surfaces.
        length: along the ray, over which a layer's density is asked to stop light.

    Returns:
        The position that each point had in the scene as it was trained, by the layer that stops
        most light there, and whether that layer is of this scene; what was inserted from another
        one, and what fills a hole, is not.
    """
    ours = torch.ones(len(points), dtype=torch.bool, device=points.device)
    if edits is None or (len(edits.layers) == 1 and edits.layers[0].pose is None):
        return points, ours
    most = points.new_full((len(points), 1), LEAST_ALPHA)
    places = points.clone()
    for layer in edits.layers:
        own, near = own_positions(layer, points)
        if near is None:
            near = torch.arange(len(points), device=points.device)
        if len(near) == 0:
            continue
        matter = edits.matters[layer.matter]
        density, _ = matter.density(own)
        scale = 1.0 if layer.pose is None else layer.pose.scale
        alphas = alphas_from_density(density, length[near] / scale)
        masks = masks_of(matter, layer.fades, own, alphas[:, 0] > LEAST_ALPHA)
        rgb = own.new_zeros(len(own), 3)
        for act, mask in zip(layer.fades, masks, strict=True):
            assert isinstance(act.operation, OPACITIES)
            alphas, rgb = apply_operations(alphas, rgb, [act.operation], [mask])
        better = (alphas > most[near])[:, 0]
        here = near[better]
        most[here], places[here] = alphas[better], own[better]
        ours[here] = layer.matter == 0
    return places, ours
