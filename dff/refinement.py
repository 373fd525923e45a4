"""The refinements of a selection that a command can ask for, in the order in which they act."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from dff.errors import DffError

if TYPE_CHECKING:
    from dff.scene import Scene
    from dff.selection.selection import Selection


@dataclass(frozen=True)
class Refinement:
    """Lengths are in the scene's units, in which nerfstudio trains (cameras within about 1)."""

    keep_largest: int | None = None
    """Keep only so many of the largest connected components."""
    keep_clicked: tuple[str, ...] = ()
    """Keep only the connected components that are at these pixels (FRAME:x,y)."""
    box: tuple[float, float, float, float, float, float] | None = None
    """Keep only what lies between two corners: x0 y0 z0 x1 y1 z1."""
    sphere: tuple[float, float, float, float] | None = None
    """Keep only what lies in a sphere: x y z radius."""
    fill_holes: bool = False
    """Select gaps that what is selected encloses."""
    follow_colours: bool = False
    """Let the rim follow the colours (bilateral clean-up)."""
    smooth: int = 0
    """Average each voxel with its neighbours, so many times over."""
    grow: float = 0.0
    """Select also what lies within this distance."""
    shrink: float = 0.0
    """Drop what lies within this distance of what is not selected."""
    invert: bool = False
    """Select what is not selected instead."""
    add: tuple[Path, ...] = ()
    """Saved selections to add."""
    subtract: tuple[Path, ...] = ()
    """Saved selections to take away."""
    intersect: tuple[Path, ...] = ()
    """Saved selections to keep only the common part with."""

    def apply(self, scene: Scene, selection: Selection) -> Selection:
        """The refined selection.

        Raises:
            DffError: a parameter that makes no sense, a click that meets nothing, or a saved
                selection that does not fit.
        """
        # Here, so that a command line that is only looked at starts at once.
        from dff.answering import voxel_of
        from dff.query.shown import parse_click
        from dff.selection import refine

        grid = selection.grid
        if self.keep_largest is not None:
            change = partial(refine.largest_components, grid, keep=self.keep_largest)
            selection = selection.within(change, f"largest {self.keep_largest}")
        if self.keep_clicked:
            voxels = [voxel_of(scene, parse_click(click)) for click in self.keep_clicked]
            for click, voxel in zip(self.keep_clicked, voxels, strict=True):
                if selection.values[voxel] < refine.SELECTED:
                    raise DffError(f"nothing is selected at {click}: click what is, to keep it")
            change = partial(refine.components_of, grid, voxels=voxels)
            selection = selection.within(change, f"at {' '.join(self.keep_clicked)}")
        if self.box is not None:
            change = partial(refine.restrict_to_box, grid, low=self.box[:3], high=self.box[3:])
            selection = selection.within(change, f"within box {self.box}")
        if self.sphere is not None:
            centre, radius = self.sphere[:3], self.sphere[3]
            change = partial(refine.restrict_to_sphere, grid, centre=centre, radius=radius)
            selection = selection.within(change, f"within sphere {self.sphere}")
        if self.fill_holes:
            selection = selection.beyond(partial(refine.fill_holes, grid), "holes filled")
        if self.follow_colours:
            selection = selection.beyond(partial(refine.follow_colours, grid), "colours followed")
        if self.smooth:
            change = partial(refine.smooth, grid, steps=self.smooth)
            selection = selection.beyond(change, f"smoothed {self.smooth} times")
        if self.grow:
            change = partial(refine.grow, grid, distance=self.grow)
            selection = selection.beyond(change, f"grown by {self.grow:g}")
        if self.shrink:
            change = partial(refine.shrink, grid, distance=self.shrink)
            selection = selection.within(change, f"shrunk by {self.shrink:g}")
        if self.invert:
            selection = selection.beyond(refine.invert, "inverted")
        for paths, change, how in (
            (self.add, refine.union, "with"),
            (self.subtract, refine.subtract, "without"),
            (self.intersect, refine.intersect, "in common with"),
        ):
            for path in paths:
                other = scene.load_selection(path)
                selection = selection.combined(other, change, f"{how} {path.name}")
        return selection
