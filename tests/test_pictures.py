"""Tensors as files: sizes, rounding, and what a reader gets back."""

from __future__ import annotations

import weakref

import imageio.v3 as imageio
import numpy as np
import pytest
import torch
from PIL import Image

from dff.errors import DffError
from dff.pictures import (
    heatmap,
    overlay,
    read_note,
    resize,
    side_by_side,
    to_bytes,
    write_jpeg,
    write_png,
    write_video,
)


def test_bytes_are_rounded_to_the_nearest_and_clamped():
    values = torch.tensor([-1.0, 0.0, 0.49 / 255, 0.51 / 255, 127.4 / 255, 1.0, 1.5])
    assert to_bytes(values.view(1, -1, 1)).flatten().tolist() == [0, 0, 0, 1, 127, 255, 255]


def test_every_byte_survives_the_way_to_floats_and_back():
    levels = torch.arange(256, dtype=torch.float32).view(16, 16, 1) / 255
    assert np.array_equal(to_bytes(levels).flatten(), np.arange(256))


@pytest.mark.parametrize(("height", "width"), [(12, 20), (3, 5), (7, 9), (6, 10)])
def test_resize_keeps_pixel_centres(height, width):
    # A picture whose colour is its own position, linear in both directions.
    y, x = (torch.arange(n, dtype=torch.float64) + 0.5 for n in (6, 10))
    image = torch.stack(torch.meshgrid(y / 6, x / 10, indexing="ij"), dim=-1)
    result = resize(image, height, width)
    assert result.shape == (height, width, 2)
    new_y = (torch.arange(height, dtype=torch.float64) + 0.5) / height
    new_x = (torch.arange(width, dtype=torch.float64) + 0.5) / width
    expected = torch.stack(torch.meshgrid(new_y, new_x, indexing="ij"), dim=-1)
    # Beyond the outermost centres there is nothing to interpolate with: the border repeats.
    expected[..., 0].clamp_(0.5 / 6, 5.5 / 6)
    expected[..., 1].clamp_(0.5 / 10, 9.5 / 10)
    torch.testing.assert_close(result, expected)


def test_heatmap_runs_from_blue_to_red():
    colours = heatmap(torch.tensor([0.0, 1.0]).view(1, 2, 1))[0]
    assert colours.shape == (2, 3)
    assert colours[0, 2] > colours[0, 0]
    assert colours[1, 0] > colours[1, 2]
    # Absolute, not stretched to what the picture holds.
    assert torch.equal(heatmap(torch.full((2, 2, 1), 0.25)), heatmap(torch.full((2, 2, 1), 0.25)))
    assert not torch.allclose(heatmap(torch.full((1, 1, 1), 0.25))[0], colours[:1])


def test_overlay_tints_what_is_selected_and_dims_the_rest():
    grey = torch.full((1, 2, 3), 0.8)
    shown = overlay(grey, torch.tensor([1.0, 0.0]).view(1, 2, 1))[0]
    assert shown[0, 0] > shown[0, 2]
    assert shown[1].mean() < 0.8
    assert float(shown[1].max() - shown[1].min()) < 1e-6
    assert shown.min() >= 0
    assert shown.max() <= 1


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_png_gives_back_what_was_written(tmp_path, channels):
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (7, 5, channels), dtype=np.uint8)
    path = tmp_path / "new" / "image.png"
    write_png(path, image)
    with Image.open(path) as read:
        assert read.mode == {1: "L", 3: "RGB", 4: "RGBA"}[channels]
        assert np.array_equal(np.asarray(read).reshape(image.shape), image)
    assert [p.name for p in path.parent.iterdir()] == ["image.png"]


def test_png_into_a_place_that_is_a_file_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DffError, match="cannot write"):
        write_png(tmp_path / "file" / "image.png", np.zeros((2, 2), np.uint8))


def moving(count: int, height: int, width: int) -> list[np.ndarray]:
    frames = [np.full((height, width, 3), 40, np.uint8) for _ in range(count)]
    for index, frame in enumerate(frames):
        frame[:, : 1 + index * width // count] = 200
    return frames


@pytest.mark.parametrize(("height", "width"), [(16, 24), (17, 25), (18, 33)])
@pytest.mark.parametrize("suffix", [".mp4", ".gif", ".webp"])
def test_a_video_can_be_read_back_frame_by_frame(tmp_path, height, width, suffix):
    path = tmp_path / "new" / f"video{suffix}"
    frames = moving(7, height, width)
    write_video(path, iter(frames), fps=10)
    read = imageio.imread(path) if suffix == ".mp4" else imageio.imread(path, index=...)
    assert len(read) == 7
    # The codec of .mp4 wants even sizes.
    odd = (height % 2, width % 2) if suffix == ".mp4" else (0, 0)
    assert read.shape[1:3] == (height + odd[0], width + odd[1])
    middle = read[3][: height - 2, :, :3].mean(axis=(0, 2))
    assert middle[1] > 170
    assert middle[-1] < 80
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def see_through(count: int) -> list[np.ndarray]:
    """A bar of red that moves over nothing."""
    frames = [np.zeros((16, 28, 4), np.uint8) for _ in range(count)]
    for index, frame in enumerate(frames):
        frame[:, 4 * index : 4 * index + 4] = (220, 30, 30, 255)
    return frames


@pytest.mark.parametrize("suffix", [".gif", ".webp"])
@pytest.mark.parametrize("count", [1, 6])
def test_what_is_transparent_stays_so(tmp_path, suffix, count):
    path = tmp_path / f"video{suffix}"
    write_video(path, see_through(count), fps=10)
    with Image.open(path) as video:
        assert getattr(video, "n_frames", 1) == count
        for index in range(count):
            video.seek(index)
            alpha = np.asarray(video.convert("RGBA"))[8, 1::4, 3]
            assert alpha.tolist() == [255 if place == index else 0 for place in range(7)]


def test_an_mp4_of_what_is_transparent_lies_on_black(tmp_path):
    path = tmp_path / "video.mp4"
    half = np.full((16, 16, 4), (200, 100, 60, 128), np.uint8)
    write_video(path, [half], fps=10)
    assert np.abs(imageio.imread(path)[0].astype(int) - (100, 50, 30)).max() < 8


@pytest.mark.parametrize("suffix", [".mp4", ".gif", ".webp"])
def test_the_frames_of_a_video_are_not_held_in_memory(tmp_path, suffix):
    given: list[weakref.ref] = []
    held = []

    def frames():
        for level in range(30):
            frame = np.full((32, 32, 3), 8 * level, np.uint8)
            given.append(weakref.ref(frame))
            held.append(sum(each() is not None for each in given))
            yield frame

    write_video(tmp_path / f"video{suffix}", frames(), fps=10)
    assert len(held) == 30
    assert max(held) <= 3


@pytest.mark.parametrize("suffix", [".mp4", ".gif", ".webp"])
def test_an_interrupted_video_leaves_the_old_one_and_nothing_else(tmp_path, suffix):
    path = tmp_path / f"video{suffix}"
    path.write_text("the one before")

    def frames():
        yield from moving(3, 16, 16)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_video(path, frames(), fps=10)
    assert [p.name for p in tmp_path.iterdir()] == [path.name]
    assert path.read_text() == "the one before"


def test_an_encoder_that_fails_is_one_line_and_leaves_nothing_behind(tmp_path, monkeypatch):
    script = tmp_path / "ffmpeg"
    script.write_text("#!/bin/sh\ncat > /dev/null\necho 'No space left on device' >&2\nexit 1\n")
    script.chmod(0o755)
    monkeypatch.setattr("dff.pictures.get_ffmpeg_exe", lambda: str(script))
    with pytest.raises(DffError, match="disk full") as raised:
        write_video(tmp_path / "out" / "video.mp4", moving(3, 16, 16), fps=10)
    assert "\n" not in str(raised.value)
    script.write_text("#!/bin/sh\necho 'Unknown encoder' >&2\nexit 1\n")
    # Larger than a pipe holds, so that the encoder is gone while frames are written.
    with pytest.raises(DffError, match="ffmpeg failed: Unknown encoder"):
        write_video(tmp_path / "out" / "video.mp4", moving(3, 400, 400), fps=10)
    assert not list((tmp_path / "out").iterdir())


@pytest.mark.parametrize("write", [write_png, write_jpeg])
def test_a_note_is_read_back(tmp_path, write):
    path = tmp_path / f"image.{'png' if write is write_png else 'jpg'}"
    write(path, moving(1, 9, 11)[0], "what it shows")
    assert read_note(path) == "what it shows"
    write(path, moving(1, 9, 11)[0])
    assert not read_note(path)
    path.write_bytes(path.read_bytes()[:-40])
    assert read_note(path) is None
    assert read_note(tmp_path / "nothing.png") is None


def test_pictures_side_by_side_become_transparent_when_one_is():
    solid, clear = np.full((2, 3, 3), 7, np.uint8), np.full((2, 1, 4), 9, np.uint8)
    assert np.array_equal(side_by_side([solid, solid]), np.full((2, 6, 3), 7))
    both = side_by_side([solid, clear])
    assert both.shape == (2, 4, 4)
    assert both[0].tolist() == [[7, 7, 7, 255]] * 3 + [[9, 9, 9, 9]]


def test_the_frame_rate_is_the_one_asked_for(tmp_path):
    path = tmp_path / "video.mp4"
    write_video(path, moving(10, 16, 16), fps=5)
    assert imageio.immeta(path)["fps"] == pytest.approx(5)


@pytest.mark.parametrize("fps", [24, 30, 12.5])
def test_a_gif_lasts_as_long_as_it_should(tmp_path, fps):
    # Its delays are whole hundredths of a second, so they have to differ.
    path = tmp_path / "video.gif"
    write_video(path, moving(50, 16, 60), fps=fps)
    with Image.open(path) as video:
        lasts = 0
        for index in range(video.n_frames):
            video.seek(index)
            lasts += video.info["duration"]
    assert lasts == pytest.approx(1000 * 50 / fps, abs=25)


def test_one_frame_makes_a_video_too(tmp_path):
    path = tmp_path / "video.mp4"
    write_video(path, moving(1, 16, 16), fps=24)
    assert len(imageio.imread(path)) == 1


def test_a_video_in_a_place_that_is_a_file_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DffError, match="cannot write"):
        write_video(tmp_path / "file" / "video.mp4", moving(2, 16, 16), fps=10)


def test_a_folder_with_the_videos_name_is_one_line_and_leaves_nothing_behind(tmp_path):
    (tmp_path / "video.mp4").mkdir()
    with pytest.raises(DffError, match="cannot write"):
        write_video(tmp_path / "video.mp4", moving(2, 16, 16), fps=10)
    assert [p.name for p in tmp_path.iterdir()] == ["video.mp4"]
