"""``dff demo``: the whole way once, on a generated scene."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass
class Demo:
    """Generate a scene, train, ask, edit, render, score; a report with pictures comes out.

    Needs no download. Interrupted and run again, it carries on where it was.
    """

    output_dir: Path = Path("outputs/dff-demo")
    """Folder for everything the demo writes."""
    seed: int = 2
    """Another seed, another scene."""
    iterations: int = 1200
    """Training steps."""

    def run(self) -> None:
        """Run what is not done yet."""
        from dff.demo import run_demo

        print(run_demo(self.output_dir, self.seed, self.iterations))
