"""Random valid actions in the editor, for as long as one likes.

    uv run python tools/soak_editor.py --load-config CONFIG --minutes 30 --json soak.json

Starts `dff edit` on a trained scene, and does to its panels over a real websocket what a person
could do next: values within their ranges, buttons that can be pressed, clicks and rectangles in the
picture, other cameras, another tab, with a seed. Refusals in one line are what the editor is to do;
tracebacks are counted, and how much more memory the process holds in the end than when everything
had been done once: until then libraries are loaded and kernels built. Both times it rests, with a
picture of the same kind in one tab, nothing selected and no step: what stays then was lost. That
growth is to be 100 MB at most; the ones since the first picture and with the work as it was left,
in which there may be more steps, are told too, and the most that was held in between.
"""

from __future__ import annotations

import json
import random
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import tyro
from bench_editor import free_port, served, tool
from editor_actions import Anybody
from rich.console import Console
from rich.progress import Progress

from dff.errors import DffError

GROWTH_MB = 100


@dataclass(frozen=True)
class Held:
    """What the process held when something had been done.

    Attributes:
        seconds: since the first picture.
        what: was done.
        mb: resident memory.
    """

    seconds: float
    what: str
    mb: float


@dataclass
class SoakEditor:
    """Do random things for a while."""

    load_config: Path
    """The config.yml of a trained scene."""
    minutes: float = 30.0
    """How long, after everything was done once."""
    words: tuple[str, ...] = ("red apple", "lamp", "book", "table", "no such thing")
    """What is asked for."""
    seed: int = 0
    """Of the actions."""
    patience: float = 300.0
    """Seconds to wait for the editor to come up."""
    log: Path | None = None
    """Where to keep what the editor says on the terminal."""
    trace: Path | None = None
    """Where to write, as it goes, the memory held after each action (CSV)."""
    json: Path | None = None
    """Where to write the figures."""

    def run(self) -> bool:
        """Do them and report; whether nothing was wrong."""
        with tempfile.TemporaryDirectory() as place:
            folder = Path(place)
            log_path = self.log or folder / "log"
            port = free_port()
            command = [tool("dff"), "edit", "--load-config", str(self.load_config)]
            command += ["--folder", str(folder / "edits"), "--port", str(port)]
            with log_path.open("w") as log, served(command, port, self.patience, log) as process:
                somebody = Anybody(port, random.Random(self.seed), self.words)
                first, soaked = self._keep_on(somebody, process.pid)
                somebody.leave()
            text = log_path.read_text()
        start = first[0].mb
        (left_warm, warm), (left_end, end) = ([h.mb for h in part[-2:]] for part in (first, soaked))
        found = {
            "minutes": self.minutes,
            "actions": sum(somebody.done.values()),
            "kinds": dict(somebody.done.most_common()),
            "refusals": dict(somebody.refused.most_common(20)),
            # One that is told in the page is written in the terminal too.
            "faults": max(text.count("Traceback (most recent call last)"), somebody.faults),
            "start_mb": start,
            "warm_mb": warm,
            "end_mb": end,
            "most_mb": max(h.mb for h in soaked),
            "growth_from_start_mb": round(end - start, 1),
            "growth_as_left_mb": round(left_end - left_warm, 1),
            "growth_mb": round(end - warm, 1),
        }
        console = Console()
        console.print_json(data=found)
        if found["faults"]:
            begin = text.find("Traceback (most recent call last)")
            console.print(text[begin : begin + 2000], markup=False)
        if self.json is not None:
            self.json.write_text(json.dumps(found, indent=1))
        return not found["faults"] and found["growth_mb"] <= GROWTH_MB

    def _keep_on(self, somebody: Anybody, process: int) -> tuple[list[Held], list[Held]]:
        """What was held from the first picture on, until everything was done once; and after."""
        begin = time.monotonic()
        held: list[Held] = []

        def did(what: str) -> None:
            held.append(Held(round(time.monotonic() - begin, 1), what, resident_mb(process)))
            if self.trace is not None:
                with self.trace.open("a" if len(held) > 1 else "w") as file:
                    file.write(f"{held[-1].seconds},{what},{held[-1].mb}\n")

        did("the first picture")
        with Progress(transient=True) as bar:
            task = bar.add_task("everything once", total=None)
            somebody.everything(did)
            self._compare(somebody, did)
            first, seconds = len(held), 60 * self.minutes
            since = time.monotonic()
            bar.update(task, description="soaking", total=seconds)
            while (gone := time.monotonic() - since) < seconds:
                did(somebody.act())
                bar.update(task, completed=gone)
            self._compare(somebody, did)
        return held[:first], held[first:]

    def _compare(self, somebody: Anybody, did: Callable[[str], None]) -> None:
        """Note what is held as it was left, and with everything put away."""
        somebody.rest()
        did("rested")
        somebody.put_away()
        somebody.rest()
        did("put away")


def resident_mb(process: int) -> float:
    """Memory that a process holds, in MB (Linux only).

    Raises:
        DffError: the process is gone.
    """
    try:
        text = Path(f"/proc/{process}/status").read_text()
    except OSError as error:
        raise DffError("the editor ended by itself; --log FILE keeps its last words") from error
    line = next(line for line in text.splitlines() if line.startswith("VmRSS"))
    return round(int(line.split()[1]) / 1024, 1)


if __name__ == "__main__":
    try:
        sys.exit(0 if tyro.cli(SoakEditor).run() else 1)
    except (DffError, TimeoutError) as error:
        sys.exit(f"error: {error}")
