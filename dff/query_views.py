"""Answer a query in the capture's own views: masks, heatmaps and overlays on disk."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from rich.progress import track

from dff.camera_paths import rescaled
from dff.errors import DffError
from dff.pictures import heatmap, overlay, resize, to_bytes, write_png
from dff.query.text import TextQuery
from dff.scene import Scene, View


@dataclass(frozen=True)
class QuerySummary:
    """What a query selected.

    Attributes:
        text: for people.
        threshold: that was used.
        shares: share of the pixels selected, per view name.
        best: highest score seen.
    """

    text: str
    threshold: float
    shares: dict[str, float]
    best: float


def write_query(
    scene: Scene, query: TextQuery, views: list[View], output_dir: Path, scale: float = 1.0
) -> QuerySummary:
    """Render the scores of a query in each view and write what was selected.

    Writes ``masks/<name>.png`` (0 or 255, the size of the image), ``heatmaps/`` and ``overlays/``.

    Args:
        scene: trained.
        query: what to look for.
        views: in which cameras.
        output_dir: is made where it is missing.
        scale: share of the size at which scores are rendered, in (0, 1]; masks keep full size.

    Raises:
        DffError: nothing was selected in any view (the pictures are written all the same).
    """
    if not 0.0 < scale <= 1.0:
        raise DffError(f"resolution scale must be above 0 and at most 1, not {scale}")
    selection = scene.select(query)
    shares: dict[str, float] = {}
    best = 0.0
    for view in track(views, description="Asking", disable=len(views) < 2):
        height, width = view.size
        outputs = scene.render(rescaled(view.camera, scale), selection=selection)
        scores = resize(outputs["relevancy"], height, width).clamp(0, 1)
        rgb = resize(outputs["rgb"], height, width)
        mask = (scores >= selection.threshold).to(torch.float32)
        write_png(output_dir / "masks" / f"{view.name}.png", to_bytes(mask))
        write_png(output_dir / "heatmaps" / f"{view.name}.png", to_bytes(heatmap(scores)))
        write_png(output_dir / "overlays" / f"{view.name}.png", to_bytes(overlay(rgb, mask)))
        shares[view.name] = float(mask.mean())
        best = max(best, float(scores.max()))
    wanted = ", ".join(query.positives)
    if not any(shares.values()):
        raise DffError(
            f"'{wanted}' selects nothing in {len(views)} views: the best score is {best:.2f}, the "
            f"threshold {selection.threshold:.2f} (--threshold lowers it)"
        )
    seen = sum(share > 0 for share in shares.values())
    mean = sum(shares.values()) / len(shares)
    teacher = scene.teacher_of(query)
    against = ", ".join(query.negatives) or ", ".join(teacher.canonical_phrases)
    by = f" by teacher '{teacher.name}'" if len(scene.model.teacher_records) > 1 else ""
    text = (
        f"selected '{wanted}' against {against}{by}: {mean:.1%} of the pixels on average, in "
        f"{seen} of {len(views)} views, at threshold {selection.threshold:.2f}; written to "
        f"{output_dir}"
    )
    return QuerySummary(text, selection.threshold, shares, best)
