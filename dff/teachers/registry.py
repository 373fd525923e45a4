"""Which teachers there are, ours and those of other packages, and how one is loaded."""

from __future__ import annotations

import difflib
import fnmatch
from collections.abc import Callable, Sequence
from dataclasses import replace
from importlib.metadata import EntryPoint, entry_points
from types import MappingProxyType

import torch

from dff.errors import DffError
from dff.teachers.base import Teacher
from dff.teachers.options import DEFAULT_TEMPLATES, TeacherOptions

ENTRY_POINTS = "dff.teachers"

Device = str | torch.device


def _mini(device: Device, options: TeacherOptions) -> Teacher:
    from dff.teachers.mini import DEFAULT_WEIGHTS, MiniTeacher

    if options.templates != DEFAULT_TEMPLATES:
        raise DffError("teacher 'mini' takes no prompt templates: its vocabulary is closed")
    return MiniTeacher.load(options.checkpoint or DEFAULT_WEIGHTS, device=device)


def _lseg(device: Device, options: TeacherOptions) -> Teacher:
    from dff.teachers.lseg import LSegTeacher

    given = replace(options.lseg, checkpoint=options.lseg.checkpoint or options.checkpoint)
    return LSegTeacher.load(given, device, options.templates)


def _dino(device: Device, options: TeacherOptions) -> Teacher:
    from dff.teachers.dino import DinoTeacher

    given = replace(options.dino, checkpoint=options.dino.checkpoint or options.checkpoint)
    return DinoTeacher.load(given, device)


def _clip(device: Device, options: TeacherOptions) -> Teacher:
    from dff.teachers.clip import ClipTeacher

    given = replace(options.clip, checkpoint=options.clip.checkpoint or options.checkpoint)
    return ClipTeacher.load(given, device, options.templates)


def _precomputed(device: Device, options: TeacherOptions) -> Teacher:
    from dff.teachers.precomputed import PrecomputedTeacher

    text = options.precomputed.text
    if text == "precomputed":
        raise DffError("maps have the text tower of the teacher that made them, not 'precomputed'")
    tower = None if text is None else get_teacher(text, device, options)
    return PrecomputedTeacher.open(options.precomputed, tower)


_TEACHERS: MappingProxyType[str, Callable[[Device, TeacherOptions], Teacher]] = MappingProxyType(
    {"clip": _clip, "dino": _dino, "lseg": _lseg, "mini": _mini, "precomputed": _precomputed}
)


def list_teachers(pattern: str = "*") -> list[str]:
    """Names of the teachers that match a shell pattern, sorted; other packages' included."""
    return sorted(fnmatch.filter({*_TEACHERS, *_foreign()}, pattern))


def teacher_names(text: str) -> tuple[str, ...]:
    """The names in a comma-separated list, such as ``clip,dino``; not yet whether they exist.

    Raises:
        DffError: for no name, or one given twice.
    """
    names = tuple(part.strip() for part in text.split(","))
    if not all(names):
        raise DffError(f"a teacher has no name in '{text}'; known: {', '.join(list_teachers())}")
    if len(set(names)) < len(names):
        raise DffError(f"a teacher is named twice in '{text}': name each once")
    return names


def check_checkpoint(names: Sequence[str], options: TeacherOptions, prefix: str) -> None:
    """Refuse a weights file that does not say which of several teachers it is for.

    Args:
        names: of the teachers.
        options: theirs.
        prefix: how their options begin on the command line at hand, such as ``--teacher``.

    Raises:
        DffError: there are several teachers, and the checkpoint common to all is given.
    """
    if len(names) < 2 or options.checkpoint is None:
        return
    own = [name for name in names if hasattr(getattr(options, name, None), "checkpoint")]
    spelt = [f"{prefix}.{name}.checkpoint" for name in own]
    if any(name in _foreign() for name in names):
        spelt.append(f"{prefix}.own checkpoint=FILE")
    instead = " or ".join(spelt) or f"one teacher with {prefix}.checkpoint"
    raise DffError(f"which teacher's weights is {options.checkpoint}? Give {instead}")


def get_teacher(
    name: str, device: Device = "cpu", options: TeacherOptions | None = None
) -> Teacher:
    """Loads a teacher by name.

    Raises:
        DffError: for a name that there is no teacher for, or weights that cannot be read.
    """
    _check_name(name)
    options = options or TeacherOptions()
    if name in _TEACHERS:
        return _TEACHERS[name](device, options)
    return _load_foreign(_foreign()[name], device, options)


def _check_name(name: str) -> None:
    known = list_teachers()
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1, cutoff=0.4)
        hint = f" (did you mean '{near[0]}'?)" if near else ""
        raise DffError(f"there is no teacher '{name}'{hint}; known: {', '.join(known)}")


def _foreign() -> dict[str, EntryPoint]:
    """Teachers of other packages; ours keep their names."""
    return {
        point.name: point
        for point in entry_points(group=ENTRY_POINTS)
        if point.name not in _TEACHERS and "." not in point.name and "," not in point.name
    }


def _load_foreign(point: EntryPoint, device: Device, options: TeacherOptions) -> Teacher:
    pairs = {}
    for pair in options.own:
        key, equals, value = pair.partition("=")
        if not equals or not key.strip():
            raise DffError(f"an option of a teacher is key=value, not {pair!r}")
        pairs[key.strip()] = value
    if options.checkpoint is not None:
        pairs.setdefault("checkpoint", str(options.checkpoint))
    try:
        teacher = point.load()(device, pairs)
    except DffError:
        raise
    except Exception as error:
        # Somebody else's code: whatever it raises, say whose it is.
        raise DffError(
            f"teacher '{point.name}' of {point.value} cannot be loaded: "
            f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
        ) from error
    if not isinstance(teacher, Teacher) or teacher.name != point.name:
        raise DffError(
            f"{point.value} does not give a dff.teachers.Teacher whose name is '{point.name}'"
        )
    return teacher
