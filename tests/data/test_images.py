"""Photographs are read with the pixels where nerfstudio has them, or refused by name."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from nerfstudio.cameras.cameras import Cameras
from nerfstudio.data.dataparsers.base_dataparser import DataparserOutputs
from nerfstudio.data.datasets.base_dataset import InputDataset
from PIL import Image

from dff.data.images import image_size, load_image, trainable_image_size
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


def write_deep_png(path: Path, pixels: np.ndarray) -> None:
    """A PNG with 16 bits a channel, RGB (h, w, 3) or grey (h, w), which Pillow cannot write."""
    kind = 2 if pixels.ndim == 3 else 0
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    head = struct.pack(">IIBBBBB", pixels.shape[1], pixels.shape[0], 16, kind, 0, 0, 0)
    content = b"\x89PNG\r\n\x1a\n"
    for name, data in ((b"IHDR", head), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")):
        crc = zlib.crc32(name + data)
        content += struct.pack(">I", len(data)) + name + data + struct.pack(">I", crc)
    path.write_bytes(content)


def test_of_sixteen_bits_a_colour_the_upper_eight_are_kept_and_grey_is_refused(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 1 << 16, (5, 7, 3))
    write_deep_png(tmp_path / "a.png", pixels)
    image = load_image(tmp_path / "a.png").numpy()
    np.testing.assert_allclose(image * 255, pixels >> 8, atol=1e-4)
    assert trainable_image_size(tmp_path / "a.png") == (5, 7)
    write_deep_png(tmp_path / "grey.png", pixels[..., 0])
    for read in (load_image, trainable_image_size):
        with pytest.raises(DffError, match="I;16") as caught:
            read(tmp_path / "grey.png")
        assert "grey.png" in str(caught.value)


def nerfstudio_reads(path: Path) -> torch.Tensor:
    height, width = image_size(path)
    cameras = Cameras(torch.eye(4)[None, :3], 1.0, 1.0, 1.0, 1.0, width, height)
    outputs = DataparserOutputs([path], cameras, alpha_color=torch.ones(3))
    return InputDataset(outputs).get_image_float32(0)


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "turned"])
def test_what_is_let_through_to_training_looks_to_nerfstudio_as_to_the_teacher(tmp_path, mode):
    path = tmp_path / "a.png"
    image = Image.fromarray(picture(6, 9, 4))
    exif = Image.Exif()
    exif[0x0112] = 6 if mode == "turned" else 1
    image.convert("RGB" if mode == "turned" else mode).save(path, exif=exif)
    assert trainable_image_size(path) == (6, 9)
    torch.testing.assert_close(nerfstudio_reads(path), load_image(path), rtol=0, atol=1e-5)


@pytest.mark.parametrize(("mode", "ending"), [("P", "png"), ("1", "png"), ("CMYK", "jpg")])
def test_what_nerfstudio_would_misread_is_refused(tmp_path, mode, ending):
    path = tmp_path / f"a.{ending}"
    Image.fromarray(picture(6, 9, 3)).convert(mode).save(path)
    with pytest.raises(DffError, match="8-bit RGB") as caught:
        trainable_image_size(path)
    assert path.name in str(caught.value)
    # The refusal is needed: the two do not see the same picture.
    misread = nerfstudio_reads(path)
    assert misread.shape != (6, 9, 3) or not torch.allclose(misread, load_image(path), atol=0.1)


def test_grey_with_transparency_is_refused_too(tmp_path):
    Image.fromarray(picture(6, 9, 4)).convert("LA").save(tmp_path / "a.png")
    with pytest.raises(DffError, match="'LA'"):
        trainable_image_size(tmp_path / "a.png")
