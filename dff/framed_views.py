"""A rectangle drawn in any view of the scene, as a query: what looks like the thing in it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from jaxtyping import Bool
from torch import Tensor

from dff.answering import selection_of_thing
from dff.errors import DffError
from dff.patches import MARGIN, seed_in_view
from dff.query.prototypes import foreground_prototypes
from dff.query.routing import likeness_teachers
from dff.seen_view import SeenView
from dff.selection.selection import Selection
from dff.selection.shown import select_shown, with_its_kind

if TYPE_CHECKING:
    from dff.scene import Scene


def answer_frame(
    scene: Scene,
    seen: SeenView,
    inside: Bool[Tensor, "h w"],
    teacher: str | None = None,
    softness: float = 0.0,
) -> Selection:
    """Select what looks like the thing in a part of a view.

    Args:
        scene: trained with features.
        seen: the view, of any camera.
        inside: its pixels that were framed.
        teacher: which of several distilled teachers answers, or ``product``.
        softness: half the width of the soft rim in units of score, in [0, 0.5].

    Raises:
        DffError: nothing is framed, or no surface is seen there.
    """
    if not inside.any():
        raise DffError("the rectangle has no area: draw it around a thing")
    if not (inside & seen.there).any():
        raise DffError("no surface is seen in the rectangle: draw it around a thing")
    names = likeness_teachers(scene.model.teacher_records, teacher)
    grid = scene.surface
    spaces = [scene.baked(name).reduced for name in names]
    seed = seed_in_view(grid, spaces, seen, inside)
    how = f"rectangle of {int(inside.sum())} pixels in a view"
    if seed is not None:
        found = with_its_kind(grid, spaces, [seed])
    else:
        around = _band(inside) & seen.there
        shown = []
        for name in names:
            looks = foreground_prototypes(
                seen.field.decode(seen.hidden[inside & seen.there], name),
                seen.field.decode(seen.hidden[around], name),
            )
            shown.append(scene.baked(name).likeness(*looks))
        found = select_shown(grid, spaces, shown)
    return selection_of_thing(scene, how, names, found, softness)


def _band(inside: Bool[Tensor, "h w"]) -> Bool[Tensor, "h w"]:
    """Pixels around, within a share of the extent."""
    rows, columns = inside.nonzero().unbind(dim=1)
    extent = float(torch.stack([rows.max() - rows.min(), columns.max() - columns.min()]).max()) + 1
    wide = max(1, round(MARGIN * extent))
    near = F.max_pool2d(inside.float()[None, None], 2 * wide + 1, 1, wide)[0, 0] > 0
    return near & ~inside
