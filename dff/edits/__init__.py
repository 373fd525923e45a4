"""Edits: the document (steps of selection and operation, as data) and what steps do to samples.

Nothing here trains, renders, queries a teacher or opens a window, and a document holds no code:
operations and colour functions are known by name.
"""

from dff.edits.apply import apply_operations
from dff.edits.autosave import Autosave
from dff.edits.colour import COLOUR_FUNCTIONS, hsv_to_rgb, recolour, rgb_to_hsv
from dff.edits.document import EditDocument, EditStep
from dff.edits.operations import (
    Background,
    Channels,
    Curves,
    Delete,
    Duplicate,
    Extract,
    Greyscale,
    HueShift,
    Insert,
    Opacity,
    Operation,
    Recolor,
    Repaint,
    Replace,
    SaturationScale,
    SetColor,
    Tint,
    Transform,
    ValueScale,
)
from dff.edits.selections import (
    ClickSelection,
    FileSelection,
    MovedSelection,
    PatchSelection,
    Selection,
    TextSelection,
)
from dff.edits.stack import EditStack
from dff.edits.storage import load_document, parse_document, save_document

__all__ = [
    "COLOUR_FUNCTIONS",
    "Autosave",
    "Background",
    "Channels",
    "ClickSelection",
    "Curves",
    "Delete",
    "Duplicate",
    "EditDocument",
    "EditStack",
    "EditStep",
    "Extract",
    "FileSelection",
    "Greyscale",
    "HueShift",
    "Insert",
    "MovedSelection",
    "Opacity",
    "Operation",
    "PatchSelection",
    "Recolor",
    "Repaint",
    "Replace",
    "SaturationScale",
    "Selection",
    "SetColor",
    "TextSelection",
    "Tint",
    "Transform",
    "ValueScale",
    "apply_operations",
    "hsv_to_rgb",
    "load_document",
    "parse_document",
    "recolour",
    "rgb_to_hsv",
    "save_document",
]
