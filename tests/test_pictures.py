"""Tensors as files: sizes, rounding, and what a reader gets back."""

from __future__ import annotations

import imageio.v3 as imageio
import numpy as np
import pytest
import torch
from PIL import Image

from dff.errors import DffError
from dff.pictures import heatmap, overlay, resize, to_bytes, write_png, write_video


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


@pytest.mark.parametrize("channels", [1, 3])
def test_png_gives_back_what_was_written(tmp_path, channels):
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (7, 5, channels), dtype=np.uint8)
    path = tmp_path / "new" / "image.png"
    write_png(path, image)
    with Image.open(path) as read:
        assert read.mode == ("L" if channels == 1 else "RGB")
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
@pytest.mark.parametrize("suffix", [".mp4", ".gif"])
def test_a_video_can_be_read_back_frame_by_frame(tmp_path, height, width, suffix):
    path = tmp_path / "new" / f"video{suffix}"
    frames = moving(7, height, width)
    write_video(path, frames, fps=10)
    read = imageio.imread(path, index=None) if suffix == ".gif" else imageio.imread(path)
    assert len(read) == 7
    assert read.shape[1:3] == (height + height % 2, width + width % 2)
    middle = read[3][: height - 2, :, :3].mean(axis=(0, 2))
    assert middle[1] > 170
    assert middle[-1] < 80
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_the_frame_rate_is_the_one_asked_for(tmp_path):
    path = tmp_path / "video.mp4"
    write_video(path, moving(10, 16, 16), fps=5)
    assert imageio.immeta(path)["fps"] == pytest.approx(5)


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
