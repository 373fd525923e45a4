"""Answers that were given lately are kept, up to a number and a size."""

from __future__ import annotations

import gc
from types import SimpleNamespace
from typing import Any

import torch

import dff.answers
from dff.answers import Answers


def asked(answers: Answers, key: str, voxels: int, told: list[str]) -> None:
    def make() -> Any:
        told.append(key)
        return SimpleNamespace(values=torch.zeros(voxels), scores=None, firm=None)

    assert len(answers.get(key, make).values) == voxels


def test_the_oldest_are_forgotten_when_they_are_too_many(monkeypatch):
    monkeypatch.setattr(dff.answers, "MOST_KEPT", 2)
    answers, told = Answers(), []
    for key in ("a", "b", "a", "c", "a", "b"):
        asked(answers, key, 5, told)
    assert told == ["a", "b", "c", "b"]


def test_or_too_large_but_the_last_one_stays(monkeypatch):
    monkeypatch.setattr(dff.answers, "MOST_BYTES", 1000)
    answers, told = Answers(), []
    for key in ("a", "b"):
        asked(answers, key, 100, told)
    assert answers.bytes == 800
    asked(answers, "c", 100, told)
    asked(answers, "b", 100, told)
    assert told == ["a", "b", "c"]
    asked(answers, "large", 500, told)
    asked(answers, "large", 500, told)
    assert answers.bytes == 2000
    asked(answers, "b", 100, told)
    assert told == ["a", "b", "c", "large", "b"]


def test_without_a_key_it_is_asked_each_time():
    answers = Answers()
    made = iter(["first", "second"])
    found = [answers.get(None, lambda: next(made)) for _ in range(2)]  # type: ignore[arg-type]
    assert found == ["first", "second"]
    assert answers.bytes == 0


def test_a_filling_is_made_once_for_each_selection_and_forgotten_with_it():
    class Asked:
        """A selection, as far as it can be a key."""

    answers, told = Answers(), []
    one, other = Asked(), Asked()

    def make(selection: Any) -> None:
        told.append(selection)  # None is an answer too: nothing can close it

    for selection in (one, other, one):
        assert answers.filling(selection, make) is None  # type: ignore[arg-type]
    assert [each is one for each in told] == [True, False]
    told.clear()
    del one, other, selection
    gc.collect()
    assert len(answers._fillings) == 0
