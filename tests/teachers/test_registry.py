"""The registry of teachers."""

from __future__ import annotations

import pytest

from dff.errors import DffError
from dff.teachers import get_teacher, list_teachers


def test_teachers_are_listed_by_pattern() -> None:
    assert "mini" in list_teachers()
    assert list_teachers("mi*") == ["mini"]
    assert list_teachers("no such*") == []


def test_an_unknown_teacher_is_refused_with_the_nearest_and_all() -> None:
    with pytest.raises(
        DffError, match=r"no teacher 'minni' \(did you mean 'mini'\?\); known: .*mini"
    ):
        get_teacher("minni")
    with pytest.raises(DffError, match=r"known: .*mini"):
        get_teacher("")
