"""What a finished evaluation is made of, between scoring and writing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dff.evaluate.frame_scores import FIELD, TEACHER, FramePictures
from dff.evaluate.plots import label_colours
from dff.evaluate.summary import Summary
from dff.pictures import heatmap, resize, to_bytes, write_png

# Pictures in a report are at most this wide, so that it can be mailed.
MOST_WIDE = 420
MOST_HEATMAPS = 4


@dataclass(frozen=True)
class ReportPicture:
    """A picture of the report.

    Attributes:
        path: of its file.
        caption: below it.
        part: the section it belongs to.
    """

    path: Path
    caption: str
    part: str


@dataclass(frozen=True)
class Found:
    """Everything that is written.

    Attributes:
        title: of the report.
        made: where it comes from.
        summary: figures and tables.
        frames: numbers of each frame.
        pictures: in order.
        notes: what was left out, and why.
    """

    title: str
    made: Mapping[str, Any]
    summary: Summary
    frames: Sequence[Mapping[str, Any]]
    pictures: Sequence[ReportPicture] = ()
    notes: Sequence[str] = ()


def write_frame_pictures(
    folder: Path, name: str, found: FramePictures, labels: Sequence[str]
) -> list[ReportPicture]:
    """Write what a report shows of one frame, reduced, and say what each picture is.

    Args:
        folder: for the files.
        name: of the image.
        found: of the frame.
        labels: the label list.
    """
    shown: list[ReportPicture] = []

    def add(kind: str, picture: Tensor, caption: str, part: str) -> None:
        path = folder / f"{name}_{kind}.png"
        write_png(path, to_bytes(reduced(picture)))
        shown.append(ReportPicture(path, f"{name}: {caption}", part))

    assert found.photo is not None
    assert found.render is not None
    render = found.render
    photo = resize(found.photo, *render.shape[:2])
    add("photo", photo, "photo", "views")
    add("render", render, "render", "views")
    error = (render - photo).abs().mean(dim=-1, keepdim=True)
    add("error", heatmap((4 * error).clamp(0, 1)), "error, four times enlarged", "views")
    if found.truth is not None:
        colours = label_colours(len(labels))
        size = tuple(found.truth.shape)
        backdrop = resize(found.photo, *size)
        add("truth", coloured(found.truth, colours, backdrop), "ground truth", "segmentation")
        for source, title in ((FIELD, "3D field"), (TEACHER, "2D teacher")):
            guess = found.labels[source]
            add(f"labels_{source}", coloured(guess, colours, backdrop), title, "segmentation")
            wrong = (guess != found.truth) & (found.truth >= 0)
            add(
                f"wrong_{source}",
                wrong[..., None] * torch.tensor([1.0, 0.2, 0.1]) + ~wrong[..., None] * backdrop / 3,
                f"mistakes of the {title}",
                "segmentation",
            )
    for number, (word, maps) in enumerate(found.heatmaps.items()):
        if number < MOST_HEATMAPS:
            for source, title in ((FIELD, "3D field"), (TEACHER, "2D teacher")):
                caption = f"relevancy of '{word}', {title}"
                add(f"heat{number}_{source}", heatmap(maps[source][..., None]), caption, "heatmaps")
    return shown


def coloured(labels: Tensor, colours: Tensor, backdrop: Tensor) -> Tensor:
    """Labels (h, w) in colours over a grey picture; what is not known shows the picture alone."""
    grey = backdrop.mean(dim=-1, keepdim=True).expand(*labels.shape, 3)
    painted = 0.65 * colours[labels.clamp_min(0)] + 0.35 * grey
    return torch.where((labels >= 0)[..., None], painted, grey)


def reduced(picture: Tensor) -> Tensor:
    """The picture, no wider than a report shows it."""
    height, width = picture.shape[:2]
    if width <= MOST_WIDE:
        return picture
    return resize(picture, round(height * MOST_WIDE / width), MOST_WIDE)
