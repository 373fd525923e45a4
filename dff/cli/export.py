"""``dff export``: the edited scene as points, a mesh or Gaussian splats, for other programs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal


@dataclass
class Export:
    """Write a scene, with edits applied, to a file that other programs open.

    The training cameras are rendered and what their depth shows is fused. Only surfaces come out:
    where less than half of the light is stopped, as in a sky, there is nothing to write.
    """

    load_config: Path
    """The config.yml that training wrote, or an edited.yml, whose edits are applied first."""
    output: Path
    """The file: .ply for points and splats; .ply, .obj or .glb for a mesh."""
    format: Literal["points", "mesh", "splats"] | None = None
    """A point cloud with colours, normals and the number of the edit step that changed each point
    (0 for none); a mesh with colours; or 3D Gaussian splats in the layout of the original program.
    By default a mesh for .obj and .glb, points for .ply."""
    edits: tuple[Path, ...] = ()
    """Edit documents (YAML or JSON). Several act one after the other; a step refers to
    those of its own document."""
    trust: tuple[Path, ...] = ()
    """Folders with other trained scenes that the documents may insert from."""
    scale: Literal["world", "capture"] = "world"
    """Coordinates: world, the scene's own, which are normalised so that all cameras lie within 1 of
    the middle (as ns-export writes them by default); or capture, those in which the cameras were
    given (as ns-export pointcloud --save-world-frame)."""
    resolution: int | None = None
    """Voxels along two units of the scene's own coordinates, 16 to 1024: at most one point in each.
    By default 512 for points, 256 for a mesh, 384 for splats."""
    rays: int = 1_000_000
    """About how many rays are looked along: more show finer things and take longer."""
    background: bool | None = None
    """Also what lies beyond the cameras, more than 1 from the middle; by default not in a mesh."""

    def run(self) -> None:
        """Render, fuse, write."""
        from dff.edited_config import all_documents
        from dff.errors import notice_in_one_line
        from dff.export.exporting import ExportOptions, export_scene
        from dff.scene import load
        from dff.stacked_documents import StackedDocuments

        options = ExportOptions(
            self.output, self.format, self.resolution, self.rays, self.scale, self.background
        )
        options.check()
        documents, trusted = all_documents(self.load_config, self.edits, self.trust)
        stack = StackedDocuments.read(documents, trusted) if documents else None
        scene = load(self.load_config)
        if stack is None:
            print(export_scene(scene, options))
            return
        edits = stack.compile(scene, trusted, notice_in_one_line)
        numbered = enumerate(stack.document.steps, 1)
        steps = [number for number, step in numbered if step.enabled]
        print(export_scene(scene, options, edits, steps))
