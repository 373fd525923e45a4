"""Which teacher answers: words, clicks, and what the user says."""

from __future__ import annotations

import math

import pytest
import torch

from dff.checkpoint import TeacherRecord
from dff.errors import DffError
from dff.query.routing import likeness_teachers, product_of_scores, text_teacher

CLIP = TeacherRecord("clip", 8, "a", has_text=True)
LSEG = TeacherRecord("lseg", 8, "b", has_text=True)
DINO = TeacherRecord("dino", 6, "c", has_text=False)


def test_words_go_to_the_first_teacher_with_a_text_tower():
    assert text_teacher([CLIP, DINO]) == "clip"
    assert text_teacher([DINO, CLIP]) == "clip"
    assert text_teacher([LSEG, CLIP]) == "lseg"
    assert text_teacher([LSEG, CLIP], "clip") == "clip"


def test_what_is_shown_goes_to_the_teacher_without_one():
    assert likeness_teachers([CLIP, DINO]) == ("dino",)
    assert likeness_teachers([CLIP]) == ("clip",)
    assert likeness_teachers([LSEG, CLIP]) == ("lseg", "clip")
    assert likeness_teachers([CLIP, DINO], "clip") == ("clip",)
    assert likeness_teachers([CLIP, DINO], "product") == ("clip", "dino")


def test_what_cannot_be_answered_says_why():
    with pytest.raises(DffError, match="no teacher of this scene understands text"):
        text_teacher([DINO])
    with pytest.raises(DffError, match="trained without features: add a teacher by `dff features"):
        text_teacher([])
    with pytest.raises(
        DffError, match="not distilled from teacher 'mini', but from 'clip', 'dino'"
    ):
        text_teacher([CLIP, DINO], "mini")
    with pytest.raises(DffError, match="not distilled from teacher 'mini'"):
        likeness_teachers([CLIP], "mini")
    with pytest.raises(DffError, match="'product' is for clicks and patches"):
        text_teacher([CLIP, DINO], "product")
    for asked in (None, "product"):
        with pytest.raises(DffError):
            likeness_teachers([], asked)


def test_the_product_is_the_geometric_mean():
    a, b = torch.tensor([0.9, 0.5, 0.0, 1.0]), torch.tensor([0.4, 0.5, 0.7, 1.0])
    expected = [math.sqrt(0.36), 0.5, 0.0, 1.0]
    torch.testing.assert_close(product_of_scores([a, b]), torch.tensor(expected))
    torch.testing.assert_close(product_of_scores([a]), a)
    torch.testing.assert_close(product_of_scores([a, a, a]), a)
