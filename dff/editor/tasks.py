"""Long work beside the editing: one at a time, with progress, and it can be cancelled."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

from dff.editor.latest import said
from dff.errors import DffError

# Of the share that is done, to be told.
LEAST_CHANGE = 0.01


class Cancelled(Exception):
    """Raised in long work when somebody cancels it."""


@dataclass(frozen=True)
class Progress:
    """How far the work is.

    Attributes:
        label: what is being done; empty: nothing.
        share: done, in [0, 1].
    """

    label: str = ""
    share: float = 0.0


class Tasks:
    """See the module's docstring.

    Args:
        changed: told of progress.
        ended: told how it ended: a line for people, and whether it is an error.
    """

    def __init__(
        self, changed: Callable[[Progress], None], ended: Callable[[str, bool], None]
    ) -> None:
        self._changed, self._ended = changed, ended
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._cancel = threading.Event()
        self._label = ""

    @property
    def busy(self) -> bool:
        """Whether something is being done."""
        return self._thread is not None and self._thread.is_alive()

    @property
    def doing(self) -> str:
        """What is being done; empty: nothing."""
        return self._label if self.busy else ""

    def start(self, label: str, work: Callable[[Callable[[float], None]], str]) -> None:
        """Begin.

        Args:
            label: what is done.
            work: does it; tells the share that is done to what it is given, which raises
                `Cancelled`; returns a line that says what came out.

        Raises:
            DffError: something else is being done.
        """
        with self._lock:
            if self.busy:
                raise DffError(f"{self._label} is still at work: wait, or cancel it")
            self._label = label
            self._cancel.clear()
            self._thread = threading.Thread(target=self._run, args=(label, work), daemon=True)
            self._thread.start()

    def cancel(self) -> None:
        """Stop what is being done."""
        self._cancel.set()

    def wait(self, timeout: float | None = None) -> None:
        """Until it is done."""
        if self._thread is not None:
            self._thread.join(timeout)

    def _run(self, label: str, work: Callable[[Callable[[float], None]], str]) -> None:
        told = -1.0

        def progress(share: float) -> None:
            nonlocal told
            if self._cancel.is_set():
                raise Cancelled
            share = min(max(share, 0.0), 1.0)
            if abs(share - told) >= LEAST_CHANGE or share == 1.0:
                told = share
                self._changed(Progress(label, share))

        try:
            progress(0.0)
            line, wrong = work(progress), False
        except (Cancelled, KeyboardInterrupt):
            line, wrong = f"{label}: cancelled", False
        except Exception as error:
            line, wrong = f"{label}: {said(error)}", True
        self._changed(Progress())
        self._ended(line, wrong)
