"""Photographs are read with the pixels where nerfstudio has them, or refused by name."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from dff.data.images import image_size, load_image
from dff.errors import DffError


def picture(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def test_colours_are_read_exactly(tmp_path):
    pixels = picture(5, 7, 3)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    image = load_image(tmp_path / "a.png")
    assert image.dtype == torch.float32
    assert np.array_equal(image.numpy(), pixels.astype(np.float32) / 255)
    assert image_size(tmp_path / "a.png") == (5, 7)


def test_the_orientation_tag_is_not_applied(tmp_path):
    pixels = picture(4, 6, 3)
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by a quarter
    Image.fromarray(pixels).save(tmp_path / "a.png", exif=exif)
    assert np.array_equal(load_image(tmp_path / "a.png").numpy() * 255, pixels.astype(np.float32))
    assert image_size(tmp_path / "a.png") == (4, 6)


def test_grey_is_repeated_and_transparency_blended_on_white(tmp_path):
    grey = picture(3, 4)
    Image.fromarray(grey).save(tmp_path / "grey.png")
    image = load_image(tmp_path / "grey.png").numpy()
    assert np.array_equal(image, np.repeat(grey[..., None].astype(np.float32) / 255, 3, -1))
    rgba = picture(3, 4, 4)
    Image.fromarray(rgba).save(tmp_path / "rgba.png")
    alpha = rgba[..., 3:].astype(np.float64) / 255
    expected = rgba[..., :3] / 255 * alpha + 1 - alpha
    np.testing.assert_allclose(load_image(tmp_path / "rgba.png").numpy(), expected, atol=1e-6)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "CMYK"])
def test_every_eight_bit_kind_becomes_rgb(tmp_path, mode):
    path = tmp_path / ("a.tif" if mode == "CMYK" else "a.png")
    Image.new("RGB", (4, 3), (255, 255, 255)).convert(mode).save(path)
    torch.testing.assert_close(load_image(path), torch.ones(3, 4, 3))


def test_what_cannot_be_read_is_named(tmp_path):
    Image.fromarray(picture(60, 60, 3)).save(tmp_path / "whole.png")
    content = (tmp_path / "whole.png").read_bytes()
    (tmp_path / "half.png").write_bytes(content[: len(content) // 2])
    (tmp_path / "text.png").write_text("no picture")
    (tmp_path / "empty.png").touch()
    Image.fromarray(picture(3, 4).astype(np.uint16)).save(tmp_path / "deep.png")
    for name, says in {
        "none.png": "no such image",
        "half.png": "cannot read image",
        "text.png": "cannot read image",
        "empty.png": "cannot read image",
        "deep.png": "8 bits per channel",
    }.items():
        with pytest.raises(DffError, match=says) as caught:
            load_image(tmp_path / name)
        assert name in str(caught.value)
        assert "\n" not in str(caught.value)
