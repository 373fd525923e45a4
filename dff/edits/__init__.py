"""Edits: the document (steps of selection and operation, as data) and what steps do to samples.

Nothing here trains, renders, queries a teacher or opens a window, and a document holds no code:
operations and colour functions are known by name.
"""

from dff.edits.apply import apply_edits, apply_operations
from dff.edits.colour import COLOUR_FUNCTIONS, hsv_to_rgb, recolour, rgb_to_hsv
from dff.edits.document import EditDocument, EditStep
from dff.edits.operations import (
    Delete,
    Extract,
    Greyscale,
    HueShift,
    Opacity,
    Operation,
    Recolor,
    SaturationScale,
    SetColor,
    Tint,
    ValueScale,
)
from dff.edits.selections import (
    ClickSelection,
    FileSelection,
    PatchSelection,
    Selection,
    TextSelection,
)
from dff.edits.storage import load_document, parse_document, save_document

__all__ = [
    "COLOUR_FUNCTIONS",
    "ClickSelection",
    "Delete",
    "EditDocument",
    "EditStep",
    "Extract",
    "FileSelection",
    "Greyscale",
    "HueShift",
    "Opacity",
    "Operation",
    "PatchSelection",
    "Recolor",
    "SaturationScale",
    "Selection",
    "SetColor",
    "TextSelection",
    "Tint",
    "ValueScale",
    "apply_edits",
    "apply_operations",
    "hsv_to_rgb",
    "load_document",
    "parse_document",
    "recolour",
    "rgb_to_hsv",
    "save_document",
]
