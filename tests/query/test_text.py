"""What the user types, checked."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from dff.errors import DffError
from dff.query import TextQuery, clean_prompts, embed_query


def fake_teacher(**changes):
    """A teacher whose embedding of a phrase is a one-hot vector of its number."""
    words = ["object", "things", "stuff", "texture", "apple", "banana", "table"]

    def encode_text(phrases):
        return torch.eye(len(words))[[words.index(p) for p in phrases]]

    values = {
        "name": "fake",
        "has_text": True,
        "logit_scale": 20.0,
        "canonical_phrases": ("object", "things", "stuff", "texture"),
        "encode_text": encode_text,
    }
    return SimpleNamespace(**{**values, **changes})


def test_prompts_are_stripped_and_said_once():
    assert clean_prompts(["  red   apple ", "banana", "Red Apple"]) == ("red apple", "banana")
    assert clean_prompts("apple") == ("apple",)


@pytest.mark.parametrize(
    ("prompts", "says"),
    [
        ([""], "empty"),
        (["  \t"], "empty"),
        (["a" * 201], "201 characters"),
        (["a\x00b"], "control"),
        (["\ud800"], "control"),
        ([3], "must be text"),
        (["a"] * 1001, "too many"),
    ],
)
def test_bad_prompts_are_refused_in_one_line(prompts, says):
    with pytest.raises(DffError, match=says) as caught:
        clean_prompts(prompts)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"positives": ()}, "only negatives"),
        ({"positives": ("apple",), "negatives": ("Apple",)}, "both wanted and not wanted"),
        ({"positives": ("apple",), "threshold": 1.5}, "threshold"),
        ({"positives": ("apple",), "threshold": float("nan")}, "threshold"),
        ({"positives": ("apple",), "temperature": 0.0}, "temperature"),
        ({"positives": ("apple",), "temperature": True}, "temperature"),
    ],
)
def test_bad_queries_are_refused(arguments, says):
    with pytest.raises(DffError, match=says):
        TextQuery(**arguments)


def test_without_negatives_the_canonical_phrases_are_compared_with():
    query = embed_query(fake_teacher(), TextQuery(("apple",)))
    assert query.rule == "pairwise"
    assert query.scale == 20.0
    assert torch.equal(query.positives, torch.eye(7)[[4]])
    assert torch.equal(query.negatives, torch.eye(7)[:4])


def test_with_negatives_the_softmax_is_taken_at_the_given_temperature():
    query = embed_query(fake_teacher(), TextQuery(("apple",), ("banana", "table"), 0.1))
    assert query.rule == "softmax"
    assert query.scale == pytest.approx(10.0)
    assert torch.equal(query.negatives, torch.eye(7)[5:])


def test_a_canonical_phrase_asked_for_is_no_negative():
    assert len(embed_query(fake_teacher(), TextQuery(("object",))).negatives) == 3


def test_teachers_that_cannot_answer_say_so():
    with pytest.raises(DffError, match="understands no text"):
        embed_query(fake_teacher(has_text=False), TextQuery(("apple",)))
    with pytest.raises(DffError, match="give negatives"):
        embed_query(fake_teacher(canonical_phrases=()), TextQuery(("apple",)))
