"""Sessions that are killed in the middle of their work. Run by a test.

    python crashing.py CONFIG FOLDER TIMES

CONFIG is of the capture of tests/conftest.py. So many times, a process does actions to a document
in a folder of its own until it is killed; what it said before is printed, a line of JSON each time:
the folder, the document after the last action that was done, and the one after the action that was
being done, if any.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent), str(HERE)]

import conftest  # noqa: E402
import torch  # noqa: E402

import dff.scene  # noqa: E402
import dff.teachers.registry  # noqa: E402
from dff.editor.asking import ask_text  # noqa: E402
from dff.editor.session import Session  # noqa: E402
from dff.edits.document import EditDocument, EditStep  # noqa: E402
from dff.edits.operations import HueShift  # noqa: E402
from dff.edits.stack import EditStack  # noqa: E402
from dff.query.text import TextQuery  # noqa: E402

# Lines that a process says before its end is decided on, and the seconds until it comes then.
FEWEST, MOST, LONGEST = 3, 7, 0.2


def said(document: EditDocument) -> str:
    """A document in one line."""
    return document.model_dump_json(exclude_none=True)


def work(session: Session, rng: random.Random, pipe: int) -> None:
    """Do actions for ever, and say before and after each what the document is to be."""

    def say(key: str, document: EditDocument) -> None:
        os.write(pipe, (json.dumps({key: said(document)}) + "\n").encode())

    session.choose(ask_text(session.scene, TextQuery(("red",), ())))
    while True:
        trial = EditStack.of_moments(session.stack.moments, session.stack.now)
        actions = []
        if trial.undoable is not None:
            actions.append(EditStack.undo)
        if trial.redoable is not None:
            actions.append(EditStack.redo)
        degrees = float(rng.randrange(1, 359))
        if len(trial.document.steps) < 4 or not actions:
            actions += [None, None]
        action = rng.choice(actions)
        if action is None:
            say("doing", EditDocument(steps=(*trial.document.steps, step_of(session, degrees))))
            session.apply(HueShift(degrees=degrees))
        else:
            action(trial)
            say("doing", trial.document)
            session.change(action)
        say("done", session.document)


def step_of(session: Session, degrees: float) -> EditStep:
    """What `Session.apply` would add."""
    return EditStep(selection=session.described(), operation=HueShift(degrees=degrees))


def killed(session: Session, rng: random.Random) -> list[dict[str, str]]:
    """What a process said that works on a session, and is killed after some actions."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(read)
        work(session, rng, write)
    os.close(write)
    wanted, lines = rng.randint(FEWEST, MOST), []
    with os.fdopen(read) as stream:
        for line in stream:
            lines.append(json.loads(line))
            if len(lines) == wanted:
                # At any moment of an action: while it is compiled, or written, or between two.
                time.sleep(rng.uniform(0.0, LONGEST))
                os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return lines


def main(config: Path, folder: Path, times: int) -> None:
    """Kill and report."""
    # A process with threads could not be copied.
    torch.set_num_threads(1)
    dff.teachers.registry._TEACHERS = conftest.known_teachers()
    dff.scene.BAKED_RAYS = 3000
    scene = dff.scene.load(config, device="cpu")
    for number in range(times):
        place = folder / str(number)
        lines = killed(Session(scene, place), random.Random(number))
        done = [line["done"] for line in lines if "done" in line]
        doing = lines[-1].get("doing")
        print(json.dumps({"folder": str(place), "done": done[-1] if done else "", "doing": doing}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))
