"""``dff generate``: write a generated scene with ground truth."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass
class Generate:
    """Write a generated table-top scene in nerfstudio format, with depth and masks."""

    output_dir: Path
    """Folder to write; a scene that is already complete there is left alone."""
    seed: int = 0
    """Another seed, another scene."""
    num_objects: int = 8
    """Objects on the table, 6 to 10."""
    num_train: int = 40
    """Training cameras."""
    num_eval: int = 8
    """Held-out cameras."""
    width: int = 192
    """Image width in pixels."""
    height: int = 144
    """Image height in pixels."""

    def run(self) -> None:
        """Write the scene."""
        from dff.data.generated.scene import write_scene

        write_scene(
            self.output_dir,
            self.seed,
            num_objects=self.num_objects,
            num_train=self.num_train,
            num_eval=self.num_eval,
            width=self.width,
            height=self.height,
        )
        print(self.output_dir)
