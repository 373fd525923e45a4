"""Teachers: frozen 2D networks that give features of images and, where they can, of text.

One file a teacher and the registry below. Nothing here knows nerfstudio, the fields or the editor.
"""

from __future__ import annotations

import difflib
import fnmatch
from collections.abc import Callable
from types import MappingProxyType

import torch

from dff.errors import DffError
from dff.teachers.base import Teacher

__all__ = ["Teacher", "get_teacher", "list_teachers"]


def _mini(device: str | torch.device) -> Teacher:
    from dff.teachers.mini import MiniTeacher

    return MiniTeacher.load(device=device)


_TEACHERS: MappingProxyType[str, Callable[[str | torch.device], Teacher]] = MappingProxyType(
    {"mini": _mini}
)


def list_teachers(pattern: str = "*") -> list[str]:
    """Names of the teachers that match a shell pattern, sorted."""
    return sorted(fnmatch.filter(_TEACHERS, pattern))


def get_teacher(name: str, device: str | torch.device = "cpu") -> Teacher:
    """Loads a teacher by name.

    Raises:
        DffError: for a name that there is no teacher for, or weights that cannot be read.
    """
    if name not in _TEACHERS:
        near = difflib.get_close_matches(name, _TEACHERS, n=1, cutoff=0.4)
        hint = f" (did you mean '{near[0]}'?)" if near else ""
        raise DffError(f"there is no teacher '{name}'{hint}; known: {', '.join(list_teachers())}")
    return _TEACHERS[name](device)
