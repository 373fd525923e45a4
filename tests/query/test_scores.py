"""Scores against brute force in float64, and the laws they must keep."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dff.query import (
    QueryEmbedding,
    cosine_scores,
    fold_queries,
    label_probabilities,
    merge_identical,
    query_scores,
    relevancy,
)

RULES = ["softmax", "pairwise"]


def rand(seed: int, *shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def cosine(a: list[float], b: list[float]) -> float:
    length = math.sqrt(sum(x * x for x in a)) * math.sqrt(sum(x * x for x in b))
    return sum(x * y for x, y in zip(a, b, strict=True)) / length if length else 0.0


def brute_force(features, positives, negatives, scale, rule) -> list[float]:
    """The definitions, one feature and one pair at a time, in Python floats."""
    scores = []
    for feature in features.tolist():
        pos = [math.exp(scale * cosine(feature, p)) for p in positives.tolist()]
        neg = [math.exp(scale * cosine(feature, n)) for n in negatives.tolist()]
        if rule == "softmax":
            scores.append(sum(pos) / (sum(pos) + sum(neg)))
        else:
            scores.append(max(min(p / (p + n) for n in neg) for p in pos))
    return scores


sizes = st.tuples(st.integers(1, 4), st.integers(1, 5), st.integers(1, 8))
seeds = st.integers(0, 10_000)
scales = st.floats(0.5, 100.0)


@given(sizes, seeds, scales, st.sampled_from(RULES))
def test_scores_agree_with_brute_force(size, seed, scale, rule):
    p, n, d = size[0], size[1], size[2] + 1
    features, positives, negatives = (
        rand(seed, 7, d) * 3,
        rand(seed + 1, p, d),
        rand(seed + 2, n, d),
    )
    expected = torch.tensor(
        brute_force(features, positives, negatives, scale, rule), dtype=torch.float64
    )
    got = query_scores(features, QueryEmbedding(positives, negatives, scale, rule))
    torch.testing.assert_close(got, expected, rtol=1e-9, atol=1e-12)
    if rule == "pairwise":
        torch.testing.assert_close(relevancy(features, positives, negatives, scale), expected)


@given(sizes, seeds, scales, st.sampled_from(RULES), st.data())
def test_order_and_duplicates_change_nothing(size, seed, scale, rule, data):
    p, n, d = size[0], size[1], size[2] + 1
    features, positives, negatives = rand(seed, 6, d), rand(seed + 1, p, d), rand(seed + 2, n, d)
    before = query_scores(features, QueryEmbedding(positives, negatives, scale, rule))
    more_p = data.draw(st.permutations([*range(p), *data.draw(st.lists(st.integers(0, p - 1)))]))
    more_n = data.draw(st.permutations([*range(n), *data.draw(st.lists(st.integers(0, n - 1)))]))
    query = QueryEmbedding(positives[list(more_p)], negatives[list(more_n)], scale, rule)
    torch.testing.assert_close(query_scores(features, query), before, rtol=1e-9, atol=1e-12)


@given(sizes, seeds, scales, st.data())
def test_label_probabilities_ignore_duplicates_and_sum_to_one(size, seed, scale, data):
    n, d = size[1], size[2] + 1
    features, labels = rand(seed, 6, d), rand(seed + 1, n, d)
    probabilities = label_probabilities(features, labels, scale)
    logits = torch.tensor(
        [[scale * cosine(f, e) for e in labels.tolist()] for f in features.tolist()],
        dtype=torch.float64,
    )
    torch.testing.assert_close(probabilities, logits.softmax(-1), rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(probabilities.sum(-1), torch.ones(6).double())
    order = [*data.draw(st.permutations(range(n))), *data.draw(st.lists(st.integers(0, n - 1)))]
    again = label_probabilities(features, labels[order], scale)
    torch.testing.assert_close(again, probabilities[:, order], rtol=1e-9, atol=1e-12)


@given(seeds, scales, st.sampled_from(RULES))
def test_scores_stay_in_range_and_finite(seed, scale, rule):
    features = rand(seed, 9, 5).float()
    features[0] = 0
    features[1] *= 1e30
    features[2] *= 1e-30
    for dtype in (torch.float16, torch.float32):
        query = QueryEmbedding(rand(seed, 2, 5).float(), rand(seed + 1, 3, 5).float(), scale, rule)
        scores = query_scores(features.to(dtype).nan_to_num(posinf=1, neginf=1), query)
        assert torch.isfinite(scores).all()
        assert ((scores >= 0) & (scores <= 1)).all()


@pytest.mark.parametrize("rule", RULES)
def test_score_grows_towards_the_positive(rule):
    positive, negative = torch.eye(2)[:1], torch.eye(2)[1:]
    angle = torch.linspace(0, math.pi / 2, 50)
    features = torch.stack([angle.sin(), angle.cos()], -1) * torch.linspace(0.1, 9, 50)[:, None]
    scores = query_scores(features, QueryEmbedding(positive, negative, 10.0, rule))
    assert (scores.diff() > 0).all()
    even = query_scores(torch.ones(2), QueryEmbedding(positive, negative, 10.0, rule))
    assert even.item() == pytest.approx(0.5)


def test_zero_features_score_like_no_information_and_have_finite_gradients():
    features = torch.zeros(3, 4, requires_grad=True)
    query = QueryEmbedding(torch.eye(4)[:1], torch.eye(4)[1:3], 10.0, "softmax")
    scores = query_scores(features, query)
    torch.testing.assert_close(scores, torch.full((3,), 1 / 3))
    scores.sum().backward()
    assert torch.isfinite(features.grad).all()


def test_the_callers_tensors_are_left_alone():
    features, positives, negatives = rand(0, 4, 3), rand(1, 2, 3), rand(2, 2, 3)
    copies = [t.clone() for t in (features, positives, negatives)]
    query_scores(features, QueryEmbedding(positives, negatives, 10.0))
    label_probabilities(features, positives, 10.0)
    fold_queries(features, None, rand(3, 2, 4))
    for tensor, copy in zip((features, positives, negatives), copies, strict=True):
        assert torch.equal(tensor, copy)


def test_cosines_of_known_vectors():
    cosines = cosine_scores(
        torch.tensor([[3.0, 4.0], [0.0, 0.0]]), torch.tensor([[2.0, 0], [0, 1]])
    )
    torch.testing.assert_close(cosines, torch.tensor([[0.6, 0.8], [0.0, 0.0]]))


def test_merging_finds_copies_up_to_rounding():
    rows = torch.tensor([[1.0, 2], [3, 1], [1, 2 + 1e-6], [0, 0], [2, 4], [0, 0]])
    keep, group = merge_identical(rows)
    assert keep.tolist() == [0, 1, 3]
    assert group.tolist() == [0, 1, 0, 2, 0, 2]


def test_without_negatives_the_softmax_is_certain():
    query = QueryEmbedding(torch.eye(3)[:1], torch.empty(0, 3), 10.0, "softmax")
    assert torch.equal(query_scores(torch.randn(5, 3), query), torch.ones(5))


def test_queries_that_cannot_be_scored_are_refused():
    empty, some = torch.empty(0, 3), torch.eye(3)
    with pytest.raises(ValueError, match="positive"):
        query_scores(some, QueryEmbedding(empty, some, 1.0))
    with pytest.raises(ValueError, match="negative"):
        query_scores(some, QueryEmbedding(some, empty, 1.0, "pairwise"))


@given(st.integers(1, 12), st.integers(1, 12), st.integers(1, 4), seeds, st.booleans())
def test_folded_equals_decoded(d, h, n, seed, with_bias):
    weight, embeddings = rand(seed, d, h), rand(seed + 1, n, d)
    bias = rand(seed + 2, d) if with_bias else None
    hidden, accumulation = rand(seed + 3, 5, 2, h), rand(seed + 4, 5, 2, 1).abs()
    offset = 0 if bias is None else bias
    folded = fold_queries(weight, bias, embeddings)
    decoded = cosine_scores(hidden @ weight.T + offset, embeddings)
    torch.testing.assert_close(folded.cosines(hidden), decoded, rtol=1e-7, atol=1e-9)
    decoded = cosine_scores(hidden @ weight.T + offset * accumulation, embeddings)
    torch.testing.assert_close(folded.cosines(hidden, accumulation), decoded, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("rule", RULES)
def test_folded_scores_of_a_realistic_layer_in_float32(rule):
    weight, bias, hidden = rand(0, 512, 64).float(), rand(1, 512).float(), rand(2, 300, 64).float()
    query = QueryEmbedding(rand(3, 2, 512).float(), rand(4, 3, 512).float(), 14.0, rule)
    got = fold_queries(weight, bias, query.embeddings).scores(hidden, query)
    want = query_scores(hidden.double() @ weight.double().T + bias.double(), query)
    torch.testing.assert_close(got, want.float(), rtol=1e-4, atol=1e-5)


def test_folding_a_zero_feature_is_defined():
    folded = fold_queries(torch.zeros(4, 3), None, torch.eye(4))
    assert torch.equal(folded.cosines(torch.zeros(2, 3)), torch.zeros(2, 4))
