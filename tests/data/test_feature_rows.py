"""Fetching rows of maps: the same in both ways, in bounded memory and with few files open."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import numpy as np
import pytest
import torch

from dff.data.feature_file import MapEntry, MapFacts, map_bytes, to_half, write_map
from dff.data.feature_maps import FeatureMaps
from dff.data.feature_rows import MappedRows, ReadRows
from dff.errors import DffError


@pytest.fixture
def entries(tmp_path) -> list[MapEntry]:
    shapes = [(4, 5, 6), (3, 1, 6), (7, 2, 6), (1, 1, 6), (2, 9, 6)] * 3
    return [
        write_map(tmp_path / f"{i}.fmap", to_half(torch.randn(*shape)), MapFacts())
        for i, shape in enumerate(shapes)
    ]


def random_runs(entries: list[MapEntry], count: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    image = np.sort(rng.integers(0, len(entries), count))
    rows = [entries[i].shape[0] * entries[i].shape[1] for i in image]
    last = [r - (entries[i].shape[1] > 1) for i, r in zip(image, rows, strict=True)]
    return image, np.array([rng.integers(0, each) for each in last])


@pytest.mark.parametrize("most_open", [1, 4, 100])
def test_runs_are_the_files_own_rows(entries, most_open):
    image, first = random_runs(entries, 300)
    read = ReadRows(entries, most_open).gather(image, first)
    assert np.array_equal(read, MappedRows(entries).gather(image, first))
    for run, index, row in zip(read, image, first, strict=True):
        path, (h, w, d), _ = entries[index]
        rows = np.fromfile(path, "<f2", offset=1024).reshape(h * w, d)
        assert np.array_equal(run[0], rows[row])
        assert np.array_equal(run[1], rows[row + (w > 1)])


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="needs /proc")
def test_no_more_files_are_open_than_allowed_and_none_in_the_end(entries):
    image, first = random_runs(entries, 300)
    before = open_files()
    rows = ReadRows(entries, most_open=4)
    rows.gather(image, first)
    assert open_files() == before + 4
    del rows
    assert open_files() == before


def test_threads_do_not_take_each_others_files(entries):
    image, first = random_runs(entries, 200)
    expected = MappedRows(entries).gather(image, first)
    rows, wrong = ReadRows(entries, most_open=2), []

    def work() -> None:
        for _ in range(20):
            if not np.array_equal(rows.gather(image, first), expected):
                wrong.append(1)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_a_map_that_went_away_or_was_cut_is_named_in_one_line(entries):
    image, first = random_runs(entries, 300)
    for way in (MappedRows, ReadRows):
        entries[0].path.rename(entries[0].path.with_suffix(".away"))
        with pytest.raises(DffError, match="run `dff features` again") as caught:
            way(entries).gather(image, first)
        assert "\n" not in str(caught.value)
        entries[0].path.with_suffix(".away").rename(entries[0].path)
    os.truncate(entries[0].path, 1030)
    with pytest.raises(DffError, match="cut short"):
        ReadRows(entries).gather(image, first)


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs /proc")
def test_memory_does_not_grow_with_what_was_touched(tmp_path):
    def resident() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    shape = (50, 64, 160)  # a megabyte each; holes, so that they take no disk
    entries = []
    for index in range(120):
        path = tmp_path / str(index)
        with path.open("wb") as stream:
            stream.truncate(map_bytes(shape))
        entries.append(MapEntry(path, shape, MapFacts()))
    image = torch.arange(120).repeat_interleave(100)
    grown = {}
    for name, mapped_bytes in (("read", 0), ("mapped", 1 << 40)):
        maps = FeatureMaps(entries, mapped_bytes=mapped_bytes)
        ys, xs = torch.rand(2, len(image)) * 100
        maps.sample(image[:100], ys[:100], xs[:100], 100, 100)
        before = resident()
        for start in range(0, len(image), 500):
            part = slice(start, start + 500)
            maps.sample(image[part], ys[part], xs[part], 100, 100)
        grown[name] = resident() - before
    assert grown["read"] < 15e6
    # The measure is worth something: mapped, nearly all the 123 MB stay.
    assert grown["mapped"] > 60e6
