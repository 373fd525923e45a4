"""Prompts: ensembled as a brute force would, encoded once and in batches, checked."""

from __future__ import annotations

import hashlib
from collections import OrderedDict

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from dff.errors import DffError
from dff.teachers.prompts import MAX_LENGTH, PromptEncoder, clean_phrase


def embedding(sentence: str) -> Tensor:
    """Some vector, of any length, that belongs to a sentence."""
    seed = int.from_bytes(hashlib.sha256(sentence.encode()).digest()[:4], "big")
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(5, generator=generator) * (1 + seed % 7)


class Tower:
    """Counts what it is asked."""

    def __init__(self) -> None:
        self.asked: list[list[str]] = []

    def __call__(self, sentences: list[str]) -> Tensor:
        self.asked.append(list(sentences))
        return torch.stack([embedding(each) for each in sentences])


def test_one_template_gives_the_towers_embedding_at_unit_length() -> None:
    tower = Tower()
    encoder = PromptEncoder(tower)
    features = encoder(["apple", "mug"])
    wanted = torch.stack([embedding("apple"), embedding("mug")])
    assert torch.allclose(features, wanted / wanted.norm(dim=1, keepdim=True), atol=1e-6)
    assert tower.asked == [["apple", "mug"]]


@pytest.mark.parametrize("batch", [1, 2, 3, 64])
def test_templates_are_ensembled_as_the_mean_of_unit_vectors(batch) -> None:
    templates = ["a photo of a {}.", "{}", "the {} on a table", "{}"]
    phrases = ["apple", "red mug", "table"]
    tower = Tower()
    features = PromptEncoder(tower, templates, batch=batch)(phrases)
    for row, phrase in zip(features, phrases, strict=True):
        total = torch.zeros(5, dtype=torch.float64)
        for template in ["a photo of a {}.", "{}", "the {} on a table"]:  # each counts once
            vector = embedding(template.replace("{}", phrase)).double()
            total += vector / vector.norm()
        assert torch.allclose(row.double(), total / total.norm(), atol=1e-6)
    assert max(len(sentences) for sentences in tower.asked) <= batch
    assert sum(len(sentences) for sentences in tower.asked) == 9


def test_rows_are_in_the_order_of_the_phrases_and_doubles_are_encoded_once() -> None:
    tower = Tower()
    features = PromptEncoder(tower)(["mug", "apple", " mug ", "red  mug", "red mug"])
    assert tower.asked == [["mug", "apple", "red mug"]]
    assert torch.equal(features[0], features[2])
    assert torch.equal(features[3], features[4])
    assert torch.allclose(features[1], F.normalize(embedding("apple"), dim=0), atol=1e-6)


def test_what_is_known_is_not_encoded_again() -> None:
    tower = Tower()
    encoder = PromptEncoder(tower)
    first = encoder(["apple", "mug"])
    assert torch.equal(encoder(["mug", "apple"]), first.flip(0))
    encoder(["apple", "bowl"])
    assert tower.asked == [["apple", "mug"], ["bowl"]]


def test_the_least_recently_used_goes_first() -> None:
    tower = Tower()
    encoder = PromptEncoder(tower, capacity=2)
    encoder(["a"])
    encoder(["b"])
    encoder(["a"])  # b is now the oldest
    encoder(["c"])
    encoder(["a"])
    assert tower.asked == [["a"], ["b"], ["c"]]
    encoder(["b"])
    assert tower.asked[3:] == [["b"]]
    assert len(encoder._known) == 2


def test_a_call_larger_than_the_memory_is_answered_all_the_same() -> None:
    tower = Tower()
    encoder = PromptEncoder(tower, capacity=2)
    names = [f"name {i}" for i in range(7)]
    features = encoder(names)
    wanted = F.normalize(torch.stack([embedding(name) for name in names]), dim=1)
    assert torch.allclose(features, wanted, atol=1e-6)
    assert len(encoder._known) == 2
    assert torch.allclose(encoder(names[::-1]), wanted.flip(0), atol=1e-6)


@given(
    st.integers(1, 4),
    st.lists(st.lists(st.sampled_from("abcdefg"), min_size=1, max_size=5), max_size=12),
)
def test_the_memory_is_that_of_a_plain_lru(capacity, calls) -> None:
    tower = Tower()
    encoder = PromptEncoder(tower, capacity=capacity)
    model: OrderedDict[str, None] = OrderedDict()
    for phrases in calls:
        distinct = list(dict.fromkeys(phrases))
        new = [phrase for phrase in distinct if phrase not in model]
        before = len(tower.asked)
        encoder(phrases)
        assert tower.asked[before:] == ([new] if new else [])
        for phrase in [each for each in distinct if each not in new] + new:
            model[phrase] = None
            model.move_to_end(phrase)
        while len(model) > capacity:
            model.popitem(last=False)
        assert set(encoder._known) == set(model)


def test_a_failed_call_leaves_nothing_behind() -> None:
    tower = Tower()
    encoder = PromptEncoder(tower)
    with pytest.raises(DffError):
        encoder(["apple", ""])
    assert tower.asked == []
    assert not encoder._known


def test_what_is_returned_may_be_changed_without_harm() -> None:
    encoder = PromptEncoder(Tower())
    first = encoder(["apple"])
    kept = first.clone()
    first.zero_()
    assert torch.equal(encoder(["apple"]), kept)


def test_half_precision_towers_give_single_precision() -> None:
    encoder = PromptEncoder(lambda sentences: torch.ones(len(sentences), 4).half())
    assert encoder(["apple"]).dtype == torch.float32


def test_a_phrase_with_braces_is_taken_literally() -> None:
    tower = Tower()
    PromptEncoder(tower, ["a {}"])(["{} {0} %s"])
    assert tower.asked == [["a {} {0} %s"]]


@pytest.mark.parametrize(
    ("phrases", "message"),
    [
        ([], "a list of at least one phrase"),
        ((), "a list of at least one phrase"),
        ("apple", "a list of at least one phrase"),
        ([""], "is empty"),
        (["apple", " \t\n"], "is empty"),
        ([3], "must be text, not int"),
        ([None], "must be text, not NoneType"),
        (["x" * (MAX_LENGTH + 1)], f"of {MAX_LENGTH + 1} characters is too long: at most"),
    ],
)
def test_phrases_that_are_none_are_refused(phrases, message) -> None:
    with pytest.raises(DffError, match=message) as caught:
        PromptEncoder(Tower())(phrases)
    assert "\n" not in str(caught.value)


def test_the_longest_phrase_is_allowed_and_spaces_do_not_count() -> None:
    assert clean_phrase("x" * MAX_LENGTH) == "x" * MAX_LENGTH
    assert clean_phrase("  a" + " " * MAX_LENGTH + "b\n") == "a b"


@pytest.mark.parametrize(
    "templates", [(), [], "a {}", ["a photo"], ["{} and {}"], ["{}", "x"], [3]]
)
def test_templates_without_a_place_are_refused(templates) -> None:
    with pytest.raises(DffError, match="template"):
        PromptEncoder(Tower(), templates)
