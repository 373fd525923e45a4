"""The editor as a person meets it, in a headless browser: what is done, and what is seen."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import imageio.v3 as imageio
import numpy as np
import pytest
import torch
from plyfile import PlyData

sys.path.insert(0, str(Path(__file__).parent))
playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")

from browsing import (  # noqa: E402
    Person,
    colour_at,
    find_chromium,
    free_port,
    launch,
    projected,
    screenshots,
    someone,
)

from dff.editor.app import Editor  # noqa: E402
from dff.editor.gizmo import SCALE_LENGTH  # noqa: E402
from dff.editor.lenses import eye_of  # noqa: E402
from dff.editor.session import Session  # noqa: E402
from dff.edits.operations import Delete, Transform  # noqa: E402

pytestmark = pytest.mark.skipif(
    find_chromium() is None, reason="no Chromium here: apt-get install chromium"
)

# Middles of the balls in world units: the cameras are around the origin there, one unit away.
RED, GREEN = np.array([(0.5, 0.0, -0.85), (-0.5, 0.0, -0.85)]) / 2.2
RADIUS = 0.35 / 2.2
# A photo in which both are seen, one beside the other.
BESIDE = "IMG_03"


@pytest.fixture(scope="module")
def browser() -> Iterator:
    with playwright.sync_playwright() as started:
        browser = launch(started)
        yield browser
        browser.close()


@pytest.fixture
def editor(scene, tmp_path) -> Iterator[Editor]:
    editor = Editor(Session(scene, tmp_path / "edits"), port=free_port())
    editor.set_look(size=144)
    yield editor
    editor.stop()


@pytest.fixture
def person(browser, editor, tmp_path, request) -> Iterator[Person]:
    with someone(browser, editor, screenshots(tmp_path, request.node.name)) as person:
        yield person


def look_from(person: Person, photo: str) -> None:
    person.tab("Look")
    person.choose("Photo", photo)
    person.press("Look from this photo's place")
    view = next(v for v in person.editor.session.scene.views("train") if v.name == photo)
    place = pytest.approx(eye_of(view.camera).position, abs=1e-3)
    person.until(lambda: person.window.eye.position == place, f"a view from {photo}")
    person.idle()


def ask(person: Person, words: str) -> None:
    person.tab("Select")
    person.write("Words", words)
    person.press("Find")


def selected(person: Person, words: str) -> None:
    """Ask, and wait for the answer."""
    session = person.editor.session
    ask(person, words)
    person.until(
        lambda: session.choice is not None and session.choice.asked.label == words, "a selection"
    )
    person.idle()


def apply(person: Person, operation: str, steps: int) -> None:
    """Do something to what is selected, and wait until there are so many steps."""
    person.tab("Edit")
    person.choose("Do", operation)
    person.press("Apply to the selection")
    person.until(lambda: len(person.editor.session.document.steps) == steps, "the step")
    person.idle()


def shares(session: Session) -> tuple[float, float]:
    """How much of the red ball and of the green one is selected."""
    selection = session.selection
    assert selection is not None
    points = selection.grid.points
    found = []
    for middle in (RED, GREEN):
        inside = (points - torch.from_numpy(middle).float()).norm(dim=1) < 1.1 * RADIUS
        inside &= points[:, 2] > middle[2]  # above the table, for sure
        assert inside.sum() > 20
        found.append(float((selection.values[inside] > 0.5).float().mean()))
    return found[0], found[1]


def test_words_select_and_a_wrong_word_is_told(person, editor):
    look_from(person, BESIDE)
    person.sees(person.expected())
    selected(person, "red")
    red, green = shares(editor.session)
    assert red > 0.8
    assert green < 0.1
    shown = person.expected()
    assert editor.look.output == "selection"
    person.sees(shown)
    person.shoot("overlay")

    ask(person, "zebra")
    said = person.notification.filter(has_text="unknown word 'zebra'")
    said.wait_for()
    assert said.count() == 1
    person.shoot("unknown-word")
    assert editor.session.choice.asked.label == "red"
    person.without_notifications()
    person.sees(shown)
    selected(person, "green")
    red, green = shares(editor.session)
    assert green > 0.8
    assert red < 0.1
    person.sees(person.expected())


def test_a_click_and_a_rectangle_select(person, editor):
    session = editor.session
    look_from(person, BESIDE)
    person.tab("Select")
    person.choose("Mouse", "pick")
    person.click(*projected(person.window.eye, RED + (0.0, RADIUS, 0.0)))
    person.until(lambda: session.choice is not None, "what was clicked")
    person.idle()
    red, green = shares(session)
    assert red > 0.7
    assert green < 0.1
    assert session.choice.asked.label == "1 click"
    person.sees(person.expected())
    person.shoot("clicked")

    person.choose("Mouse", "rectangle")
    eye = person.window.eye
    x, y = projected(eye, GREEN)
    aside = abs(projected(eye, GREEN + (RADIUS, 0.0, 0.0))[0] - x)
    person.drag((x - 0.7 * aside, y - 0.7 * aside), (x + 0.7 * aside, y + 0.7 * aside))
    person.until(lambda: session.choice.asked.label == "rectangle", "what was framed")
    person.idle()
    red, green = shares(session)
    assert green > 0.7
    assert red < 0.1
    person.sees(person.expected())
    person.shoot("framed")


def test_recolour_undo_redo_save_and_load_after_a_reload(person, editor):
    session = editor.session
    look_from(person, BESIDE)
    place = RED + (0.0, RADIUS, 0.0)
    plain = person.expected()
    selected(person, "red")
    apply(person, "recolour: channels", 1)
    blue = person.expected()
    person.sees(blue)
    person.shoot("recoloured")
    red, _, other = colour_at(person.seen(), person.window.eye, place)
    assert other > red + 0.2

    person.press("Undo")
    person.until(lambda: not session.document.steps, "undone")
    person.idle()
    person.sees(plain)
    red, _, other = colour_at(person.seen(), person.window.eye, place)
    assert red > other + 0.2
    person.press("Redo")
    person.until(lambda: session.document.steps, "redone")
    person.idle()
    person.sees(blue)
    person.page.keyboard.press("Control+z")
    person.until(lambda: not session.document.steps, "undone by a key")
    person.page.keyboard.press("Control+Shift+Z")
    person.until(lambda: session.document.steps, "redone by a key")

    person.tab("Keep")
    person.write("Document", "blue.yml")
    person.press("Save")
    person.until((session.folder / "blue.yml").exists, "the document")
    editor.actions.wait()
    kept = session.document
    person.press("Undo")
    person.until(lambda: session.unsaved, "undone after saving")
    person.enter()
    person.tab("Keep")
    person.choose("There are", "blue.yml")
    person.press("Open it")
    person.until(lambda: session.document == kept and not session.unsaved, "the document again")
    look_from(person, BESIDE)
    person.sees(blue)
    person.shoot("loaded")


def test_the_handles_move_what_is_worked_on(person, editor):
    session = editor.session
    look_from(person, BESIDE)
    selected(person, "red")
    apply(person, "transform", 1)
    eye = person.window.eye
    middle = np.array(session.place_of(0))
    assert np.linalg.norm(middle - RED) < RADIUS
    up = np.array([0.0, 0.0, person.editor.gizmo._size()])
    person.drag(projected(eye, middle + 0.7 * up), projected(eye, middle + 1.2 * up))
    person.until(lambda: session.document.steps[0].operation != Transform(), "a move")
    person.idle()
    person.shoot("moved")
    operation = session.document.steps[0].operation
    assert operation.translate[:2] == pytest.approx((0.0, 0.0), abs=0.02)
    assert operation.translate[2] == pytest.approx(0.5 * up[2], abs=0.2 * up[2])
    assert operation.rotate == pytest.approx((0.0, 0.0, 0.0), abs=0.01)
    moved = np.array(session.place_of(0)) - middle
    assert moved == pytest.approx(np.array(operation.translate), abs=1e-3)
    person.press("Undo")
    person.until(lambda: session.document.steps[0].operation == Transform(), "one action")


def test_an_arrow_beside_the_handles_scales(person, editor):
    session = editor.session
    look_from(person, BESIDE)
    selected(person, "red")
    apply(person, "transform", 1)
    eye, hold = person.window.eye, editor.gizmo._hold
    length = SCALE_LENGTH * editor.gizmo._size()
    grip = hold.scaler + 0.7 * length * hold.outward
    person.drag(projected(eye, grip), projected(eye, grip + 0.5 * hold.reach * hold.outward))
    person.until(lambda: abs(session.document.steps[0].operation.scale - 1.5) < 0.1, "a scale")
    person.idle()
    person.shoot("scaled")
    operation = session.document.steps[0].operation
    assert operation == Transform(scale=operation.scale)
    person.press("Undo")
    person.until(lambda: session.document.steps[0].operation == Transform(), "one action")


def test_a_video_and_a_point_cloud(person, editor, tmp_path):
    session = editor.session
    selected(person, "red")
    apply(person, "delete", 1)
    look_from(person, BESIDE)
    person.tab("Path")
    person.press("Add this view")
    person.page.get_by_text("1 view", exact=True).wait_for()
    look_from(person, "IMG_02")
    person.tab("Path")
    person.press("Add this view")
    person.page.get_by_text("2 views", exact=True).wait_for()
    person.write("Seconds", "0.3")
    person.write("Frames a second", "10")
    person.choose("Height", "240")
    film = person.download("Render the video", tmp_path / "saved")
    assert film.name == "flight.mp4"
    frames = imageio.imread(film)
    assert len(frames) == 3
    assert frames.shape[1] == 240
    person.until(lambda: not editor.tasks.busy, "the end of rendering")
    person.tab("Keep")
    person.write("Rays, thousands", "50")
    cloud = person.download("Export", tmp_path / "saved")
    assert cloud.name == "edits-points.ply"
    person.shoot("exported")
    vertices = PlyData.read(cloud)["vertex"]
    points = np.stack([vertices[axis] for axis in "xyz"], axis=1)
    assert len(points) > 1000
    red, green = (
        (
            (np.linalg.norm(points - middle, axis=1) < 1.2 * RADIUS) & (points[:, 2] > middle[2])
        ).sum()
        for middle in (RED, GREEN)
    )
    assert green > 5 * red
    assert session.document.steps[0].operation == Delete()


def test_two_tabs_see_one_document(person, browser, editor, tmp_path, request):
    session = editor.session
    pictures = screenshots(tmp_path, f"{request.node.name}-other")
    with someone(browser, editor, pictures) as other:
        selected(person, "red")
        apply(person, "recolour: channels", 1)
        other.idle()
        other.sees(other.expected())
        other.tab("Steps")
        other.page.get_by_text("1. recolour: channels: red").first.wait_for()
        other.press("Undo")
        person.until(lambda: not session.document.steps, "undone by the other one")
        person.tab("Steps")
        person.page.get_by_text("No steps yet").wait_for()
        person.idle()
        person.sees(person.expected())
    person.until(lambda: len(editor.windows) == 1, "one window less")
