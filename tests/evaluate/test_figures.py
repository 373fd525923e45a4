"""IoU, confusion and PSNR, by hand and against scikit-learn."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from sklearn.metrics import accuracy_score, confusion_matrix, jaccard_score

from dff.evaluate import Confusion, intersection_over_union, psnr


def test_iou_by_hand():
    mask = torch.tensor([[1, 1, 0], [0, 0, 0]], dtype=torch.bool)
    truth = torch.tensor([[0, 1, 1], [0, 1, 0]], dtype=torch.bool)
    assert intersection_over_union(mask, truth) == 1 / 4
    assert intersection_over_union(mask, mask) == 1.0
    assert intersection_over_union(mask, ~mask) == 0.0
    nothing = torch.zeros(2, 3, dtype=torch.bool)
    assert intersection_over_union(nothing, truth) == 0.0
    assert math.isnan(intersection_over_union(nothing, nothing))


def test_iou_equals_scikit_learns():
    rng = np.random.default_rng(0)
    for _ in range(10):
        mask, truth = rng.random((2, 20, 30)) > rng.random()
        found = intersection_over_union(torch.from_numpy(mask), torch.from_numpy(truth))
        assert found == pytest.approx(jaccard_score(truth.ravel(), mask.ravel()))


def test_confusion_equals_scikit_learns():
    rng = np.random.default_rng(1)
    confusion = Confusion.empty(5)
    all_truth, all_predicted = [], []
    for size in [(4, 6), (10, 3), (7, 7)]:  # pictures of different sizes
        truth, predicted = rng.integers(0, 5, size), rng.integers(0, 5, size)
        confusion = confusion.add(torch.from_numpy(predicted), torch.from_numpy(truth))
        all_truth.append(truth.ravel())
        all_predicted.append(predicted.ravel())
    truth, predicted = np.concatenate(all_truth), np.concatenate(all_predicted)
    assert np.array_equal(confusion.counts.numpy(), confusion_matrix(truth, predicted))
    each = jaccard_score(truth, predicted, average=None)
    np.testing.assert_allclose(confusion.ious, each)
    assert confusion.mean_iou() == pytest.approx(each.mean())
    assert confusion.mean_iou([1, 3]) == pytest.approx((each[1] + each[3]) / 2)
    assert confusion.accuracy == pytest.approx(accuracy_score(truth, predicted))


def test_unlabelled_pixels_do_not_count_and_absent_classes_are_left_out():
    truth = torch.tensor([0, 0, 1, -1, -1])
    predicted = torch.tensor([0, 1, 1, 0, 2])
    confusion = Confusion.empty(4).add(predicted, truth)
    assert confusion.counts.sum() == 3
    assert confusion.ious[:2] == [0.5, 0.5]
    assert all(math.isnan(value) for value in confusion.ious[2:])
    assert confusion.mean_iou() == 0.5
    assert math.isnan(confusion.mean_iou([2, 3]))


def test_a_class_that_is_predicted_but_never_true_counts_as_nought():
    confusion = Confusion.empty(2).add(torch.tensor([0, 1]), torch.tensor([0, 0]))
    assert confusion.ious == [0.5, 0.0]
    assert confusion.mean_iou() == 0.25


def test_nothing_seen_yet_is_not_a_number():
    empty = Confusion.empty(3)
    assert math.isnan(empty.accuracy)
    assert math.isnan(empty.mean_iou())


def test_adding_leaves_the_old_one_as_it_was():
    first = Confusion.empty(2)
    first.add(torch.tensor([1]), torch.tensor([1]))
    assert first.counts.sum() == 0


@pytest.mark.parametrize("wrong", [-1, 2, 7])
def test_a_prediction_that_is_no_class_is_not_counted_as_another(wrong):
    try:
        counts = Confusion.empty(2).add(torch.tensor([wrong]), torch.tensor([1])).counts
    except (ValueError, IndexError, RuntimeError):
        return
    assert counts.shape == (2, 2)
    assert counts[0].sum() == 0


def test_psnr_by_hand():
    black = torch.zeros(2, 2, 3)
    assert psnr(black + 0.1, black) == pytest.approx(20.0, abs=1e-5)
    assert psnr(black + 1.0, black) == pytest.approx(0.0)
    assert psnr(black, black) == math.inf


def test_psnr_counts_only_where_asked():
    image, reference = torch.zeros(2, 2, 3), torch.zeros(2, 2, 3)
    image[0, 0] = 1.0
    image[1] = 0.01
    where = torch.tensor([[False, False], [True, True]])
    assert psnr(image, reference, where) == pytest.approx(40.0, abs=1e-4)
    assert math.isnan(psnr(image, reference, torch.zeros(2, 2, dtype=torch.bool)))


def test_psnr_does_not_lose_small_errors_to_rounding():
    image = torch.full((500, 500, 3), 0.5)
    assert psnr(image + 2**-20, image) == pytest.approx(20 * 20 * math.log10(2), abs=1e-3)
