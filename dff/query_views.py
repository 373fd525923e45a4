"""Show a selection in the capture's own views: masks, heatmaps and overlays on disk."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import imageio.v3 as imageio
import torch
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


def write_query(
    scene: Scene, selection: Selection, views: list[View], output_dir: Path, scale: float = 1.0
) -> QuerySummary:
    """As `write_queries`, for one selection.

    Raises:
        DffError: nothing was selected in any view (the pictures are written all the same).
    """
    summary = write_queries(scene, {output_dir: selection}, views, scale)[output_dir]
    if not any(summary.shares.values()):
        raise DffError(summary.text)
    return summary


def write_queries(
    scene: Scene, selections: Mapping[Path, Selection], views: list[View], scale: float = 1.0
) -> dict[Path, QuerySummary]:
    """Render each view once, and write what each selection selects in it.

    Writes ``masks/<name>.png`` (0 or 255, the size of the image), ``heatmaps/`` and ``overlays/``.

    Args:
        scene: trained.
        selections: of that scene, by the folder that each is written to, made where it is missing.
        views: in which cameras.
        scale: share of the size at which is rendered, in (0, 1]; masks keep full size.

    Raises:
        DffError: the scale is out of range.
    """
    if not 0.0 < scale <= 1.0:
        raise DffError(f"resolution scale must be above 0 and at most 1, not {scale}")
    shares: dict[Path, dict[str, float]] = {folder: {} for folder in selections}
    best = dict.fromkeys(selections, 0.0)
    for view in track(views, description="Rendering", disable=len(views) < 2):
        seen = scene.see(rescaled(view.camera, scale))
        rgb = resize(seen.rgb, *view.size).clamp(0, 1)
        for folder, selection in selections.items():
            scores, values = (resize(x, *view.size).clamp(0, 1) for x in seen.asked(selection))
            mask = (values >= 0.5).float()
            write_png(folder / "masks" / f"{view.name}.png", to_bytes(mask))
            write_png(folder / "heatmaps" / f"{view.name}.png", to_bytes(heatmap(scores)))
            write_png(folder / "overlays" / f"{view.name}.png", to_bytes(overlay(rgb, mask)))
            shares[folder][view.name] = float(mask.mean())
            best[folder] = max(best[folder], float(scores.max()))
    return {
        folder: QuerySummary(_said(selection, folder, shares[folder], best[folder]), shares[folder])
        for folder, selection in selections.items()
    }


def _said(selection: Selection, folder: Path, shares: Mapping[str, float], best: float) -> str:
    made = "; ".join(selection.made_by)
    seen = sum(share > 0 for share in shares.values())
    if seen:
        mean = sum(shares.values()) / len(shares)
        return (
            f"selected {made}: {mean:.1%} of the pixels on average, in {seen} of {len(shares)} "
            f"views; written to {folder}"
        )
    if selection.exact is not None and best >= selection.exact.threshold:
        where = "what reaches the threshold there is no part of the selection"
    else:
        where = f"the best score is {best:.2f} (--threshold lowers the threshold)"
    return f"{made}: selects nothing in {len(shares)} views; {where}"


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
