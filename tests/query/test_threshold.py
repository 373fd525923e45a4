"""Otsu's threshold against a search over all cuts in plain Python; the soft mask's shape."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dff.errors import DffError
from dff.query import otsu_threshold, select_threshold, soft_mask
from dff.query.threshold import parse_threshold


def within_class_variance(values: list[float], cut: float) -> float:
    """Sum of squared distances to the mean of one's own class: what Otsu's cut makes least."""
    total = 0.0
    for part in ([v for v in values if v < cut], [v for v in values if v >= cut]):
        if part:
            mean = sum(part) / len(part)
            total += sum((v - mean) ** 2 for v in part)
    return total


@given(st.lists(st.integers(0, 255), min_size=2, max_size=60))
def test_no_other_cut_separates_better(bins):
    values = [(b + 0.5) / 256 for b in bins]
    threshold = otsu_threshold(torch.tensor(values, dtype=torch.float64))
    assert 0 < threshold < 1
    if len(set(bins)) == 1:
        assert threshold == 0.5
        return
    best = min(within_class_variance(values, k / 256) for k in range(1, 256))
    assert within_class_variance(values, threshold) == pytest.approx(best, rel=1e-9, abs=1e-12)


def test_the_cut_lies_midway_in_the_gap():
    scores = torch.cat([torch.full((900,), 0.1), torch.full((100,), 0.9)])
    assert otsu_threshold(scores) == pytest.approx(0.5, abs=1 / 256)


@pytest.mark.parametrize("value", [0.0, 0.3, 1.0])
def test_equal_scores_fall_back_to_even_odds(value):
    assert otsu_threshold(torch.full((5, 5), value)) == 0.5


def test_values_that_are_not_finite_are_left_out():
    scores = torch.tensor([0.1, 0.1, 0.9, float("nan"), float("inf")])
    assert otsu_threshold(scores) == otsu_threshold(scores[:3])
    for nothing in (torch.empty(0), torch.tensor([float("nan")])):
        with pytest.raises(DffError, match="no scores"):
            otsu_threshold(nothing)


def test_modes():
    scores = torch.tensor([0.0, 0.1, 0.2, 0.4])
    assert select_threshold(scores, "otsu") == otsu_threshold(scores)
    assert select_threshold(scores, "even") == 0.5
    assert select_threshold(scores, 0.25) == 0.25
    for bad in ("ostu", "top0%", "top101%", "top%", 1.5, float("nan"), True):
        with pytest.raises(DffError, match="threshold"):
            select_threshold(scores, bad)


@given(
    st.lists(st.tuples(st.floats(0, 1, width=32), st.integers(1, 5)), min_size=1, max_size=30),
    st.integers(1, 100),
)
def test_a_share_is_the_least_that_holds_it(pairs, percent):
    scores = torch.tensor([score for score, _ in pairs])
    weights = torch.tensor([weight for _, weight in pairs])
    threshold = select_threshold(scores, f"top{percent}%", weights)
    reached, beyond = scores >= threshold, scores > threshold
    wanted = percent / 100 * int(weights.sum())
    assert int(weights[reached].sum()) >= wanted - 1e-6
    assert int(weights[beyond].sum()) < wanted + 1e-6


def test_thresholds_as_people_write_them():
    assert parse_threshold(None) is None
    assert parse_threshold("0.25") == 0.25
    assert parse_threshold("top2.5%") == "top2.5%"
    for bad in ("", "a lot", "1.5", "nan", "top5"):
        with pytest.raises(DffError, match="threshold"):
            parse_threshold(bad)


unit = st.floats(0, 1, width=32)


@given(st.lists(unit, min_size=1, max_size=30), unit, st.floats(0, 0.5, width=32))
def test_soft_mask_is_a_monotone_cut(scores, threshold, softness):
    # A rim finer than single precision is a hard cut: at the threshold itself it selects.
    softness = 0.0 if softness < 1e-6 else softness
    ordered = torch.tensor(sorted(scores), dtype=torch.float64)
    mask = soft_mask(ordered, threshold, softness)
    assert ((mask >= 0) & (mask <= 1)).all()
    assert (mask.diff() >= 0).all()
    assert (mask[ordered >= threshold + softness] == 1).all()
    if threshold > 0:
        assert (mask[ordered <= threshold - softness] == 0).all() or softness == 0
        assert (mask[ordered == 0] == 0).all()
    assert (mask[ordered == 1] == 1).all()
    hard = soft_mask(ordered, threshold, 0.0)
    assert torch.equal(hard, (ordered >= threshold).double())


def test_soft_mask_between_is_a_smoothstep():
    scores = torch.tensor([0.39, 0.40, 0.45, 0.50, 0.55, 0.60, 0.61], dtype=torch.float64)
    expected = torch.tensor([0, 0, 0.15625, 0.5, 0.84375, 1, 1], dtype=torch.float64)
    torch.testing.assert_close(soft_mask(scores, 0.5, 0.1), expected)
