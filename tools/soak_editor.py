"""Random valid actions in the editor, for as long as one likes.

    uv run python tools/soak_editor.py --load-config CONFIG --minutes 30 --json soak.json

Starts `dff edit` on a trained scene, and does to its panels over a real websocket what a person
could do next: values within their ranges, buttons that can be pressed, clicks and rectangles in the
picture, other cameras, another tab, with a seed. Refusals in one line are what the editor is to do;
tracebacks are counted, and how much more memory the process holds at the end than after warming up.
"""

from __future__ import annotations

import json
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import tyro
from bench_editor import free_port, served, tool
from rich.console import Console
from rich.progress import Progress
from viser_visitor import Element, Visitor

from dff.errors import DffError

# Seconds without news after which the next action comes, and the most that are waited.
QUIET, LONGEST = 0.3, 5.0
# How often each of these is done, against 1 for anything else: 0 leaves it out.
WEIGHTS = {
    "Undo": 4.0,
    "Redo": 2.0,
    "Find": 6.0,
    "Words": 3.0,
    "Apply to the selection": 6.0,
    "Apply as a new step": 3.0,
    "Remove": 4.0,
    "Export": 0.1,
    "Render the video": 0.2,
    "List the things": 0.1,
    "Repaint": 0.0,
    "Download": 0.2,
    "Preview": 0.0,
    "Pixels": 0.1,
    # What takes long is kept short.
    "Rays, thousands": 0.0,
    "Seconds": 0.0,
    "Frames a second": 0.0,
    "Height": 0.0,
    "CLIP weights": 0.0,
    "Document": 0.0,
    "scene": 0.0,
}
KEPT_SHORT = {"Rays, thousands": 50, "Seconds": 0.3, "Frames a second": 10, "Height": "240"}
TEXTS = {"Name": ("one", "two", "three"), "Its name": ("", "first", "second")}
MOST_STEPS = 12
GROWTH_MB = 100


@dataclass
class SoakEditor:
    """Do random things for a while."""

    load_config: Path
    """The config.yml of a trained scene."""
    minutes: float = 30.0
    """How long."""
    warm_up: float = 0.2
    """Share of that after which memory is looked at first."""
    words: tuple[str, ...] = ("red apple", "lamp", "book", "table", "no such thing")
    """What is asked for."""
    seed: int = 0
    """Of the actions."""
    patience: float = 300.0
    """Seconds to wait for the editor to come up."""
    log: Path | None = None
    """Where to keep what the editor says on the terminal."""
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
                soak = Soak(port, random.Random(self.seed), self.words)
                after = self._keep_on(soak, process.pid)
                soak.leave()
            text = log_path.read_text()
        found = {
            "minutes": self.minutes,
            "actions": sum(soak.done.values()),
            "kinds": dict(soak.done.most_common()),
            "refusals": dict(soak.refused.most_common(20)),
            "faults": text.count("Traceback (most recent call last)") + soak.faults,
            "warm_mb": after[0],
            "end_mb": after[-1],
            "growth_mb": round(after[-1] - after[0], 1),
        }
        console = Console()
        console.print_json(data=found)
        if found["faults"]:
            start = text.find("Traceback (most recent call last)")
            console.print(text[start : start + 2000], markup=False)
        if self.json is not None:
            self.json.write_text(json.dumps(found, indent=1))
        return not found["faults"] and found["growth_mb"] <= GROWTH_MB

    def _keep_on(self, soak: Soak, process: int) -> list[float]:
        """MB that the process held after warming up, and from then on each minute."""
        begin, held = time.monotonic(), []
        seconds = 60 * self.minutes
        with Progress(transient=True) as bar:
            task = bar.add_task("soaking", total=seconds)
            while (gone := time.monotonic() - begin) < seconds:
                soak.act()
                bar.update(task, completed=gone)
                if gone > self.warm_up * seconds + 60 * len(held):
                    held.append(resident_mb(process))
        return [*held, resident_mb(process)] if held else [resident_mb(process)] * 2


@dataclass
class Soak:
    """Somebody who does anything.

    Attributes:
        port: of the editor.
        rng: decides what.
        words: to ask for.
        done: how often each action was done.
        refused: how often the editor said what.
        faults: how often it said that something went wrong inside.
    """

    port: int
    rng: random.Random
    words: tuple[str, ...]
    done: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    faults: int = 0

    def __post_init__(self) -> None:
        self._visitor = Visitor("127.0.0.1", self.port, patience=60.0)
        self._other: Visitor | None = None
        self._visitor.picture(0.0)
        for label, value in KEPT_SHORT.items():
            self._visitor.set(label, value)
        self._pose = self._visitor.pose

    def leave(self) -> None:
        """Close all tabs."""
        self._visitor.close()
        if self._other is not None:
            self._other.close()

    def act(self) -> None:
        """Do one thing, and wait until the editor is quiet."""
        share = self.rng.random()
        if share < 0.1:
            self._point()
        elif share < 0.2:
            self._look_around()
        elif share < 0.22:
            self._second_tab()
        else:
            self._touch()
        self._listen()

    def _touch(self) -> None:
        """A random element of a panel."""
        found = [e for e in self._visitor.elements.values() if self._weight(e) > 0]
        (element,) = self.rng.choices(found, [self._weight(e) for e in found])
        value = self._value(element)
        self.done[element.label] += 1
        self._visitor.change(element, value)

    def _weight(self, element: Element) -> float:
        state = element.state
        if element.kind not in VALUES or not state.get("visible") or state.get("disabled"):
            return 0.0
        if self._crowded() and element.label.startswith("Apply"):
            return 0.0
        return WEIGHTS.get(element.label, 1.0)

    def _crowded(self) -> bool:
        steps = next((e for e in self._visitor.elements.values() if e.label == "Step"), None)
        return steps is not None and len(steps.state["options"]) > MOST_STEPS

    def _value(self, element: Element) -> object:
        if element.label in ("Words", "But not", "select there", "Prompt"):
            return self.rng.choice(self.words) if self.rng.random() < 0.8 else ""
        if element.label in TEXTS:
            return self.rng.choice(TEXTS[element.label])
        return VALUES[element.kind](element.state, self.rng)

    def _point(self) -> None:
        """Click or draw a rectangle, if a tool is taken up, or else take one up."""
        tool = self.rng.choice(("pick", "rectangle"))
        self._visitor.set("Mouse", tool)
        self._listen()
        self.done[f"mouse: {tool}"] += 1
        x, y = self.rng.random(), self.rng.random()
        self._visitor.point(tool, (x, y), (min(x + 0.2, 1.0), min(y + 0.2, 1.0)))

    def _look_around(self) -> None:
        self.done["camera"] += 1
        for _ in range(self.rng.randint(1, 10)):
            self._visitor.look(self._pose.aside(self.rng.uniform(-0.3, 0.3)))

    def _second_tab(self) -> None:
        if self._other is None:
            self.done["second tab"] += 1
            self._other = Visitor("127.0.0.1", self.port, self._pose, 60.0)
        else:
            self._other.close()
            self._other = None

    def _listen(self) -> None:
        """Until nothing comes any more, for a while at most."""
        for event in self._visitor.quiet(QUIET, LONGEST):
            if event.kind == "NotificationShowMessage":
                body = event.message["props"]["body"]
                if "went wrong inside" in body:
                    self.faults += 1
                self.refused[body[:100]] += 1


def _choice(state: dict, rng: random.Random) -> object:
    return rng.choice(state["options"])


def _slid(state: dict, rng: random.Random) -> object:
    steps = round((state["max"] - state["min"]) / state["step"])
    value = state["min"] + rng.randint(0, steps) * state["step"]
    return int(value) if state["step"] == 1 else value


VALUES: dict[str, Callable[[dict, random.Random], object]] = {
    "GuiButtonMessage": lambda state, rng: True,
    "GuiButtonGroupMessage": _choice,
    "GuiDropdownMessage": _choice,
    "GuiCheckboxMessage": lambda state, rng: rng.random() < 0.5,
    "GuiSliderMessage": _slid,
    "GuiTextMessage": lambda state, rng: "",
    "GuiRgbMessage": lambda state, rng: tuple(rng.randrange(256) for _ in range(3)),
    "GuiVector3Message": lambda state, rng: tuple(round(rng.uniform(-0.3, 0.3), 2) for _ in "xyz"),
}


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
