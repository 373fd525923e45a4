"""Sharing work between the processes of torch's launcher; none waits for one that failed."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import distributed

from dff.errors import DffError
from dff.files import TEMPORARY_PREFIX

T = TypeVar("T")

# A rank waits so long for one that is still at work; one that died is noticed at once.
_PATIENCE = timedelta(days=2)
_MEETING = timedelta(minutes=10)


class Ranks:
    """The processes that share the work, as one of them sees them.

    Attributes:
        rank: number of this one, from 0.
        count: how many there are.
    """

    def __init__(self, rank: int = 0, count: int = 1, group: Any = None) -> None:
        self.rank, self.count, self._group = rank, count, group

    @property
    def first(self) -> bool:
        """Whether this is rank 0, which does what is done once."""
        return self.rank == 0

    def share(self, work: Callable[[], T]) -> list[T]:
        """Do something on each rank and tell each other the results; all ranks must call it.

        Returns:
            The results, by rank; they must be small.

        Raises:
            DffError: another rank failed, or is gone.
            Exception: what ``work`` raised here.
        """
        if self.count == 1:
            return [work()]
        result: T | None = None
        failure: Exception | None = None
        try:
            result = work()
        except Exception as error:
            failure = error
        said = None if failure is None else " ".join(str(failure).split()) or repr(failure)
        reports: list[Any] = [None] * self.count
        try:
            distributed.all_gather_object(reports, (said, result), group=self._group)
        except RuntimeError as error:
            if failure is not None:
                raise failure from error
            raise DffError(
                "another process of this run is gone; run the command again: what was finished "
                "is kept"
            ) from error
        if failure is not None:
            raise failure
        for rank, (message, _) in enumerate(reports):
            if message is not None:
                raise DffError(f"rank {rank} of {self.count} failed: {message}")
        return [value for _, value in reports]

    def once(self, work: Callable[[], T]) -> T:
        """Do something on rank 0 only; all ranks get its result, or its failure."""
        return self.share(lambda: work() if self.first else None)[0]  # type: ignore[return-value]


def check_shared(folder: Path, ranks: Ranks) -> None:
    """Refuse ranks on machines that do not see the same folder, before hours of work.

    Raises:
        DffError: they do not, or it cannot be written to.
    """
    if ranks.count == 1:
        return

    def mark() -> str:
        name = f"{TEMPORARY_PREFIX}ranks-{secrets.token_hex(8)}"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            (folder / name).touch()
        except OSError as error:
            raise DffError(f"cannot write {folder}: {error.strerror or error}") from error
        return name

    name = ranks.once(mark)
    seen = ranks.share(lambda: (folder / name).exists())
    ranks.once(lambda: (folder / name).unlink(missing_ok=True))
    if not all(seen):
        raise DffError(
            f"the processes do not see the same folder {folder}: give --feature-cache one that "
            "all machines share"
        )


@contextmanager
def current_ranks() -> Iterator[Ranks]:
    """The ranks of the process group this process is in, or this process alone.

    Messages go through gloo whatever the group's own backend is: they are for the processes, and
    a GPU may be busy.
    """
    grouped = distributed.is_available() and distributed.is_initialized()
    if not grouped or distributed.get_world_size() == 1:
        yield Ranks()
        return
    group = distributed.new_group(backend="gloo", timeout=_PATIENCE)
    try:
        yield Ranks(distributed.get_rank(), distributed.get_world_size(), group)
    finally:
        distributed.destroy_process_group(group)


@contextmanager
def launched_ranks() -> Iterator[int]:
    """Join the processes that ``torchrun`` started, if it started this one; gives this one's rank.

    Raises:
        DffError: the processes cannot reach each other.
    """
    count = int(os.environ.get("WORLD_SIZE", "1"))
    launched = distributed.is_available() and distributed.is_torchelastic_launched()
    if not launched or count == 1 or distributed.is_initialized():
        yield 0
        return
    try:
        distributed.init_process_group("gloo", timeout=_MEETING)
    except (RuntimeError, ValueError) as error:
        raise DffError(
            f"the processes cannot reach each other ({' '.join(str(error).split())[:160]}); set "
            "GLOO_SOCKET_IFNAME to the network interface that joins them"
        ) from error
    try:
        yield distributed.get_rank()
    finally:
        distributed.destroy_process_group()


def choose_device(name: str, local_rank: int = 0) -> torch.device:
    """The device to compute on.

    Args:
        name: ``auto`` (a GPU if there is one: the rank's own), or as torch calls it.
        local_rank: of this process on its machine.

    Raises:
        DffError: there is no such device here.
    """
    if name == "auto":
        if not torch.cuda.is_available():
            return torch.device("cpu")
        return torch.device("cuda", local_rank % torch.cuda.device_count())
    try:
        device = torch.device(name)
        torch.ones(1, device=device).item()
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = " ".join(str(error).split()).split(". ")[0][:160]
        raise DffError(
            f"cannot compute on --device {name}: {reason} (auto, cpu or cuda?)"
        ) from error
    return device
