"""Figures on photos, the hue rule beside them, and the drawing of a learning curve."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from dff.data.generated.objects import object_names
from dff.teachers.base import Teacher

TOOLS = Path(__file__).resolve().parents[2] / "tools"
sys.path.insert(0, str(TOOLS))

from hue_rule import USUAL_COLOUR, colour_mask, hue_rule  # noqa: E402
from mini.curve import draw_curve  # noqa: E402
from mini.photos import false_selections, fruit_figures  # noqa: E402

COLOURS = {
    "red": (200, 30, 30),
    "yellow": (230, 210, 40),
    "orange": (240, 130, 20),
    "green": (40, 160, 60),
    "blue": (40, 80, 200),
    "brown": (120, 70, 30),
    "white": (240, 240, 240),
}

WORDS = ("apple", "banana", "table", "object")


class Eye(Teacher):
    """Sees red, green and blue; knows each word as one of them."""

    name = "eye"
    dim = 4
    logit_scale = 10.0
    fingerprint = "eye"
    canonical_phrases = ("object",)

    @property
    def has_text(self) -> bool:
        return True

    def grid_shape(self, height: int, width: int) -> tuple[int, int]:
        return height, width

    def encode_image(self, image: torch.Tensor) -> torch.Tensor:
        rest = torch.full_like(image[..., :1], 0.5)
        return torch.nn.functional.normalize(torch.cat([image, rest], -1), dim=-1)

    def encode_text(self, phrases) -> torch.Tensor:
        return torch.eye(4)[[WORDS.index(phrase) for phrase in phrases]]


@pytest.mark.parametrize("colour", COLOURS)
def test_the_hue_rule_knows_plain_colours(colour: str) -> None:
    for other, pixel in COLOURS.items():
        photo = Image.new("RGB", (2, 2), pixel)
        if {colour, other} == {"red", "orange"} or {colour, other} == {"yellow", "orange"}:
            continue
        assert colour_mask(photo, colour).all() == (colour == other), other


def test_every_name_has_a_usual_colour_that_the_rule_knows() -> None:
    assert set(object_names()) <= set(USUAL_COLOUR)
    assert set(USUAL_COLOUR.values()) <= set(COLOURS)


def test_labels_by_hue() -> None:
    photo = torch.tensor([[COLOURS["red"], COLOURS["yellow"], COLOURS["white"]]]) / 255
    names = ("table", "apple", "banana")
    assert hue_rule(photo, names).tolist() == [[1, 2, 0]]


@pytest.fixture
def fruit(tmp_path: Path) -> Path:
    """A red apple, a green "banana" with a red end, on blue."""
    photo = np.full((20, 40, 3), (10, 10, 220), np.uint8)
    label = np.zeros((20, 40), np.uint8)
    photo[:, :10], label[:, :10] = (220, 10, 10), 1
    photo[:, 20:28], label[:, 20:30] = (10, 220, 10), 2
    photo[:, 28:30] = (220, 10, 10)
    for folder in ("images", "labels"):
        (tmp_path / folder).mkdir()
    Image.fromarray(photo).save(tmp_path / "images/one.jpg", quality=100, subsampling=0)
    Image.fromarray(label).save(tmp_path / "labels/one.png")
    return tmp_path


def test_figures_on_photos_count_pixels(fruit: Path) -> None:
    figures = fruit_figures(Eye(), fruit, long_side=40)
    assert figures["argmax_apple"] == pytest.approx(10 / 12)
    assert figures["argmax_banana"] == pytest.approx(8 / 10)
    assert figures["leak_apple_on_banana"] == pytest.approx(2 / 10)
    assert figures["leak_banana_on_apple"] == 0.0
    assert figures["hue_apple"] == pytest.approx(10 / 12)
    assert figures["hue_banana"] == 0.0


def test_false_selections_are_shares_of_the_photo(fruit: Path) -> None:
    shares = false_selections(Eye(), [fruit / "images/one.jpg"], ("apple", "banana"))
    assert shares["apple"] == pytest.approx((12 / 40, 12 / 40))
    assert shares["banana"] == pytest.approx((8 / 40, 0.0))


def test_the_curve_reaches_where_the_records_say(tmp_path: Path) -> None:
    keys = ("names_miou", "things_miou", "phrases_miou", "leak_max")
    history = [{"seconds": 60.0 * t, **dict.fromkeys(keys, t / 40)} for t in (5, 10, 20)]
    draw_curve(history, tmp_path / "curve.png")
    # The last line drawn covers the others: at the right end it is half way up.
    grey = np.asarray(Image.open(tmp_path / "curve.png").convert("RGB")) == (150, 150, 150)
    rows, columns = np.nonzero(grey[60:].all(-1))
    assert abs(rows[columns.argmax()] + 60 - (34 + 322 / 2)) < 6
