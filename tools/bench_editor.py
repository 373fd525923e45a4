"""How long a person waits for the editor: from an input to what comes of it.

    uv run python tools/bench_editor.py --load-config CONFIG --text "red apple" --json editor.json

Starts `dff edit` on a trained scene, connects to it as a browser would (a real websocket, no
browser), and measures: from an input to its callback, which is timed by the first change of a panel
that the callback makes, while a picture is being refined; from a camera that moved, a query, an
edit, an undo and a redo to the first picture and to the full one. nerfstudio's own viewer is
measured beside it on the same run, with pictures of the same size: a camera that moved, and while a
picture is being rendered a checkbox of the viewer's own, which waits for nothing, and a query in
our panel there, which waits for the picture. Figures are medians of --repeats. Leave the machine
alone meanwhile.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TextIO

import tyro
from rich.console import Console
from rich.table import Table
from viser_visitor import Event, Pose, Visitor

from dff.errors import DffError

# Seconds without a picture after which nothing more is coming.
QUIET = 0.7
# Until another camera is told, so that a picture is being rendered when the input comes.
UNDER_WAY = 0.4
OTHER_TEXT = "table"
NERFSTUDIO_SCALE = 10.0
TARGETS = {
    "callback": 0.1,
    "camera, first": 0.5,
    "camera, full": 6.0,
    "undo, first": 0.5,
}


@dataclass
class BenchEditor:
    """Measure what a person waits for."""

    load_config: Path
    """The config.yml of a trained scene."""
    text: str = "red apple"
    """What is asked for and deleted."""
    pixels: int = 480
    """Along the longer side of pictures."""
    repeats: int = 3
    """Of each measurement."""
    nerfstudio: bool = True
    """Whether nerfstudio's own viewer is measured too."""
    starting: float = 180.0
    """Seconds to wait for a program to come up."""
    patience: float = 40.0
    """Seconds to wait for anything else."""
    json: Path | None = None
    """Where to write the figures."""

    def run(self) -> None:
        """Measure and print."""
        ours: dict[str, list[float]] = {}
        theirs: dict[str, list[float]] = {}
        with tempfile.TemporaryDirectory() as folder, Path(folder, "log").open("w") as log:
            port = free_port()
            command = [tool("dff"), "edit", "--load-config", str(self.load_config)]
            command += ["--folder", str(Path(folder) / "edits"), "--port", str(port)]
            with served(command, port, self.starting, log):
                pose = self.measure_editor(port, ours)
            if self.nerfstudio:
                port = free_port()
                command = [tool("ns-viewer"), "--load-config", str(self.load_config)]
                command += ["--viewer.websocket-port", str(port)]
                command += ["--viewer.websocket-host", "127.0.0.1"]
                with served(command, port, self.starting, log):
                    self.measure_nerfstudio(port, pose.scaled(NERFSTUDIO_SCALE), theirs)
        show(ours, theirs)
        if self.json is not None:
            found = {"pixels": self.pixels, "dff": ours, "nerfstudio": theirs, "targets": TARGETS}
            self.json.write_text(json.dumps(found, indent=1))

    def measure_editor(self, port: int, found: dict[str, list[float]]) -> Pose:
        """Ask, edit, look around; the pose that was looked from."""
        with visiting(port, self.patience) as visitor:
            watch = Watch(visitor, self.pixels, found, "dff edit")
            visitor.set("Pixels", str(self.pixels))
            watch.settle(0.0)
            pose = visitor.pose
            for number in range(self.repeats):
                aside = pose.aside(0.04 * (1 + number % 2) * (-1) ** number)
                watch.seen("camera", lambda aside=aside: visitor.look(aside))
                visitor.look(pose)
                time.sleep(UNDER_WAY)
                at = visitor.set("Before | after", number % 2 == 0)
                watch.panel("callback", at)
                watch.settle(at)
            if self.repeats % 2:
                watch.settle(visitor.set("Before | after", False))
            visitor.set("Words", self.text)
            watch.seen("query", lambda: visitor.press("Find"))
            for number in range(self.repeats):
                visitor.press("Select nothing")
                visitor.look(pose.aside(0.05 * (-1) ** number))
                time.sleep(UNDER_WAY)
                at = visitor.press("Find")
                watch.answer("query meanwhile, answered", at, "Selected")
                watch.settle(at)
            watch.seen("delete", lambda: visitor.press("Apply to the selection"))
            for _ in range(self.repeats):
                watch.seen("undo", lambda: visitor.press("Undo"))
                watch.seen("redo", lambda: visitor.press("Redo"))
            return pose

    def measure_nerfstudio(self, port: int, pose: Pose, found: dict[str, list[float]]) -> None:
        """Look around, and tick a box meanwhile."""
        with visiting(port, self.patience, pose) as visitor:
            watch = Watch(visitor, self.pixels, found, "ns-viewer")
            visitor.set("Max res", self.pixels)
            watch.settle(0.0)
            for number in range(self.repeats):
                aside = pose.aside(0.04 * (1 + number % 2) * (-1) ** number)
                watch.seen("camera", lambda aside=aside: visitor.look(aside))
                visitor.look(pose)
                time.sleep(UNDER_WAY)
                at = visitor.set("Enable", number % 2 == 0, "Checkbox")
                watch.panel("callback", at)
                watch.note("checkbox, first", visitor.picture(at).at - at)
                watch.settle(at)
            for number in range(self.repeats):
                # Not twice the same: an element that is told its value is silent.
                asked = self.text if number % 2 == 0 else OTHER_TEXT
                visitor.set("Words", asked)
                visitor.look(pose.aside(0.05 * (-1) ** number))
                time.sleep(UNDER_WAY)
                at = visitor.press("Find")
                watch.answer("query meanwhile, answered", at, asked)
                watch.settle(at)


@dataclass
class Watch:
    """Takes the time, and tells it.

    Attributes:
        visitor: who looks.
        pixels: of a full picture.
        found: figures in seconds by what they are of; added to.
        program: what is measured.
    """

    visitor: Visitor
    pixels: int
    found: dict[str, list[float]]
    program: str

    def note(self, name: str, seconds: float) -> None:
        """One more figure."""
        self.found.setdefault(name, []).append(seconds)
        print(f"{self.program}: {name}: {seconds:.3f} s", flush=True)

    def seen(self, name: str, do: Callable[[], float]) -> None:
        """From an input to the first picture and to the full one."""
        at = do()
        first = self.visitor.picture(at).at
        full = self.visitor.picture(at, self.pixels).at
        self.note(f"{name}, first", first - at)
        self.note(f"{name}, full", full - at)
        self.settle(at)

    def panel(self, name: str, at: float) -> None:
        """From an input to the first change of a panel that shows or hides something."""

        def fits(event: Event) -> bool:
            return event.kind == "GuiUpdateMessage" and "visible" in event.message["updates"]

        self.note(name, self.visitor.after(at, fits, "a change of a panel").at - at)

    def answer(self, name: str, at: float, said: str) -> None:
        """From a question to the line that says what was found."""

        def fits(event: Event) -> bool:
            # Visers differ in what they call an element's text.
            updates = event.message["updates"] if event.kind == "GuiUpdateMessage" else {}
            return any(said in str(value) for value in updates.values())

        self.note(name, self.visitor.after(at, fits, f"an answer with '{said}'").at - at)

    def settle(self, since: float) -> None:
        """Wait for the full picture and until none comes any more."""
        last = self.visitor.picture(since, self.pixels).at
        while True:
            try:
                last = self.visitor.picture(last, patience=QUIET).at
            except TimeoutError:
                return


def show(ours: dict[str, list[float]], theirs: dict[str, list[float]]) -> None:
    """A table of medians."""
    table = Table(title="Seconds from an input to what comes of it")
    for column in ("what", "dff edit", "worst", "target", "", "ns-viewer", "worst"):
        table.add_column(column, justify="left" if column == "what" else "right")
    for name in [*ours, *(name for name in theirs if name not in ours)]:
        target = TARGETS.get(name)
        row = [name, *middle_and_worst(ours.get(name, ()))]
        if target is None or name not in ours:
            row += ["", ""]
        else:
            row += [f"{target:g}", "met" if median(ours[name]) <= target else "missed"]
        table.add_row(*row, *middle_and_worst(theirs.get(name, ())))
    Console().print(table)


def middle_and_worst(seconds: Sequence[float]) -> tuple[str, str]:
    """For a table."""
    return (f"{median(seconds):.3f}", f"{max(seconds):.3f}") if seconds else ("", "")


@contextmanager
def visiting(port: int, patience: float, pose: Pose | None = None) -> Iterator[Visitor]:
    """A client that leaves in the end."""
    visitor = Visitor("127.0.0.1", port, pose, patience)
    try:
        yield visitor
    finally:
        visitor.close()


@contextmanager
def served(
    command: Sequence[str], port: int, patience: float, log: TextIO
) -> Iterator[subprocess.Popen[str]]:
    """A program that listens at a port; ended in the end.

    Raises:
        DffError: it ended by itself, or did not listen in time.
    """
    name = Path(command[0]).name
    print(f"starting {name} ...", flush=True)
    process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, text=True)
    try:
        began = time.monotonic()
        ends = began + patience
        while not listening(port):
            if process.poll() is not None or time.monotonic() > ends:
                tail = Path(log.name).read_text()[-600:]
                raise DffError(f"{name} did not come up; its last words: {tail}")
            time.sleep(0.2)
        print(f"{name} is up after {time.monotonic() - began:.0f} s", flush=True)
        yield process
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def tool(name: str) -> str:
    """A command of this environment.

    Raises:
        DffError: it is not installed.
    """
    found = shutil.which(
        name, path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    )
    if found is None:
        raise DffError(f"{name} is not installed: run `uv sync`")
    return found


def listening(port: int) -> bool:
    """Whether a page is served at a port of this machine."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}", timeout=5.0) as page:
            return page.status == 200
    except OSError:
        return False


def free_port() -> int:
    """Where nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


if __name__ == "__main__":
    try:
        tyro.cli(BenchEditor).run()
    except (DffError, TimeoutError) as error:
        sys.exit(f"error: {error}")
