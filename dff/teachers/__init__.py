"""Teachers: frozen 2D networks that give features of images and, where they can, of text.

One file a teacher and the registry below. Nothing here knows nerfstudio, the fields or the editor.
Another package brings a teacher by an entry point in the group ``dff.teachers``: a callable that
takes a device and a dictionary of options and returns a `Teacher`.
"""

from __future__ import annotations

from dff.teachers.base import Teacher
from dff.teachers.options import TeacherOptions
from dff.teachers.registry import (
    check_checkpoint,
    get_teacher,
    list_teachers,
    teacher_names,
)

__all__ = [
    "Teacher",
    "TeacherOptions",
    "check_checkpoint",
    "get_teacher",
    "list_teachers",
    "teacher_names",
]
