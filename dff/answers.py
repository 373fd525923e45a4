"""Answers that were given lately, so that a document that changes in one step asks for one."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from pathlib import Path
from weakref import WeakKeyDictionary

from dff.edits.filling import Filling
from dff.edits.folder import file_within
from dff.edits.selections import FileSelection, PatchSelection, StepSelection
from dff.selection.selection import Selection

MOST_KEPT = 64
MOST_BYTES = 256_000_000


class Answers:
    """The selections of one scene that were asked for last."""

    def __init__(self) -> None:
        self._kept: OrderedDict[Hashable, Selection] = OrderedDict()
        self._fillings: WeakKeyDictionary[Selection, Filling | None] = WeakKeyDictionary()

    def get(self, key: Hashable | None, make: Callable[[], Selection]) -> Selection:
        """The answer kept under a key, or a new one; without a key always a new one."""
        if key is None:
            return make()
        if key not in self._kept:
            self._kept[key] = make()
        self._kept.move_to_end(key)
        while len(self._kept) > 1 and (len(self._kept) > MOST_KEPT or self.bytes > MOST_BYTES):
            self._kept.popitem(last=False)
        return self._kept[key]

    def filling(
        self, selection: Selection, make: Callable[[Selection], Filling | None]
    ) -> Filling | None:
        """What closes a selection's hole, made once for as long as the selection is in use."""
        if selection not in self._fillings:
            self._fillings[selection] = make(selection)
        return self._fillings[selection]

    @property
    def bytes(self) -> int:
        """What is kept, without what all selections of a scene share."""
        parts = (part for s in self._kept.values() for part in (s.values, s.scores, s.firm))
        return sum(part.nbytes for part in parts if part is not None)


def key_of(described: StepSelection, folder: Path | None) -> Hashable | None:
    """All that an answer depends on besides the scene; None where that is not known.

    Args:
        described: as a document says it.
        folder: of the document.

    Raises:
        DffError: it names a file that is not there or may not be read.
    """
    if isinstance(described, PatchSelection):
        return None
    if isinstance(described, FileSelection):
        path = file_within(folder, described.file)
        about = path.stat()
        return str(path), about.st_mtime_ns, about.st_size
    return (described,)
