"""Any number of rays, rendered in parts that fit into memory."""

from __future__ import annotations

from collections.abc import Callable

import torch
from nerfstudio.cameras.rays import RayBundle
from torch import Tensor

from dff.edits.compiled import CompiledEdits
from dff.model import DFFModel


@torch.no_grad()
def render_rays(
    model: DFFModel,
    rays: RayBundle,
    edits: CompiledEdits | None = None,
    hidden: bool = False,
    on_rows: Callable[[float], None] | None = None,
    touched: bool = False,
) -> dict[str, Tensor]:
    """Render rays of any shape.

    Args:
        model: of the scene.
        rays: near and far need not be set.
        edits, hidden, touched: as in `DFFModel.render`.
        on_rows: told the share that is done; what it raises ends the work.

    Returns:
        Outputs of `DFFModel.render`, in the shape of the rays, on the CPU.
    """
    chunk = model.config.eval_num_rays_per_chunk
    flat = rays.flatten()
    # Written in place: what many parts hold at once would have to be copied in the end.
    joined: dict[str, Tensor] = {}
    for start in range(0, len(flat), chunk):
        bundle = model.collider(flat[start : start + chunk].to(model.device))
        outputs = model.render(bundle, edits, hidden=hidden, touched=touched)
        for name, value in outputs.items():
            if name not in joined:
                joined[name] = torch.empty(len(flat), *value.shape[1:], dtype=value.dtype)
            joined[name][start : start + chunk] = value
        if on_rows is not None:
            on_rows(min(1.0, (start + chunk) / len(flat)))
    return {name: value.view(*rays.shape, value.shape[-1]) for name, value in joined.items()}
