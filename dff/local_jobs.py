"""Several processes on this machine for one piece of work, started by torch's launcher."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import signal
import threading
import uuid
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

import torch
from torch import distributed
from torch.distributed.elastic.multiprocessing import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError, ProcessFailure
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from dff.errors import DffError, UsageError
from dff.quiet import quiet_nerfstudio

MAX_JOBS = 256
_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)


def run_jobs(work: Callable[[], None], jobs: int) -> None:
    """Do the same work in several processes, which find each other as `launched_ranks` says.

    Each gets its share of this process's threads, and a GPU of its own where there are so many.

    Args:
        work: a function of a module, or a method of what can be pickled; each process calls it.
        jobs: how many processes.

    Raises:
        DffError: one of them failed; the others are stopped.
        KeyboardInterrupt: this process was told to stop; so were they.
    """
    if not 1 <= jobs <= MAX_JOBS:
        raise DffError(f"the number of jobs must be from 1 to {MAX_JOBS}, not {jobs}")
    if distributed.is_torchelastic_launched():
        raise DffError("torchrun has started several processes already: leave out --jobs")
    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=jobs,
        run_id=uuid.uuid4().hex,
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",
        local_addr="localhost",
        max_restarts=0,
    )
    threads = max(1, torch.get_num_threads() // jobs)
    with _quiet_launcher():
        try:
            elastic_launch(config, _job)(work, threads)
        except ChildFailedError as error:
            raise _told(error, jobs) from error
        except SignalException as error:
            raise KeyboardInterrupt from error


def _job(work: Callable[[], None], threads: int) -> None:
    """What each process does; only the first one prints."""
    torch.set_num_threads(threads)
    quiet_nerfstudio()
    with contextlib.ExitStack() as stack:
        if os.environ["RANK"] != "0":
            stack.enter_context(contextlib.redirect_stdout(io.StringIO()))
        with stopped_in_order():
            work()


@contextlib.contextmanager
def stopped_in_order() -> Iterator[None]:
    """Take SIGTERM as Ctrl-C, so that half-written files are removed on the way out."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        # Only the main thread is told of signals.
        yield
        return
    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextlib.contextmanager
def _quiet_launcher() -> Iterator[None]:
    """Keep the launcher's own log off the terminal, and give back the signals that it takes."""
    main = threading.current_thread() is threading.main_thread()
    before = {number: signal.getsignal(number) for number in _SIGNALS} if main else {}
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)
        for number, handler in before.items():
            signal.signal(number, handler)


def _told(error: ChildFailedError, jobs: int) -> DffError:
    """What the process that failed first would have said alone."""
    rank, failure = error.get_first_failure()
    if failure.exitcode < 0:
        name = signal.Signals(-failure.exitcode).name
        hint = ", out of memory?" if -failure.exitcode == signal.SIGKILL else ""
        return DffError(
            f"process {rank + 1} of {jobs} was ended by {name}{hint}: run again with fewer --jobs; "
            "what was finished is kept"
        )
    said = _message(failure)
    kind, _, text = said.partition(": ")
    for ours in (DffError, UsageError):
        if kind == ours.__name__:
            return ours(text)
    return DffError(f"process {rank + 1} of {jobs} failed: {said}")


def _message(failure: ProcessFailure) -> str:
    """What the process recorded of its exception, as ``KIND: TEXT`` in one line."""
    recorded: Any = failure.message
    text = recorded.get("message", "") if isinstance(recorded, dict) else recorded
    return " ".join(str(text).split()) or f"exit status {failure.exitcode}"
