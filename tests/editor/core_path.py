"""What every viser has to do: query, click, apply, undo, seen in a browser. Run by a test.

    python core_path.py CONFIG FOLDER PLACE

CONFIG is of the capture of tests/conftest.py, FOLDER takes what comes out, and PLACE is where viser
must be found.
"""

from __future__ import annotations

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent), str(HERE)]

import conftest  # noqa: E402
import numpy as np  # noqa: E402
import viser  # noqa: E402
from browsing import Person, free_port, launch, projected, someone  # noqa: E402
from playwright.sync_api import sync_playwright  # noqa: E402

import dff.scene  # noqa: E402
import dff.teachers.registry  # noqa: E402
from dff.editor.app import Editor  # noqa: E402
from dff.editor.lenses import eye_of  # noqa: E402
from dff.editor.session import Session  # noqa: E402


def core_path(person: Person) -> None:
    """Each step is waited for; what is seen is held against the server's own picture."""
    editor, session = person.editor, person.editor.session
    view = next(view for view in session.scene.views("train") if view.name == "IMG_03")
    person.window.look_from(eye_of(view.camera))
    person.until(lambda: abs(person.window.eye.position[1] - 1) < 1e-3, "a view from IMG_03")
    person.idle()
    plain = person.expected()
    person.sees(plain)

    person.tab("Select")
    person.write("Words", "red")
    person.press("Find")
    person.until(lambda: session.choice is not None, "an answer to words")
    person.idle()
    person.sees(person.expected())
    person.shoot("found")
    by_words = session.choice.selection.count

    person.press("Select nothing")
    person.until(lambda: session.choice is None, "nothing selected")
    person.choose("Mouse", "pick")
    editor.actions.wait()
    person.click(*projected(person.window.eye, np.array([0.5, 0.35, -0.85]) / 2.2))
    person.until(lambda: session.choice is not None, "an answer to a click")
    person.idle()
    person.sees(person.expected())
    person.shoot("clicked")
    assert 0.5 < session.choice.selection.count / by_words < 2

    person.tab("Edit")
    person.choose("Do", "recolour: channels")
    person.press("Apply to the selection")
    person.until(lambda: session.document.steps, "a step")
    person.idle()
    blue = person.expected()
    person.sees(blue)
    person.shoot("applied")
    assert np.abs(blue.astype(float) - plain).mean() > 4

    person.press("Undo")
    person.until(lambda: not session.document.steps, "undone")
    person.idle()
    person.sees(plain)


def main(config: Path, folder: Path, place: Path) -> None:
    """Serve the scene, and be the person."""
    assert Path(viser.__file__).is_relative_to(place), viser.__file__
    dff.teachers.registry._TEACHERS = conftest.known_teachers()
    dff.scene.BAKED_RAYS = 3000
    scene = dff.scene.load(config, device="cpu")
    editor = Editor(Session(scene, folder / "edits"), port=free_port())
    editor.set_look(size=200)
    try:
        with sync_playwright() as started:
            browser = launch(started)
            with someone(browser, editor, folder) as person:
                core_path(person)
            browser.close()
    finally:
        editor.stop()
    print("all of it works")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]))
