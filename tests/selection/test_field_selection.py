"""Scores and masks from hidden features, against decoding them first."""

from __future__ import annotations

import pytest
import torch

from dff.query.scores import QueryEmbedding, query_scores
from dff.query.threshold import soft_mask
from dff.selection.field_selection import FieldSelection

HIDDEN, DIM = 6, 11


def query(rule: str = "softmax") -> QueryEmbedding:
    return QueryEmbedding(torch.randn(2, DIM), torch.randn(3, DIM), 8.0, rule)


@pytest.mark.parametrize("rule", ["softmax", "pairwise"])
@pytest.mark.parametrize("shape", [(40,), (5, 8), (0,)])
def test_scores_equal_those_of_decoded_features(rule, shape):
    decoder = torch.randn(DIM, HIDDEN)
    hidden = torch.randn(*shape, HIDDEN)
    asked = query(rule)
    found = FieldSelection.make(asked, decoder, 0.5).scores(hidden)
    expected = query_scores(hidden.double() @ decoder.double().T, asked)
    torch.testing.assert_close(found.double(), expected.double(), rtol=1e-4, atol=1e-5)


def test_a_point_without_features_is_never_selected():
    selection = FieldSelection.make(query(), torch.randn(DIM, HIDDEN), 0.01, 0.01)
    hidden = torch.randn(4, HIDDEN)
    hidden[1] = 0.0
    assert float(selection.scores(hidden)[1]) == 0.0
    assert float(selection.mask(hidden)[1]) == 0.0


@pytest.mark.parametrize("softness", [0.0, 0.05, 0.3])
def test_the_mask_is_the_soft_mask_of_the_scores(softness):
    selection = FieldSelection.make(query(), torch.randn(DIM, HIDDEN), 0.6, softness)
    hidden = torch.randn(200, HIDDEN)
    mask = selection.mask(hidden)
    assert torch.equal(mask, soft_mask(selection.scores(hidden), 0.6, softness))
    assert 0 < float(mask.mean()) < 1


def test_later_training_of_the_decoder_does_not_reach_a_selection():
    decoder = torch.nn.Linear(HIDDEN, DIM, bias=False)
    selection = FieldSelection.make(query(), decoder.weight, 0.5)
    hidden = torch.randn(10, HIDDEN)
    before = selection.scores(hidden)
    with torch.no_grad():
        decoder.weight.mul_(-1)
    assert torch.equal(selection.scores(hidden), before)
    assert not before.requires_grad
