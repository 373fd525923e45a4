"""Work in several processes that goes well, or not; started by ``test_local_jobs.py``."""

from __future__ import annotations

import functools
import os
import signal
import sys
import time
from pathlib import Path

import torch

from dff.data.sharding import current_ranks, launched_ranks
from dff.errors import DffError, UsageError, report_in_one_line
from dff.local_jobs import run_jobs


def work(behaviour: str, folder: Path) -> None:
    """One process."""
    with launched_ranks(), current_ranks() as ranks:
        mine = folder / f"rank{ranks.rank}"
        try:
            mine.write_text(f"{ranks.rank} of {ranks.count}, {torch.get_num_threads()} threads")
            print(f"rank {ranks.rank} is at work", flush=True)
            ranks.share(lambda: None)
            if behaviour == "works":
                return
            if ranks.rank == 1:
                if behaviour == "fails":
                    raise DffError("mend this")
                if behaviour == "asked for nonsense":
                    raise UsageError("ask for something else")
                if behaviour == "breaks":
                    raise ValueError("ours\nto mend")
                if behaviour == "dies":
                    os.kill(os.getpid(), signal.SIGKILL)
            (folder / f"waiting{ranks.rank}").touch()
            # As one that renders: in Python, and for long.
            end = time.monotonic() + 120
            while time.monotonic() < end:
                time.sleep(0.05)
        finally:
            mine.with_suffix(".done").touch()


if __name__ == "__main__":
    report_in_one_line()
    torch.set_num_threads(4)
    try:
        run_jobs(functools.partial(work, sys.argv[1], Path(sys.argv[2])), int(sys.argv[3]))
    except UsageError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)
