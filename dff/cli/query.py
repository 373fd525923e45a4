"""``dff query``: ask a trained scene by name; masks, heatmaps and overlays come out."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal


@dataclass
class Query:
    """Select something by name and write what was selected for the capture's own cameras.

    With --negative the score is the softmax over the text and the negatives; without, the relevancy
    against the teacher's canonical phrases.
    """

    load_config: Path
    """The config.yml that training wrote."""
    text: tuple[str, ...]
    """What to look for; several are looked for together."""
    output_dir: Path
    """Folder for masks/, heatmaps/ and overlays/."""
    negative: tuple[str, ...] = ()
    """What it is to be told apart from."""
    split: Literal["train", "eval", "all"] = "eval"
    """Which of the capture's cameras."""
    frames: tuple[str, ...] = ()
    """Stems of image files, instead of a split (e.g. IMG_0001 IMG_0002)."""
    threshold: float | None = None
    """Scores at or above it are selected, in [0, 1]; by default Otsu's, at least 0.5."""
    temperature: float | None = None
    """Divides cosine similarity; by default the teacher's own."""
    teacher: str | None = None
    """Which of several distilled teachers answers; by default the first that understands text."""
    resolution_scale: float = 1.0
    """Render at this share of the images' size; what is written has the full size."""

    def run(self) -> None:
        """Render the scores and write the pictures."""
        from dff.query.text import TextQuery
        from dff.query_views import write_query
        from dff.scene import load

        query = TextQuery(self.text, self.negative, self.temperature, self.threshold, self.teacher)
        scene = load(self.load_config)
        views = scene.views(self.split, self.frames or None)
        summary = write_query(scene, query, views, self.output_dir, self.resolution_scale)
        print(summary.text)
