"""The closed vocabulary of the mini teacher."""

from __future__ import annotations

import json

import pytest

from dff.data.generated.colours import colour_names
from dff.data.generated.finishes import material_names
from dff.data.generated.objects import object_names
from dff.errors import DffError
from dff.teachers.mini_vocabulary import Vocabulary, pad_tokens


def test_every_word_has_one_number_and_no_kind_shares_a_word() -> None:
    words = Vocabulary(object_names(), colour_names(), material_names()).words
    assert len(set(words)) == len(words)


def test_tokens_drop_fillers_case_and_marks() -> None:
    words = Vocabulary(("apple",), ("red", "gray"))
    assert words.tokens("The red apple!") == (words.number("red"), words.number("apple"))
    assert words.tokens("grey") == (words.number("gray"),)
    with pytest.raises(DffError, match="knows: apple, table, background; colours: red, gray"):
        words.tokens("red pear")


def test_materials_are_words_like_others_and_listed_with_them() -> None:
    words = Vocabulary(("apple",), ("red",), ("wooden", "metal"))
    assert words.tokens("red wooden apple") == tuple(
        words.number(word) for word in ("red", "wooden", "apple")
    )
    assert words.tokens("wood") == (words.number("wooden"),)
    with pytest.raises(DffError, match="colours: red; materials: wooden, metal"):
        words.tokens("glass apple")


def test_a_vocabulary_from_before_materials_is_read() -> None:
    text = Vocabulary(("apple",), ("red",)).to_json()
    old = {k: v for k, v in json.loads(text).items() if k != "materials"}
    assert Vocabulary.from_json(json.dumps(old)).materials == ()


def test_json_keeps_it() -> None:
    words = Vocabulary(("apple", "mug"), ("red",), ("metal",), same={"cup": "mug"})
    assert Vocabulary.from_json(words.to_json()) == words
    assert words.tokens("cup") == words.tokens("mug")


def test_padding_fills_rows() -> None:
    assert pad_tokens([(1, 2), (3,)], 9) == [[1, 2], [3, 9]]
