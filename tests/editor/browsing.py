"""A person at the editor: a page of a headless browser, and where things are in it."""

from __future__ import annotations

import os
import shutil
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import imageio.v3 as imageio
import numpy as np
from jaxtyping import UInt8
from PIL import Image
from playwright.sync_api import Browser, Locator, Page, Playwright

from dff.editor.app import Editor
from dff.editor.lenses import Eye
from dff.editor.painting import Painter
from dff.editor.window import Window

# WebGL without a graphics card.
FLAGS = (
    "--use-gl=angle",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    "--ignore-gpu-blocklist",
    "--no-sandbox",
)
VIEWPORT = (800, 480)
PATIENCE = 60.0
MOMENT = 30
# Milliseconds between taking up a tool and its first use: the browser arms it meanwhile.
ARMING = 500


def find_chromium() -> str | None:
    """Debian's browser, or another Chromium on the path."""
    for name in ("chromium", "chromium-browser", "google-chrome"):
        found = shutil.which(name)
        if found is not None:
            return found
    return None


def launch(playwright: Playwright) -> Browser:
    """A browser without a window."""
    return playwright.chromium.launch(executable_path=find_chromium(), args=list(FLAGS))


def free_port() -> int:
    """Where nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def projected(eye: Eye, point: Sequence[float]) -> tuple[float, float]:
    """A point (3,) of the world as shares of the picture's width and height."""
    pose = eye.pose.double().numpy()
    x, y, z = pose[:, :3].T @ (np.asarray(point, dtype=float) - pose[:, 3])
    half = np.tan(eye.fov / 2)
    return 0.5 + 0.5 * x / (-z * half * eye.aspect), 0.5 - 0.5 * y / (-z * half)


def difference(seen: UInt8[np.ndarray, "h w 3"], expected: UInt8[np.ndarray, "i j 3"]) -> float:
    """Mean of absolute differences, in grey levels, at a quarter of the size of what is seen.

    The browser enlarges pictures in its own way, and they were JPEG on their way to it: small
    pictures of both are the same nevertheless.
    """
    height, width = seen.shape[0] // 4, seen.shape[1] // 4
    small = [
        np.asarray(Image.fromarray(each).resize((width, height), Image.Resampling.BOX), dtype=float)
        for each in (seen, expected)
    ]
    return float(np.abs(small[0] - small[1]).mean())


class Person:
    """One tab with the editor in it.

    Args:
        page: the tab; it is opened at the editor.
        editor: whose.
        pictures: folder of screenshots.
    """

    def __init__(self, page: Page, editor: Editor, pictures: Path) -> None:
        self.page, self.editor, self._pictures = page, editor, pictures
        page.set_default_timeout(1000 * PATIENCE)
        self._shots = 0
        self.enter()

    def enter(self) -> None:
        """Open the editor in this tab, or open it again."""
        before = set(self.editor.windows)
        self.page.goto(self.editor.url)
        self.until(lambda: set(self.editor.windows) - before, "the server sees the tab")
        (number,) = set(self.editor.windows) - before
        self.window: Window = self.editor.windows[number]
        self.until(lambda: self.window.painted > 0, "a first picture")
        self.page.get_by_role("tab", name="Look").wait_for()
        self.without_notifications()

    def until(self, condition: Callable[[], object], what: str, seconds: float = PATIENCE) -> None:
        """Wait for a condition; the browser goes on meanwhile."""
        for _ in range(round(1000 * seconds / MOMENT)):
            if condition():
                return
            self.page.wait_for_timeout(MOMENT)
        self.shoot("failed")
        raise AssertionError(f"waited {seconds:.0f} s in vain: {what}")

    # -- panels

    def tab(self, name: str) -> None:
        """Open a tab of the panel."""
        tab = self.page.get_by_role("tab", name=name, exact=True)
        tab.click()
        self.until(lambda: tab.get_attribute("aria-selected") == "true", f"the tab {name}")

    def press(self, name: str) -> None:
        """Press a button."""
        self.page.get_by_role("button", name=name, exact=True).click()

    def field(self, label: str, kind: str = "input") -> Locator:
        """The element after a label: labels are not linked to theirs, and some inputs hidden."""
        return self.page.locator(
            f"xpath=//label[normalize-space()='{label}']/following::{kind}[not(@type='hidden')][1]"
        ).first

    def write(self, label: str, text: str) -> None:
        """Fill in a text or a number."""
        field = self.field(label)
        field.fill(text)
        field.press("Enter")

    def choose(self, label: str, option: str) -> None:
        """Choose from a dropdown."""
        self.field(label).click()
        self.page.get_by_role("option", name=option, exact=True).click()

    def tick(self, label: str) -> None:
        """Change a checkbox."""
        self.field(label, "input[@type='checkbox']").click()

    @property
    def notification(self) -> Locator:
        """What is said in a corner."""
        return self.page.locator(".mantine-Notification-root")

    def without_notifications(self) -> None:
        """Close what is said in a corner, which hides a part of the picture."""
        self.page.evaluate(
            "document.querySelectorAll('.mantine-Notification-closeButton').forEach(b => b.click())"
        )
        self.until(lambda: not self.notification.count(), "no notification")

    def download(self, button: str, folder: Path) -> Path:
        """Press a button, and wait for the file that the browser then saves by itself."""
        with self.page.expect_download() as saved:
            self.press(button)
        path = folder / saved.value.suggested_filename
        saved.value.save_as(path)
        return path

    def idle(self) -> None:
        """Until the picture of all that was done is there."""
        self.editor.actions.wait()
        self.until(lambda: self.window.wait(0.0), "the finest picture")

    def settle(self) -> None:
        """Until the screen shows what a script would paint now."""
        self.idle()
        self.sees(self.expected())

    # -- the picture

    @property
    def canvas(self) -> Locator:
        """The picture: of all canvases the narrowest."""
        canvases = self.page.locator("canvas")
        sizes = [canvases.nth(n).bounding_box() for n in range(canvases.count())]
        widths = [np.inf if size is None or size["width"] < 50 else size["width"] for size in sizes]
        return canvases.nth(int(np.argmin(widths)))

    def place(self, x: float, y: float) -> tuple[float, float]:
        """Shares of the picture's width and height as pixels of the page."""
        box = self.canvas.bounding_box()
        assert box is not None
        return box["x"] + x * box["width"], box["y"] + y * box["height"]

    def seen(self) -> UInt8[np.ndarray, "h w 3"]:
        """The picture as it is on the screen."""
        return imageio.imread(self.canvas.screenshot(), extension=".png")[..., :3]

    def expected(self) -> UInt8[np.ndarray, "h w 3"]:
        """The picture as a script would paint it from where this person looks."""
        look, session = self.editor.look, self.editor.session
        camera = self.window.eye.camera(look.size)
        return list(Painter(session.scene).pictures(camera, look, session.work))[-1]

    def sees(self, expected: UInt8[np.ndarray, "h w 3"], levels: float = 4.0) -> None:
        """Wait until the screen shows a picture, up to a mean difference in grey levels."""
        self.until(
            lambda: difference(self.seen(), expected) < levels,
            f"a picture on the screen; they differ by {difference(self.seen(), expected):.1f}",
        )

    def click(self, x: float, y: float) -> None:
        """Click at shares of the picture's width and height."""
        self.page.wait_for_timeout(ARMING)
        self.page.mouse.click(*self.place(x, y))

    def drag(self, start: Sequence[float], end: Sequence[float], steps: int = 8) -> None:
        """Drag between shares of the picture's width and height."""
        self.page.wait_for_timeout(ARMING)
        self.page.mouse.move(*self.place(*start))
        self.page.wait_for_timeout(ARMING)
        self.page.mouse.down()
        self.page.mouse.move(*self.place(*end), steps=steps)
        self.page.mouse.up()

    def shoot(self, name: str) -> Path:
        """Keep a screenshot."""
        self._pictures.mkdir(parents=True, exist_ok=True)
        self._shots += 1
        path = self._pictures / f"{self._shots:02d}-{name}.png"
        self.page.screenshot(path=path)
        return path


@contextmanager
def someone(
    browser: Browser, editor: Editor, pictures: Path, viewport: tuple[int, int] = VIEWPORT
) -> Iterator[Person]:
    """A person who looks at an editor, until it ends."""
    width, height = viewport
    page = browser.new_page(viewport={"width": width, "height": height})
    try:
        yield Person(page, editor, pictures)
    finally:
        page.close()


def screenshots(folder: Path, name: str) -> Path:
    """Where screenshots of a test are kept: in its folder, or below DFF_SCREENSHOTS."""
    given = os.environ.get("DFF_SCREENSHOTS")
    return Path(given) / name if given else folder / "screenshots"


def colour_at(
    picture: UInt8[np.ndarray, "h w 3"], eye: Eye, point: Sequence[float]
) -> tuple[float, float, float]:
    """The colour in [0, 1] where a point of the world is seen, over a few pixels."""
    x, y = projected(eye, point)
    row, column = int(y * picture.shape[0]), int(x * picture.shape[1])
    part = picture[row - 2 : row + 3, column - 2 : column + 3].reshape(-1, 3)
    red, green, blue = (float(each) for each in part.mean(axis=0) / 255)
    return red, green, blue
