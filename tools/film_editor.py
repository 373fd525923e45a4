"""Pictures of the editor for the README: a clip from an empty editor to a deleted thing, stills.

    uv run python tools/film_editor.py --load-config CONFIG --photo frame_0012 --text "red apple"

Opens the editor in a headless browser, with the same person as in the tests of the editor, and does
what it shows: look, say what, find it, delete it, see it gone. Writes steps.webp and stills.
"""

from __future__ import annotations

import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import tyro
from PIL import Image
from playwright.sync_api import sync_playwright

from dff.errors import DffError, notice_in_one_line

sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "editor"))
import browsing

# Milliseconds that a picture of the clip stays: while something is typed, and to be looked at.
SHORT, LONG = 160, 1700
TYPED_AT_ONCE = 3


@dataclass
class FilmEditor:
    """Make the pictures."""

    load_config: Path
    """The config.yml of a trained scene."""
    photo: str
    """From whose place it is looked at."""
    text: str = "red apple"
    """What is deleted."""
    grow: float = 0.03
    """How far beyond what is found, in world units: rims are deleted too."""
    output: Path = Path("assets/editor")
    """Folder of the pictures."""
    viewport: tuple[int, int] = (1100, 660)
    """Of the browser, in pixels."""
    width: int = 880
    """Of the clip."""
    pixels: int = 720
    """Of the editor's picture, along its longer side."""

    def run(self) -> None:
        """Do it all, and write it down."""
        from dff.editor.app import Editor
        from dff.editor.session import Session
        from dff.scene import load

        if browsing.find_chromium() is None:
            raise DffError("no Chromium here: apt-get install chromium")
        scene = load(self.load_config, device="cpu")
        with tempfile.TemporaryDirectory() as folder, sync_playwright() as started:
            session = Session(scene, Path(folder) / "edits", notice=notice_in_one_line)
            editor = Editor(session, port=browsing.free_port())
            editor.set_look(size=self.pixels)
            browser = browsing.launch(started)
            try:
                shots = Path(folder) / "shots"
                with browsing.someone(browser, editor, shots, self.viewport) as person:
                    self._act(person, Clip(person))
            finally:
                browser.close()
                editor.stop()

    def _act(self, person: browsing.Person, clip: Clip) -> None:
        session = person.editor.session
        person.tab("Look")
        person.choose("Photo", self.photo)
        person.press("Look from this photo's place")
        person.until(lambda: person.page.get_by_text(self.photo).count(), "the photo")
        person.settle()
        clip.keep("1-look", LONG)

        person.tab("Select")
        for end in range(TYPED_AT_ONCE, len(self.text) + TYPED_AT_ONCE, TYPED_AT_ONCE):
            person.field("Words").fill(self.text[:end])
            clip.keep("2-say", SHORT)
        person.press("Find")
        person.until(lambda: session.choice is not None, "what is found")
        person.settle()
        clip.keep("2-find", LONG)
        found = session.choice
        person.write("Grow", str(self.grow))
        person.until(lambda: session.choice is not found, "the rim")
        person.settle()
        clip.keep("3-grow", LONG)

        person.tab("Edit")
        person.choose("Do", "delete")
        person.tick("fill")
        clip.keep("4-delete", LONG)
        person.press("Apply to the selection")
        person.until(lambda: session.document.steps, "the step")
        person.settle()
        clip.keep("5-gone", LONG)

        person.tab("Look")
        person.tick("Before | after")
        person.settle()
        clip.keep("before-and-after", LONG)
        self.output.mkdir(parents=True, exist_ok=True)
        clip.write(self.output / "steps.webp", self.width)
        for name in ("2-find", "5-gone", "before-and-after"):
            clip.still(name, self.output / f"{name.lstrip('0123456789-')}.webp", self.width)


@dataclass
class Clip:
    """Screenshots, and how long each is shown."""

    person: browsing.Person
    pictures: list[tuple[str, Image.Image, int]] = field(default_factory=list)

    def keep(self, name: str, milliseconds: int) -> None:
        """One more."""
        self.person.without_notifications()
        with Image.open(self.person.shoot(name)) as picture:
            self.pictures.append((name, picture.convert("RGB"), milliseconds))

    def write(self, path: Path, width: int) -> None:
        """As a film."""
        first, *others = (reduced(picture, width) for _, picture, _ in self.pictures)
        first.save(
            path,
            save_all=True,
            append_images=others,
            duration=[milliseconds for _, _, milliseconds in self.pictures],
            loop=0,
            quality=70,
            method=4,
        )

    def still(self, name: str, path: Path, width: int) -> None:
        """One of them."""
        picture = next(picture for other, picture, _ in reversed(self.pictures) if other == name)
        reduced(picture, width).save(path, quality=82, method=6)


def reduced(picture: Image.Image, width: int) -> Image.Image:
    """To a width."""
    height = round(picture.height * width / picture.width)
    return picture.resize((width, height), Image.Resampling.LANCZOS)


if __name__ == "__main__":
    try:
        tyro.cli(FilmEditor).run()
    except DffError as error:
        sys.exit(f"error: {error}")
