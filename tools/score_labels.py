"""Score a trained scene, and what an edit changes, against hand-made label masks.

    uv run python tools/score_labels.py --load-config CONFIG --labels SCENE/labels \
        --names table apple banana --edit-class apple

A mask is a PNG named like its photo; its values index ``--names``. Every pixel is given the best
of the names. Printed: IoU per name of the 3D features, of the teacher alone on the photo, and of a
rule on hue and saturation that has learned nothing. With ``--edit-class``: that name is deleted,
and the PSNR of edited against unedited render is taken outside its mask, dilated.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import tyro
from hue_rule import hue_rule
from PIL import Image
from rich.progress import track
from scipy.ndimage import binary_dilation

import dff
from dff.camera_paths import rescaled
from dff.data.images import load_image
from dff.edits.document import EditDocument, EditStep
from dff.edits.operations import Delete
from dff.edits.selections import TextSelection
from dff.evaluate.masks import Confusion
from dff.evaluate.pictures import psnr
from dff.evaluate.segmentation import labels_of_hidden, labels_of_image
from dff.pictures import resize, to_bytes, write_png


@dataclass
class ScoreLabels:
    """Score a trained scene against label masks."""

    load_config: Path
    """The config.yml that training wrote."""
    labels: Path
    """Folder of masks, PNG, named like the photos."""
    names: tuple[str, ...]
    """Name of each value in the masks, from 0 on."""
    leave_out: tuple[str, ...] = ()
    """Stems of frames not to score."""
    edit_class: str | None = None
    """Also delete this name and measure what changes elsewhere."""
    dilate: int = 8
    """Pixels by which the mask is dilated for that."""
    scale: float = 1.0
    """Share of the photos' size at which views are rendered."""
    output_dir: Path | None = None
    """Where to write the edited and unedited renders, if anywhere."""


def main(options: ScoreLabels) -> None:
    scene = dff.load(options.load_config)
    stems = [path.stem for path in sorted(options.labels.glob("*.png"))]
    views = scene.views(names=[stem for stem in stems if stem not in options.leave_out])
    embeddings = scene.teacher.encode_text(options.names)
    edits = None
    if options.edit_class is not None:
        others = tuple(name for name in options.names if name != options.edit_class)
        selection = TextSelection(text=(options.edit_class,), negative=others)
        edits = scene.compile(
            EditDocument(steps=(EditStep(selection=selection, operation=Delete()),))
        )
    count = len(options.names)
    kinds = {"3D features": 0, "2D teacher": 1, "hue rule": 2}
    counts = [Confusion.empty(count) for _ in kinds]
    changes = []
    for view in track(views, description="Scoring"):
        truth = torch.from_numpy(np.array(Image.open(options.labels / f"{view.name}.png"))).long()
        photo = load_image(view.path)
        camera = rescaled(view.camera, options.scale)
        outputs = scene.render(camera, hidden=True)
        hidden = resize(outputs["hidden_features"], *view.size)
        guesses = (
            labels_of_hidden(scene, hidden, embeddings),
            labels_of_image(scene.teacher, photo, options.names),
            hue_rule(photo, options.names),
        )
        counts = [c.add(guess, truth) for c, guess in zip(counts, guesses, strict=True)]
        if edits is not None and options.edit_class is not None:
            edited = scene.render(camera, edits)
            mask = (truth == options.names.index(options.edit_class)).numpy()
            inside = torch.from_numpy(binary_dilation(mask, iterations=options.dilate))
            outside = resize(inside.float()[..., None], *edited["rgb"].shape[:2])[..., 0] == 0
            changes.append(psnr(edited["rgb"], outputs["rgb"], outside))
            if options.output_dir is not None:
                pair = torch.cat([outputs["rgb"], edited["rgb"]], dim=1)
                write_png(options.output_dir / f"{view.name}.png", to_bytes(pair))
    for (kind, _), confusion in zip(kinds.items(), counts, strict=True):
        ious = ", ".join(
            f"{name} {iou:.3f}" for name, iou in zip(options.names, confusion.ious, strict=True)
        )
        print(f"IoU, {kind}: {ious}")
    if changes:
        each = ", ".join(f"{value:.1f}" for value in changes)
        print(f"deleting {options.edit_class} changes the rest by (PSNR, dB): {each}")


if __name__ == "__main__":
    main(tyro.cli(ScoreLabels))
