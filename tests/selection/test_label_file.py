"""Label files: those we ship, and every way in which one can be wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from dff.errors import DffError
from dff.selection.label_file import read_labels

LABELS = Path(__file__).resolve().parents[2] / "configs" / "labels"


def test_the_shipped_files_are_readable_and_without_repetition():
    assert len(read_labels(LABELS / "ade20k.txt")) == 150
    tabletop = read_labels(LABELS / "tabletop.txt")
    assert {"apple", "banana", "table"} <= set(tabletop)
    for name in ("ade20k.txt", "tabletop.txt"):
        lines = (LABELS / name).read_text(encoding="utf-8").splitlines()
        kept = [line for line in lines if not line.startswith("#")]
        assert list(read_labels(LABELS / name)) == kept


def test_comments_spaces_and_repetitions_go(tmp_path):
    path = tmp_path / "labels.txt"
    path.write_bytes(b"\xef\xbb\xbf# fruit\r\n apple \r\n\r\ncoffee   table\nApple\nCoffee table\n")
    assert read_labels(path) == ("apple", "coffee table")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "names nothing"),
        (b"# only\n\n  \n", "names nothing"),
        (b"\x89PNG\r\n\x1a\n\xff\xfe", "no list of names"),
        (b"apple\0banana", "no list of names"),
        (b"apple\n" * 400_000, "no list of names"),
        (b"apple\n" + b"x" * 101, "line 2: a name has at most 100"),
    ],
)
def test_what_is_no_label_file_is_one_line(tmp_path, content, says):
    path = tmp_path / "labels.txt"
    path.write_bytes(content)
    with pytest.raises(DffError, match=says) as error:
        read_labels(path)
    assert "\n" not in str(error.value)
    assert str(path) in str(error.value)


def test_what_cannot_be_read_is_one_line(tmp_path):
    for path in (tmp_path / "missing.txt", tmp_path):
        with pytest.raises(DffError, match="cannot read label file"):
            read_labels(path)
