"""Pictures that a browser sends are made no larger than what is looked at."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from dff.editor.sent_pictures import LONGEST, shrunk
from dff.errors import DffError


def written(picture: Image.Image, kind: str) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, format=kind)
    return buffer.getvalue()


@pytest.mark.parametrize(("mode", "kind"), [("RGB", "JPEG"), ("L", "PNG"), ("RGBA", "PNG")])
def test_large_ones_shrink_and_keep_their_colours(mode, kind):
    colour = {"RGB": (200, 40, 30), "L": 90, "RGBA": (200, 40, 30, 128)}[mode]
    name, content = shrunk("a plum.jpeg", written(Image.new(mode, (3000, 1500), colour), kind))
    assert name == "a plum.png"
    with Image.open(io.BytesIO(content)) as small:
        assert small.size == (LONGEST, LONGEST // 2)
        pixel = small.getpixel((5, 5))
    expected = (90, 90, 90) if mode == "L" else colour
    assert np.abs(np.subtract(pixel, expected)).max() <= 3


def test_small_ones_stay_as_they_were_sent():
    content = written(Image.new("RGB", (300, 200)), "JPEG")
    assert shrunk("x.jpg", content) == ("x.jpg", content)


def test_what_is_no_picture_is_refused_in_one_line():
    for content in (b"", b"no picture", written(Image.new("RGB", (2000, 2000)), "PNG")[:300]):
        with pytest.raises(DffError, match=r"cannot read the picture x\.png"):
            shrunk("x.png", content)
