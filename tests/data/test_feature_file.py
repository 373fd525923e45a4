"""The file of a map: what is written comes back, and every kind of damage is seen."""

from __future__ import annotations

import json
import os

import numpy as np
import pytest
import torch

from dff.data.feature_file import (
    HEADER_BYTES,
    MAGIC,
    DamagedMapError,
    MapFacts,
    map_bytes,
    read_entry,
    read_map,
    to_half,
    write_map,
)

FACTS = MapFacts("toy", "abcd", "photo.jpg", 12, "f" * 64)


@pytest.fixture
def path(tmp_path):
    write_map(tmp_path / "a.fmap", to_half(torch.randn(3, 4, 2)), FACTS)
    return tmp_path / "a.fmap"


def test_a_map_comes_back_with_its_facts(tmp_path):
    features = torch.randn(3, 4, 2)
    entry = write_map(tmp_path / "a.fmap", to_half(features), FACTS)
    assert os.path.getsize(entry.path) == map_bytes((3, 4, 2)) == HEADER_BYTES + 48
    assert entry.facts == FACTS
    assert read_entry(entry.path) == read_entry(entry.path, whole=False) == entry
    found, values = read_map(entry.path)
    assert found == entry
    assert np.array_equal(values, features.half().numpy())


def test_a_name_of_any_length_and_alphabet_fits_the_header(tmp_path):
    for name in ("x" * 250 + ".jpg", "写" * 80, "🍎" * 60, 'a"b\\c\n.png'):
        facts = MapFacts("precomputed" * 3, "f" * 64, name, 1024, "e" * 64)
        entry = write_map(tmp_path / "a.fmap", to_half(torch.zeros(100, 100, 1)), facts)
        assert read_entry(entry.path).facts.image == name[:60]


def test_every_single_byte_is_checked(path):
    whole = path.read_bytes()
    end = len(MAGIC) + len(whole[len(MAGIC) : HEADER_BYTES].rstrip())
    for index in [*range(end), *range(HEADER_BYTES, len(whole))]:
        broken = bytearray(whole)
        broken[index] ^= 1
        path.write_bytes(broken)
        with pytest.raises(DamagedMapError):
            read_entry(path)


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda whole: b"", "empty"),
        (lambda whole: whole[:10], "no feature map"),
        (lambda whole: whole[:-1], "truncated"),
        (lambda whole: whole + b"\0", "too long"),
        (lambda whole: whole[:HEADER_BYTES], "truncated"),
        (lambda whole: whole[:-5] + bytes([whole[-5] ^ 1]) + whole[-4:], "checksum"),
        (lambda whole: b"x" + whole[1:], "no feature map"),
        (lambda whole: whole[:20] + b"\xff" * 1004 + whole[HEADER_BYTES:], "header"),
        (lambda whole: whole.replace(b"[3, 4, 2]", b"[4, 3, 2]"), "checksum"),
        (lambda whole: whole.replace(b"[3, 4, 2]", b"[3, 4]   "), "header"),
        (lambda whole: whole.replace(b"[3, 4, 2]", b"[0, 4, 2]"), "header"),
        (lambda whole: whole.replace(b"toy", b"toe"), "checksum"),
        (lambda whole: whole.replace(b"map 2", b"map 1"), "another version"),
        (lambda whole: (MAGIC + b"[]").ljust(HEADER_BYTES) + whole[HEADER_BYTES:], "header"),
        (lambda whole: (MAGIC + b"[" * 900).ljust(HEADER_BYTES), "header"),
    ],
)
def test_damage_is_said_in_a_few_words(path, damage, says):
    path.write_bytes(damage(path.read_bytes()))
    for read in (read_entry, read_map):
        with pytest.raises(DamagedMapError, match=says):
            read(path)


def test_a_file_that_is_not_there_is_missing(tmp_path):
    with pytest.raises(DamagedMapError, match="missing"):
        read_entry(tmp_path / "none.fmap")
    with pytest.raises(DamagedMapError, match="not readable"):
        read_map(tmp_path)


def test_the_header_alone_is_quick_and_says_what_it_can(path):
    whole = path.read_bytes()
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    assert read_entry(path, whole=False).facts == FACTS
    assert json.loads(whole[len(MAGIC) : HEADER_BYTES])["teacher"] == "toy"
