"""Selections: soft masks ``m(x)`` in [0, 1] over the scene, made from queries.

Nothing here renders, edits or opens a window; a selection is asked for its value at points.
"""

from dff.selection.field_selection import FieldSelection
from dff.selection.surface_snap import SurfaceSnap

__all__ = ["FieldSelection", "SurfaceSnap"]
