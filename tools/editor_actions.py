"""Somebody who does anything to the editor: random valid actions over a real websocket."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from viser_visitor import Element, Visitor

# Seconds without news after which the next action comes, and the most that are waited.
QUIET, LONGEST = 0.3, 5.0
# The most that is waited for an export or a video.
LONGEST_TASK = 120.0
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
# How the work is looked at while memory is compared: a larger picture needs more.
RESTING = {"Pixels": "480", "Show": "colour", "Before | after": False}
TEXTS = {"Name": ("one", "two", "three"), "Its name": ("", "first", "second")}
MOST_STEPS = 12
# Dropdowns whose entries are each a thing of its own, and the button that does it.
EACH = {"Show": None, "Do": "Apply to the selection", "As": "Export"}


@dataclass
class Anybody:
    """See the module's docstring.

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

    def everything(self, did: Callable[[str], None]) -> None:
        """Do everything once, and wait for what takes long.

        Args:
            did: told of each thing that was done.
        """
        for label, button in EACH.items():
            for option in self._visitor.element(label).state["options"]:
                self._set("Words", self.words[0])
                self._press("Find")
                self._set(label, option)
                if button is not None:
                    self._press(button)
                did(f"{label}: {option}")
                if label == "Do":
                    self._press("Undo")
        for what in (self._point, self._point, self._look_around, self._second_tab):
            what()
            self._listen()
            did(what.__name__)
        while left := [e for e in self._choices() if e.label not in self.done]:
            element = self.rng.choice(left)
            self._change(element)
            self._rest()
            did(element.label)

    def rest(self) -> None:
        """Look at plain colours in the size of the beginning, until the finest picture is there."""
        for label, value in RESTING.items():
            self._set(label, value)
        self._rest()
        self._visitor.quiet(LONGEST, LONGEST_TASK)

    def put_away(self) -> None:
        """Close the other tab, select nothing and remove all steps, which can be undone."""
        if self._other is not None:
            self._second_tab()
        self._press("Select nothing")
        # From the last: a step may be what later ones need.
        while steps := self._steps():
            self._set("Step", steps[-1])
            self._press("Remove")

    def act(self) -> str:
        """Do one thing, and wait until the editor is quiet; what was done."""
        before = self.done.copy()
        share = self.rng.random()
        if share < 0.1:
            self._point()
        elif share < 0.2:
            self._look_around()
        elif share < 0.22:
            self._second_tab()
        else:
            found = self._choices()
            self._change(*self.rng.choices(found, [self._weight(e) for e in found]))
        self._listen()
        return " ".join(self.done - before)

    def _choices(self) -> list[Element]:
        """Elements of panels that can be touched now."""
        return [e for e in list(self._visitor.elements.values()) if self._weight(e) > 0]

    def _change(self, element: Element) -> None:
        """Give an element another value."""
        value = self._value(element)
        self.done[element.label] += 1
        self._visitor.change(element, value)

    def _set(self, label: str, value: object) -> None:
        self.done[label] += 1
        self._visitor.set(label, value)
        self._listen()

    def _press(self, label: str) -> None:
        self.done[label] += 1
        self._visitor.press(label)
        self._rest()

    def _rest(self) -> None:
        """Until nothing is at work any more, for a while at most."""
        self._listen()
        ends = time.monotonic() + LONGEST_TASK
        while self._visitor.element("Cancel").state["visible"] and time.monotonic() < ends:
            self._listen()

    def _weight(self, element: Element) -> float:
        state = element.state
        if element.kind not in VALUES or not state.get("visible") or state.get("disabled"):
            return 0.0
        if self._crowded() and element.label.startswith("Apply"):
            return 0.0
        return WEIGHTS.get(element.label, 1.0)

    def _crowded(self) -> bool:
        return len(self._steps()) >= MOST_STEPS

    def _steps(self) -> tuple[str, ...]:
        """Of the document; the first entry of the list is for none of them."""
        return tuple(self._visitor.element("Step").state["options"][1:])

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
