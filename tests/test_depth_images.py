"""Depth as EXR: what a reader gets back, bit for bit."""

from __future__ import annotations

import numpy as np
import OpenEXR
import pytest

from dff.depth_images import read_depth, read_depth_note, write_depth
from dff.errors import DffError


def depths() -> np.ndarray:
    values = np.random.default_rng(0).lognormal(size=(5, 7)).astype(np.float32)
    values[0, :3] = (0.0, 1e-20, np.inf)
    return values


def test_depth_is_kept_to_the_last_bit(tmp_path):
    path = tmp_path / "new" / "a_depth.exr"
    write_depth(path, depths(), "what it shows")
    assert np.array_equal(read_depth(path), depths())
    assert read_depth_note(path) == "what it shows"
    assert [p.name for p in path.parent.iterdir()] == [path.name]
    with OpenEXR.File(str(path), separate_channels=True) as image:
        assert list(image.channels()) == ["Z"]
        assert image.channels()["Z"].pixels.dtype == np.float32
        assert "units" in image.header()["comments"]


def test_a_file_that_is_not_whole_has_no_note(tmp_path):
    path = tmp_path / "a.exr"
    write_depth(path, depths())
    assert read_depth_note(path) is None
    write_depth(path, depths(), "note")
    path.write_bytes(path.read_bytes()[:-8])
    assert read_depth_note(path) is None
    path.write_text("no picture")
    assert read_depth_note(path) is None
    assert read_depth_note(tmp_path / "nothing.exr") is None


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DffError, match="cannot write"):
        write_depth(tmp_path / "file" / "a.exr", depths())


def test_a_full_disk_is_one_line_and_leaves_nothing_behind(tmp_path, monkeypatch):
    class Full:
        def __init__(self, *what: object) -> None: ...

        def write(self, name: str) -> None:
            raise RuntimeError(f'Cannot write "{name}". No space left on device.')

    monkeypatch.setattr(OpenEXR, "File", Full)
    with pytest.raises(DffError, match="disk full"):
        write_depth(tmp_path / "out" / "a.exr", depths())
    assert not list((tmp_path / "out").iterdir())
