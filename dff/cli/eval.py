"""``dff eval``: figures and pictures of a trained scene against ground truth."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Literal

from dff.errors import UsageError

Format = Literal[
    "auto",
    "generated",
    "labels",
    "lerf-ovs",
    "3d-ovs",
    "replica",
    "nvos",
    "spin-nerf",
    "llff-masks",
]
Part = Literal[
    "views",
    "labels",
    "relevancy",
    "rendered",
    "selected",
    "click",
    "patch",
    "scribbles",
    "edits",
]


@dataclass
class Eval:
    """Score a trained scene: views, segmentation in 3D beside the 2D teacher's, and edits.

    Labels are found beside the photos (a generated scene, or a folder labels/), or given with
    --data. A table, metrics.json and report.html come out. Interrupted and run again, it carries
    on. With --compare, earlier evaluations are set side by side instead.
    """

    load_config: Path | None = None
    """The config.yml that training wrote."""
    output: Path | None = None
    """Folder for metrics.json, report.html and pictures; of --compare, for comparison.html."""
    data: Path | None = None
    """Labels of the scene: our own format (class numbers as PNG, labels.json), a generated scene,
    or the folder of one scene of a benchmark."""
    format: Format = "auto"
    """Of the labels; by default told from what lies there."""
    names: tuple[str, ...] = ()
    """Class of each value in the masks, from 0 on, where the labels do not say; of a benchmark with
    one thing, the word for it. The first one is background."""
    classes: tuple[str, ...] = ()
    """Report only these classes; the others stay in the label list and in the truth."""
    leave_out: tuple[str, ...] = ()
    """Stems of labelled images not to score."""
    parts: tuple[Part, ...] = ()
    """Do only these; by default everything that the labels allow. One class at a time, by its name:
    relevancy at 0.5, rendered relevancy by the LERF-OVS rule and with localisation accuracy, or
    selected in 3D."""
    shown: int = 3
    """Frames with pictures in the report."""
    resolution_scale: float = 1.0
    """Render at this share of the images' size, in (0, 4]."""
    compare: tuple[Path, ...] = ()
    """Two or more folders of dff eval to set side by side."""

    def run(self) -> None:
        """Evaluate, or compare."""
        from rich.console import Console

        console = Console()
        if self.compare:
            given = self._given("compare", "output")
            if given:
                raise UsageError(f"--compare reads what was evaluated: leave out {given}")
            from dff.evaluate.compare import compare

            compare(self.compare, console, self.output)
            return
        if self.load_config is None or self.output is None:
            raise UsageError("give --load-config and --output to evaluate, or --compare A B")
        if not 0 < self.resolution_scale <= 4:
            raise UsageError(
                f"--resolution-scale must be above 0 and at most 4, not {self.resolution_scale}"
            )
        if self.shown < 0:
            raise UsageError(f"--shown must be 0 or more, not {self.shown}")
        from dff.evaluate.run import EvalOptions, evaluate
        from dff.scene import load

        options = EvalOptions(
            self.load_config,
            self.output,
            self.data,
            self.format,
            self.names,
            self.classes,
            self.leave_out,
            self.parts,
            self.shown,
            self.resolution_scale,
        )
        report = evaluate(load(self.load_config), options, console)
        console.print(f"metrics.json and {report}", highlight=False, soft_wrap=True)

    def _given(self, *but: str) -> str:
        """The options that are not at their defaults, as they are written."""
        changed = [
            field.name
            for field in fields(self)
            if field.name not in but and getattr(self, field.name) != field.default
        ]
        return ", ".join(f"--{name.replace('_', '-')}" for name in changed)
