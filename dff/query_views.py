"""Show a selection in the capture's own views: masks, heatmaps and overlays on disk."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import imageio.v3 as imageio
import torch
from jaxtyping import Bool
from rich.progress import track
from torch import Tensor

from dff.camera_paths import rescaled
from dff.errors import DffError
from dff.pictures import heatmap, overlay, resize, to_bytes, write_png
from dff.scene import Scene, View
from dff.selection.selection import Selection


@dataclass(frozen=True)
class QuerySummary:
    """What a query selected.

    Attributes:
        text: for people.
        shares: share of the pixels selected, per view name.
    """

    text: str
    shares: dict[str, float]


def masks_in(
    scene: Scene, selection: Selection, views: list[View], scale: float = 1.0
) -> Iterator[tuple[View, dict[str, Tensor], Bool[Tensor, "h w"]]]:
    """Render a selection in views.

    Args:
        scene: it belongs to.
        selection: what is shown.
        views: in which cameras.
        scale: share of the size at which is rendered, in (0, 1].

    Yields:
        The view, its render at the images' size (``rgb``, ``relevancy``), and the mask.

    Raises:
        DffError: the scale is out of range.
    """
    if not 0.0 < scale <= 1.0:
        raise DffError(f"resolution scale must be above 0 and at most 1, not {scale}")
    for view in track(views, description="Rendering", disable=len(views) < 2):
        outputs = scene.render(rescaled(view.camera, scale), selection=selection)
        full = {
            name: resize(outputs[name], *view.size).clamp(0, 1)
            for name in ("rgb", "relevancy", "mask")
        }
        yield view, full, full["mask"][..., 0] >= 0.5


def write_query(
    scene: Scene, selection: Selection, views: list[View], output_dir: Path, scale: float = 1.0
) -> QuerySummary:
    """Render a selection in each view and write what was selected.

    Writes ``masks/<name>.png`` (0 or 255, the size of the image), ``heatmaps/`` and ``overlays/``.

    Args:
        scene: trained.
        selection: of that scene.
        views: in which cameras.
        output_dir: is made where it is missing.
        scale: share of the size at which is rendered, in (0, 1]; masks keep full size.

    Raises:
        DffError: nothing was selected in any view (the pictures are written all the same).
    """
    shares: dict[str, float] = {}
    best = 0.0
    for view, outputs, mask in masks_in(scene, selection, views, scale):
        painted = mask.to(torch.float32)[..., None]
        write_png(output_dir / "masks" / f"{view.name}.png", to_bytes(painted))
        scores = to_bytes(heatmap(outputs["relevancy"]))
        write_png(output_dir / "heatmaps" / f"{view.name}.png", scores)
        write_png(
            output_dir / "overlays" / f"{view.name}.png",
            to_bytes(overlay(outputs["rgb"], painted)),
        )
        shares[view.name] = float(painted.mean())
        best = max(best, float(outputs["relevancy"].max()))
    made = "; ".join(selection.made_by)
    if not any(shares.values()):
        raise DffError(
            f"{made}: selects nothing in {len(views)} views, the best score is {best:.2f} "
            "(--threshold lowers the threshold)"
        )
    seen = sum(share > 0 for share in shares.values())
    mean = sum(shares.values()) / len(shares)
    text = (
        f"selected {made}: {mean:.1%} of the pixels on average, in {seen} of {len(views)} views; "
        f"written to {output_dir}"
    )
    return QuerySummary(text, shares)


def write_coco(views: list[View], output_dir: Path, category: str) -> Path:
    """Write the masks that `write_query` wrote as COCO run lengths, ``masks.json``.

    Args:
        views: those that were queried.
        output_dir: of the query.
        category: what the masks show.

    Returns:
        The file.
    """
    from dff.selection.mask_formats import write_masks

    def masks() -> Iterator[tuple[str, Tensor]]:
        for view in views:
            mask = imageio.imread(output_dir / "masks" / f"{view.name}.png") > 0
            yield f"{view.name}{view.path.suffix}", torch.from_numpy(mask)

    path = output_dir / "masks.json"
    write_masks(masks(), category, coco=path)
    return path
