"""The cache: what is encoded when, and what survives what."""

from __future__ import annotations

import errno
import io
import os
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from rich.console import Console

from dff.data.feature_cache import default_cache_root
from dff.data.feature_file import HEADER_BYTES, map_bytes
from dff.errors import DffError

sys.path.insert(0, str(Path(__file__).parent))

from feature_support import CountingTeacher, cache, edit, files, write_images


@pytest.fixture
def images(tmp_path) -> list[Path]:
    return write_images(tmp_path / "images")


def test_maps_are_the_teachers_in_the_order_of_the_images(tmp_path, images):
    maps = cache(tmp_path).ensure(images[::-1])
    for index, path in enumerate(images[::-1]):
        pixels = np.asarray(Image.open(path), dtype=np.float64) / 255
        expected = pixels.reshape(4, 4, 6, 4, 3).mean((1, 3))
        np.testing.assert_allclose(maps.map(index), expected, atol=1e-3)
    assert maps.shape(0) == (4, 6, 3)
    assert sum(p.stat().st_size for p in files(tmp_path)) == 5 * map_bytes((4, 6, 3))


def test_each_content_is_encoded_once_whatever_it_is_called(tmp_path, images):
    teacher = CountingTeacher()
    cache(tmp_path, teacher).ensure(images)
    cache(tmp_path, teacher).ensure(images)
    images[0] = images[0].rename(images[0].with_name("renamed.png"))
    copy = Path(shutil.copy(images[1], tmp_path / "copy.png"))
    maps = cache(tmp_path, teacher).ensure([*images, copy])
    assert teacher.encoded == 5
    assert np.array_equal(maps.map(1), maps.map(5))


def test_another_image_teacher_or_option_is_another_map(tmp_path, images):
    cache(tmp_path).ensure(images)
    for teacher, options, expected in (
        (CountingTeacher(fingerprint="01"), {}, 5),
        (CountingTeacher(), {"scale": 0.5}, 5),
        (CountingTeacher(), {}, 0),
    ):
        cache(tmp_path, teacher, options=options).ensure(images)
        assert teacher.encoded == expected


def test_editing_an_image_in_place_encodes_it_alone(tmp_path, images):
    before = cache(tmp_path).ensure(images)
    edit(images[2])
    teacher = CountingTeacher()
    after = cache(tmp_path, teacher).ensure(images)
    assert teacher.encoded == 1
    same = [np.array_equal(before.map(i), after.map(i)) for i in range(5)]
    assert same == [True, True, False, True, True]


class KeyedTeacher(CountingTeacher):
    """Features that depend on a file beside the image, as those of precomputed maps do."""

    def file_key(self, path: Path) -> bytes:
        beside = path.with_suffix(".txt")
        return beside.read_bytes() if beside.exists() else b""


def test_what_else_features_depend_on_is_part_of_the_key(tmp_path, images):
    cache(tmp_path).ensure(images)
    for content, expected in ((None, 0), ("a", 1), ("b", 1), ("a", 0)):
        if content is not None:
            images[3].with_suffix(".txt").write_text(content)
        teacher = KeyedTeacher()
        cache(tmp_path, teacher).ensure(images)
        assert teacher.encoded == expected


def test_an_image_that_changes_while_it_is_encoded_is_not_kept(tmp_path, images):
    teacher = CountingTeacher()
    encode = teacher.encode_image

    def encode_and_edit(image):
        edit(images[0])
        return encode(image)

    teacher.encode_image = encode_and_edit
    with pytest.raises(DffError, match=r"00\.png was changed"):
        cache(tmp_path, teacher).ensure(images)
    assert files(tmp_path) == []


def test_images_of_all_sizes_and_kinds_go_together(tmp_path):
    rng = np.random.default_rng(1)
    folder = tmp_path / "images"
    folder.mkdir()
    kinds = {"wide": (16, 24, 3), "tall": (24, 16, 3), "grey": (32, 20), "clear": (16, 16, 4)}
    for name, shape in kinds.items():
        Image.fromarray(rng.integers(0, 256, shape, dtype=np.uint8)).save(folder / f"{name}.png")
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by a quarter: not applied, as nerfstudio does not
    with Image.open(folder / "wide.png") as image:
        image.save(folder / "turned.png", exif=exif)
    maps = cache(tmp_path).ensure([folder / f"{name}.png" for name in [*kinds, "turned"]])
    assert [maps.shape(i)[:2] for i in range(5)] == [(4, 6), (6, 4), (8, 5), (4, 4), (4, 6)]
    assert np.array_equal(maps.map(0), maps.map(4))


def test_an_interrupted_run_is_carried_on(tmp_path, images):
    stopped = CountingTeacher(stop_after=3)
    with pytest.raises(KeyboardInterrupt):
        cache(tmp_path, stopped).ensure(images)
    assert len(files(tmp_path)) == 3
    teacher = CountingTeacher()
    cache(tmp_path, teacher).ensure(images)
    assert teacher.encoded == 2


@pytest.mark.parametrize("damage", ["cut", "flipped", "emptied"])
def test_damaged_maps_are_rebuilt_with_a_warning(tmp_path, images, damage):
    cache(tmp_path).ensure(images)
    victim = files(tmp_path)[2]
    whole = victim.read_bytes()
    broken = {"cut": whole[:-10], "flipped": whole[:-1] + bytes([whole[-1] ^ 1]), "emptied": b""}
    victim.write_bytes(broken[damage])
    teacher, printed = CountingTeacher(), io.StringIO()
    cache(tmp_path, teacher, console=Console(file=printed)).ensure(images)
    assert teacher.encoded == 1
    said = {"cut": "truncated", "flipped": "the checksum does not match", "emptied": "empty"}
    (warning,) = [line for line in printed.getvalue().splitlines() if "rebuilding" in line]
    assert said[damage] in warning
    assert victim.read_bytes() == whole


def test_maps_of_an_older_version_are_rebuilt_and_said_so_once(tmp_path, images):
    cache(tmp_path).ensure(images)
    for path in files(tmp_path):
        path.write_bytes(b"dff feature map 1\n".ljust(256) + path.read_bytes()[HEADER_BYTES:])
    teacher, printed = CountingTeacher(), io.StringIO()
    cache(tmp_path, teacher, console=Console(file=printed, width=200)).ensure(images)
    assert teacher.encoded == 5
    (warning,) = [line for line in printed.getvalue().splitlines() if "rebuilding" in line]
    assert "of another version of dff" in warning
    assert "and 2 more" in warning


def test_a_full_disk_keeps_what_is_done_and_leaves_no_rubbish(tmp_path, images, monkeypatch):
    real, calls = os.fsync, []

    def full_at_the_third(descriptor):
        calls.append(descriptor)
        if len(calls) == 3:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", full_at_the_third)
    with pytest.raises(DffError, match="disk full") as caught:
        cache(tmp_path).ensure(images)
    assert "\n" not in str(caught.value)
    assert [p.suffix for p in files(tmp_path)] == [".fmap"] * 2
    monkeypatch.undo()
    teacher = CountingTeacher()
    cache(tmp_path, teacher).ensure(images)
    assert teacher.encoded == 3


def test_what_cannot_fit_is_refused_before_the_work(tmp_path, images, monkeypatch):
    usage = shutil.disk_usage(tmp_path)._replace(free=100)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    teacher = CountingTeacher()
    with pytest.raises(DffError, match="DFF_CACHE"):
        cache(tmp_path, teacher).ensure(images)
    assert teacher.encoded == 0


def test_bad_images_are_named(tmp_path, images):
    with pytest.raises(DffError, match="no images"):
        cache(tmp_path).ensure([])
    with pytest.raises(DffError, match=r"no such image: .*none\.png"):
        cache(tmp_path).ensure([*images, tmp_path / "none.png"])
    content = images[3].read_bytes()
    images[3].write_bytes(content[: len(content) // 2])
    with pytest.raises(DffError, match=r"03\.png"):
        cache(tmp_path).ensure(images)
    assert len(files(tmp_path)) == 3  # those before it are kept


def test_values_that_are_not_finite_never_reach_the_disk(tmp_path, images):
    teacher = CountingTeacher()
    teacher.encode_image = lambda image: torch.full((4, 6, 3), float("nan"))
    with pytest.raises(DffError, match="not finite"):
        cache(tmp_path, teacher).ensure(images)
    assert files(tmp_path) == []


def test_the_size_is_said_before_the_work(tmp_path, images):
    printed = io.StringIO()
    teacher = CountingTeacher(stop_after=0)
    with pytest.raises(KeyboardInterrupt):
        cache(tmp_path, teacher, console=Console(file=printed)).ensure(images)
    assert "5 images by teacher 'counting': 5 to encode (5.8 kB, 1.2 kB an image), 0 ready" in (
        printed.getvalue()
    )
    quiet = io.StringIO()
    cache(tmp_path, console=Console(file=quiet)).ensure(images, progress=False)
    assert quiet.getvalue() == ""


def test_two_at_once_share_one_cache(tmp_path, images):
    results, start = {}, threading.Barrier(4)

    def work(who):
        start.wait()
        results[who] = cache(tmp_path).ensure(images, progress=False)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 4
    assert all(p.suffix == ".fmap" for p in files(tmp_path))
    for maps in results.values():
        assert all(np.array_equal(maps.map(i), results[0].map(i)) for i in range(5))


KILLED_WHILE_WRITING = """
import os, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from feature_support import CountingTeacher
from dff.data.feature_cache import FeatureCache
real, calls = os.fsync, []
def killed_at_the_third(descriptor):
    calls.append(descriptor)
    if len(calls) == 3:
        os.kill(os.getpid(), 9)
    real(descriptor)
os.fsync = killed_at_the_third
FeatureCache(sys.argv[2], CountingTeacher()).ensure([Path(p) for p in sys.argv[3:]])
"""


@pytest.mark.slow
def test_a_killed_process_loses_one_image_and_its_rubbish_is_cleared_later(tmp_path, images):
    arguments = [str(Path(__file__).parent), str(tmp_path / "cache"), *map(str, images)]
    done = subprocess.run([sys.executable, "-c", KILLED_WHILE_WRITING, *arguments], check=False)
    assert done.returncode == -9
    left = [p for p in files(tmp_path) if p.suffix != ".fmap"]
    assert len(left) == 1
    long_ago = time.time() - 48 * 3600
    os.utime(left[0], (long_ago, long_ago))
    teacher = CountingTeacher()
    cache(tmp_path, teacher).ensure(images)
    assert teacher.encoded == 3
    assert len(files(tmp_path)) == 5


def test_the_default_place_can_be_set(monkeypatch, tmp_path):
    monkeypatch.setenv("DFF_CACHE", str(tmp_path / "here"))
    assert default_cache_root() == tmp_path / "here"
    monkeypatch.delenv("DFF_CACHE")
    assert default_cache_root() == Path.home() / ".cache" / "dff" / "features"
