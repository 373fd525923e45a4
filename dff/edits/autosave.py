"""Work in progress, kept beside its document, so that a crash loses none of it.

An editor makes an `Autosave` when it opens a document, asks `recover` first, calls `save` after
every change, and `discard` once the document itself was saved or thrown away on purpose.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from dff.edits.document import EditDocument, EditStep
from dff.edits.reading import read_data, readable
from dff.edits.stack import EditStack, Moment
from dff.edits.storage import load_document, save_document
from dff.errors import DffError
from dff.files import atomic_write

VERSION = 1
# In the names of autosaves, and of no document.
AUTOSAVED = ".autosave."
# What copies of unsaved work are called beside their document.
ASIDE = re.compile(r"(-unsaved-\d+)+$")
# Of the history; what lies further back is not what one wants after a crash.
MAX_MOMENTS = 100


class Autosave:
    """The autosaved state of one document.

    Attributes:
        path: of the document, which need not be there yet.
        file: the autosave, beside it.
    """

    def __init__(self, path: Path | str, report: Callable[[str], None] | None = None) -> None:
        """
        Args:
            path: of the document.
            report: told in one line what was put aside; by default on standard error.
        """
        self.path = Path(path)
        self.file = self.path.with_name(f"{self.path.name}{AUTOSAVED}json")
        self._report = report or (lambda message: print(message, file=sys.stderr))
        # What another run left is not written over before somebody was asked about it.
        self._settled = False

    def save(self, work: EditDocument | EditStack) -> None:
        """Keep the document, or with a stack its latest history too; atomically.

        Raises:
            DffError: the file cannot be written.
        """
        if not self._settled and self.file.exists():
            self._rename("old", "was left by an earlier run")
        stack = work if isinstance(work, EditStack) else EditStack(work)
        content = _packed(stack.moments, stack.now) or _packed((Moment(stack.document, ""),), 0)
        if content is None:
            raise DffError(f"cannot write {self.file}: the document is too large")
        with atomic_write(self.file) as stream:
            stream.write(content)
        self._settled = True

    def recover(self) -> EditDocument | None:
        """The document that was being worked on when the last run ended without `discard`.

        Returns:
            None where there is none, or where the saved document is the same or was saved later.
        """
        stack = self.recover_history()
        return None if stack is None else stack.document

    def recover_history(self) -> EditStack | None:
        """As `recover`, with what can be undone and redone."""
        if not self.file.exists():
            return None
        try:
            stack = _unpacked(read_data(self.file).data)
        except (DffError, LookupError, TypeError, ValueError):
            self._rename("damaged", "is damaged")
            return None
        if stack.document == self._saved():
            self._settled = True
            return None
        if self.path.exists() and self.path.stat().st_mtime_ns > self.file.stat().st_mtime_ns:
            return None
        self._settled = True
        return stack

    def put_aside(self, offered: EditDocument) -> Path:
        """Keep what was recovered as a document beside this one, before anything takes its place.

        Returns:
            Where it is now.

        Raises:
            DffError: the file cannot be written.
        """
        # What was put aside of something that was put aside goes beside it, under the same name.
        stem, number = ASIDE.sub("", self.path.stem), 1
        while (aside := self.path.with_stem(f"{stem}-unsaved-{number}")).exists():
            number += 1
        save_document(offered, aside)
        return aside

    def discard(self) -> None:
        """Forget what was kept."""
        try:
            self.file.unlink(missing_ok=True)
        except OSError as error:
            raise DffError(f"cannot remove {self.file}: {error.strerror or error}") from error
        self._settled = True

    def _saved(self) -> EditDocument:
        """What the document's file holds; nothing, where it cannot be read."""
        try:
            return load_document(self.path)
        except DffError:
            return EditDocument()

    def _rename(self, why: str, what: str) -> None:
        number = 1
        while (aside := self.file.with_suffix(f".{why}-{number}.json")).exists():
            number += 1
        try:
            os.replace(self.file, aside)
        except OSError as error:
            raise DffError(f"cannot rename {self.file}: {error.strerror or error}") from error
        self._report(f"{self.file.name} {what}: it was put aside as {aside.name}")


def _packed(moments: tuple[Moment, ...], now: int) -> bytes | None:
    """Each step once, and the moments as lists of numbers of steps; None where it is too much."""
    first = max(min(now - MAX_MOMENTS // 2, len(moments) - MAX_MOMENTS), 0)
    moments = moments[first : first + MAX_MOMENTS]
    numbers: dict[int, int] = {}
    steps: list[EditStep] = []
    for step in (step for moment in moments for step in moment.document.steps):
        if numbers.setdefault(id(step), len(steps)) == len(steps):
            steps.append(step)
    data = {
        "autosave": VERSION,
        "now": now - first,
        "moments": [
            {"action": m.action, "steps": [numbers[id(step)] for step in m.document.steps]}
            for m in moments
        ],
        "steps": [step.model_dump(mode="json", exclude_none=True) for step in steps],
    }
    content = json.dumps(data, ensure_ascii=False).encode("utf-8")
    return content if readable(data, content) else None


def _unpacked(data: Any) -> EditStack:
    if data["autosave"] != VERSION:
        raise ValueError("an autosave of another version")
    steps = [EditStep.model_validate(step) for step in data["steps"]]
    moments = [
        Moment(EditDocument(steps=tuple(steps[n] for n in moment["steps"])), str(moment["action"]))
        for moment in data["moments"][:MAX_MOMENTS]
    ]
    return EditStack.of_moments(moments, data["now"])
