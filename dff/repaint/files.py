"""Which files a repainting consists of, and whether a run goes on, begins or is done."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from dff.edits.document import EditDocument, EditStep
from dff.edits.operations import Repaint
from dff.edits.selections import FileSelection
from dff.edits.storage import save_document
from dff.errors import DffError, UsageError
from dff.repaint.stored import KIND, read_tensors

SUFFIXES = (".safetensors", ".yml", ".yaml")


@dataclass(frozen=True)
class RepaintFiles:
    """Files beside each other, by one name.

    Attributes:
        paint: the repainting.
        document: the edit document that uses it.
        selection: what that document selects.
        resume: what a run that was stopped goes on from; gone once it is done.
        previews: folder of pictures, before | now.
    """

    paint: Path
    document: Path
    selection: Path
    resume: Path
    previews: Path

    @classmethod
    def of(cls, output: Path) -> RepaintFiles:
        """By what the user calls the result: ``NAME``, ``NAME.safetensors`` or ``NAME.yml``.

        Raises:
            UsageError: it is called something else, or like a folder that is there.
        """
        suffix, folder = output.suffix, output.parent
        # A version number at the end of a name is no suffix.
        if suffix not in SUFFIXES and suffix[1:].isalpha():
            raise UsageError(
                f"--output is written as .safetensors and .yml: give a name without '{suffix}'"
            )
        stem = output.stem if suffix in SUFFIXES else output.name
        if output.is_dir() or not stem:
            raise UsageError(f"--output {output} is a folder: name a file in it")
        return cls(
            folder / f"{stem}.safetensors",
            folder / f"{stem}.yml",
            folder / f"{stem}.selection.npz",
            folder / f"{stem}.resume.safetensors",
            folder / f"{stem}.previews",
        )

    def write_document(self, prompt: str) -> None:
        """Write the document: one step that puts the paint on the selection."""
        step = EditStep(
            name=f"repaint: {prompt}"[:200],
            selection=FileSelection(file=self.selection.name),
            operation=Repaint(file=self.paint.name),
        )
        save_document(EditDocument(steps=(step,)), self.document)


@dataclass(frozen=True)
class Found:
    """What an earlier run left.

    Attributes:
        step: how many steps it did.
        state: of the training; None where nothing is left to do, or nothing was done.
    """

    step: int = 0
    state: Mapping[str, Tensor] | None = None


def look_for(files: RepaintFiles, facts: Mapping[str, Any], steps: int) -> Found:
    """What an earlier run of the same command left.

    Args:
        files: its files.
        facts: everything the result depends on, as plain data.
        steps: how many there are to be.

    Raises:
        DffError: the files are those of another repainting, or damaged.
    """
    if files.resume.exists():
        told, state = read_tensors(files.resume)
        step = _steps_of(files.resume, told, facts)
        return Found(step, state)
    if files.paint.exists():
        told, _ = read_tensors(files.paint)
        if told.get("kind") != KIND:
            raise DffError(f"{files.paint} is no repainting: give another --output")
        step = _steps_of(files.paint, told, facts)
        # Without what it could go on from, only a run that is done counts.
        return Found(step) if step >= steps else Found()
    return Found()


def _steps_of(path: Path, told: Mapping[str, Any], facts: Mapping[str, Any]) -> int:
    now, then = _flat(facts), _flat(told)
    differs = [name for name, value in now.items() if then.get(name) != value]
    if differs:
        name = differs[0]
        raise DffError(
            f"{path} is of another run ({name} was {_shown(then.get(name))}, now "
            f"{_shown(now[name])}): give another --output, or --overwrite"
        )
    step = told.get("steps_done")
    if not isinstance(step, int) or isinstance(step, bool) or step < 0:
        raise DffError(f"{path} is damaged: give another --output, or --overwrite")
    return step


def _flat(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Facts about facts by names of their own, as ``settings.steps``."""
    flat: dict[str, Any] = {}
    for name, value in facts.items():
        if isinstance(value, Mapping):
            flat |= {f"{name}.{key}": each for key, each in value.items()}
        else:
            flat[name] = value
    return flat


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:60]}..."
