"""Work in the background of which only the latest order counts, and work of which all of it does.

Pictures are of the first kind: a camera that moved makes the picture before it useless. Actions of
people are of the second: each is done, one after the other, in the order in which it was asked for.
"""

from __future__ import annotations

import queue
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Generic, TypeVar

from dff.errors import DffError

Order = TypeVar("Order")
# Seconds after which people wonder whether anything is being done.
LONG = 0.5


class Outdated(Exception):
    """Raised by work when a later order has come."""


class Latest(Generic[Order]):
    """A thread that works on the latest order only.

    Args:
        work: does it; is given the order and a function that says whether a later one has come,
            and may raise `Outdated` then.
        failed: told of what went wrong, in one line.
    """

    def __init__(
        self,
        work: Callable[[Order, Callable[[], bool]], None],
        failed: Callable[[str], None],
    ) -> None:
        self._work, self._failed = work, failed
        self._condition = threading.Condition()
        self._order: Order | None = None
        self._number = self._done = 0
        self._stopped = False
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def ask(self, order: Order) -> None:
        """Work on this, and no longer on anything before it."""
        with self._condition:
            self._order = order
            self._number += 1
            self._condition.notify_all()

    def stop(self) -> None:
        """End the thread, as soon as what it does looks whether it is outdated."""
        with self._condition:
            self._stopped = True
            self._number += 1
            self._condition.notify_all()

    def wait(self, timeout: float | None = None) -> bool:
        """Until the latest order is done; whether it is."""
        with self._condition:
            return self._condition.wait_for(lambda: self._done == self._number, timeout)

    def _run(self) -> None:
        while True:
            with self._condition:
                self._condition.wait_for(lambda: self._stopped or self._done != self._number)
                if self._stopped:
                    return
                number, order = self._number, self._order
            assert order is not None
            try:
                self._work(order, lambda n=number: self._number != n)
            except Outdated:
                continue
            except Exception as error:
                self._failed(said(error))
            with self._condition:
                self._done = max(self._done, number)
                self._condition.notify_all()


class InOrder:
    """A thread that does actions one after the other.

    Args:
        failed: told of what went wrong, in one line; whatever does, the next action is done.
        busy: told True when an action takes long, and False when it is done then.
        long: seconds that are long.
    """

    def __init__(
        self,
        failed: Callable[[str], None],
        busy: Callable[[bool], None] = lambda busy: None,
        long: float = LONG,
    ) -> None:
        self._failed, self._busy, self._long = failed, busy, long
        self._actions: queue.Queue[Callable[[], object] | None] = queue.Queue()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def do(self, action: Callable[[], object]) -> None:
        """Do this when everything before it is done."""
        self._actions.put(action)

    def wait(self) -> None:
        """Until everything is done."""
        self._actions.join()

    def stop(self) -> None:
        """End the thread after what was asked for."""
        self._actions.put(None)

    def _run(self) -> None:
        while (action := self._actions.get()) is not None:
            try:
                with self._watched():
                    action()
            except Exception as error:
                self._failed(said(error))
            finally:
                self._actions.task_done()
        self._actions.task_done()

    @contextmanager
    def _watched(self) -> Iterator[None]:
        """Tell when what is done takes long, and when it ends then."""
        lock, ended, told = threading.Lock(), False, False

        def tell() -> None:
            nonlocal told
            with lock:
                if not ended:
                    told = True
                    self._busy(True)

        timer = threading.Timer(self._long, tell)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()
            with lock:
                ended = True
                if told:
                    self._busy(False)


def said(error: Exception) -> str:
    """One line for a person; of what is a fault of ours, the traceback goes to the terminal."""
    if isinstance(error, DffError):
        return str(error)
    traceback.print_exception(error)
    reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
    return f"something went wrong inside ({reason}): your work is kept; the terminal says more"
