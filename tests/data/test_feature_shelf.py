"""Listing, verifying and clearing a cache, and leaving alone what is not the cache's."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import pytest

from dff.data.feature_shelf import damaged_files, list_shelves, prune
from dff.errors import DffError

sys.path.insert(0, str(Path(__file__).parent))

from feature_support import CountingTeacher, WideTeacher, cache, files, write_images

DAY = 24 * 3600


@pytest.fixture
def root(tmp_path) -> Path:
    """Five maps of one teacher, five of another in full and five as coefficients."""
    images = write_images(tmp_path / "images")
    cache(tmp_path).ensure(images, progress=False)
    for pca in (None, 4):
        cache(tmp_path, WideTeacher("ff"), pca=pca).ensure(images, progress=False)
    return tmp_path / "cache"


def age(path: Path, seconds: float) -> Path:
    when = time.time() - seconds
    os.utime(path, (when, when))
    return path


def of(root: Path, teacher: str, width: int) -> list[Path]:
    said = {"counting": b'"counting"', "wide": b'"wide"'}[teacher]
    size = 1024 + 2 * 4 * 6 * width
    found = files(root.parent, "*.fmap")
    return [p for p in found if p.stat().st_size == size and said in p.read_bytes()[:1024]]


def test_what_is_there_is_listed_by_teacher_and_width(root):
    shelves, unreadable = list_shelves(root)
    assert unreadable == 0
    assert [(s.teacher, s.fingerprint, s.dim, s.width, s.maps, s.size) for s in shelves] == [
        ("counting", "00", 3, 3, 5, 5 * (1024 + 144)),
        ("wide", "ff", 12, 4, 5, 5 * (1024 + 192)),
        ("wide", "ff", 12, 12, 5, 5 * (1024 + 576)),
    ]
    assert all(abs(shelf.used - time.time()) < 600 for shelf in shelves)
    of(root, "wide", 4)[0].write_bytes(b"")
    shelves, unreadable = list_shelves(root, "wide")
    assert [shelf.maps for shelf in shelves] == [4, 5]
    assert unreadable == 1
    assert list_shelves(root / "nothing") == ([], 0)


def test_using_maps_is_noted(root, tmp_path):
    for path in files(tmp_path):
        age(path, 10 * DAY)
    cache(tmp_path).ensure(sorted((tmp_path / "images").iterdir())[:2], progress=False)
    recent = [p for p in files(tmp_path) if p.stat().st_mtime > time.time() - DAY]
    assert len(recent) == 2
    assert set(recent) <= set(of(root, "counting", 3))


def test_every_damaged_file_is_found(root, tmp_path):
    seen = []
    assert damaged_files(root, lambda: seen.append(1)) == []
    assert len(seen) == 16
    flipped, cut = of(root, "counting", 3)[1], of(root, "wide", 12)[2]
    (basis,) = files(tmp_path, "*.safetensors")
    for path in (flipped, basis):
        content = path.read_bytes()
        path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    cut.write_bytes(cut.read_bytes()[:-7])
    found = dict(damaged_files(root))
    assert set(found) == {flipped, cut, basis}
    assert "checksum" in found[flipped]
    assert "truncated" in found[cut]


def test_pruning_removes_what_is_damaged_left_over_or_unused_and_nothing_else(root, tmp_path):
    whole = set(files(tmp_path))
    damaged = of(root, "counting", 3)[0]
    damaged.write_bytes(b"")
    (basis,) = files(tmp_path, "*.safetensors")
    scratch = root / "scratch"
    scratch.mkdir(exist_ok=True)
    old = [
        damaged.parent / ".tmp-1-abc",
        basis.parent / ".tmp-2-abc",
        scratch / ("a" * 64 + ".fmap"),
        root / ".tmp-ranks-abc",
    ]
    young = [damaged.parent / ".tmp-3-abc", scratch / ("b" * 64 + ".fmap")]
    foreign = [root / "notes.txt", damaged.parent / "mine.fmap", root / "bases" / "mine.txt"]
    for path in [*old, *young, *foreign]:
        path.write_bytes(b"1234")
    for path in [*old, *foreign]:
        age(path, 2 * 3600)
    dry = prune(root, dry_run=True)
    assert set(files(tmp_path)) == whole | {*old, *young, *foreign}
    cleared = prune(root)
    assert cleared == dry
    assert cleared.files == {"damaged": 1, "left over": 4}
    assert cleared.size == 16
    assert set(files(tmp_path)) == (whole - {damaged}) | {*young, *foreign}
    assert prune(root).files == {}


def test_pruning_a_teacher_takes_its_maps_and_bases(root, tmp_path):
    counting = of(root, "counting", 3)
    cleared = prune(root, teacher="wide")
    assert cleared.files == {"map of wide": 10, "unused basis": 1}
    assert files(tmp_path) == counting
    teacher = CountingTeacher()
    cache(tmp_path, teacher).ensure(sorted((tmp_path / "images").iterdir()), progress=False)
    assert teacher.encoded == 0


def test_pruning_by_age_keeps_what_was_used_since(root, tmp_path):
    for path in [*of(root, "counting", 3), *of(root, "wide", 12)[:2]]:
        age(path, 10 * DAY)
    assert prune(root, older_than=11).files == {}
    assert prune(root, teacher="wide", older_than=9, dry_run=True).files == {"map of wide": 2}
    assert prune(root, older_than=9).files == {"map": 7}
    assert prune(root, older_than=0).files == {"map": 8, "unused basis": 1}
    assert files(tmp_path) == []
    for days in (-1.0, float("nan")):
        with pytest.raises(DffError, match="0 or more"):
            prune(root, older_than=days)


def test_pruning_a_damaged_basis_takes_the_maps_that_nobody_can_read_any_more(root, tmp_path):
    coefficients = of(root, "wide", 4)
    kept = set(files(tmp_path, "*.fmap")) - set(coefficients)
    (basis,) = files(tmp_path, "*.safetensors")
    basis.write_bytes(basis.read_bytes()[:-1])
    dry = prune(root, dry_run=True)
    assert prune(root) == dry
    assert dry.files == {"damaged": 1, "map without its basis": 5}
    assert set(files(tmp_path)) == kept


def test_a_basis_without_maps_is_kept_while_it_may_be_new(root, tmp_path):
    (basis,) = files(tmp_path, "*.safetensors")
    for path in of(root, "wide", 4):
        path.unlink()
    assert prune(root).files == {}
    age(basis, 2 * 3600)
    assert prune(root).files == {"unused basis": 1}
