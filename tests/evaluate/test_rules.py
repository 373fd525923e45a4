"""Counts, published rules, prompts and pictures: by hand, and against other libraries."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from skimage.metrics import structural_similarity
from sklearn.metrics import accuracy_score, jaccard_score
from torchmetrics.classification import BinaryJaccardIndex

from dff.evaluate.counts import (
    Counts,
    mean_where_present,
    pooled_accuracy,
    pooled_iou,
    share_above,
)
from dff.evaluate.masks import boundary_iou
from dff.evaluate.pictures import LPIPS_WEIGHTS, load_lpips, ssim
from dff.evaluate.prompts import best_threshold, box_of, deepest
from dff.evaluate.relevancy_rules import is_localised, mean_filtered, rendered_mask
from dff.evaluate.segmentation import cosines_of_map
from dff.query.scores import cosine_scores


def masks(seed: int = 0, pictures: int = 4) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    mask, truth, known = (
        rng.random((3, pictures, 20, 30)) > np.array([0.4, 0.5, 0.2])[:, None, None, None]
    )
    return mask, truth, known


def counts_of(mask: np.ndarray, truth: np.ndarray, known: np.ndarray) -> list[Counts]:
    parts = (torch.from_numpy(each) for each in (mask, truth, known))
    return [Counts.of(*three) for three in zip(*parts, strict=True)]


def test_pooled_figures_equal_scikit_learns_and_torchmetrics():
    mask, truth, known = masks()
    counts = counts_of(mask, truth, known)
    expected = jaccard_score(truth[known], mask[known])
    assert pooled_iou(counts) == pytest.approx(expected)
    index = BinaryJaccardIndex()
    found = index(torch.from_numpy(mask[known]).int(), torch.from_numpy(truth[known]).int())
    assert pooled_iou(counts) == pytest.approx(float(found), abs=1e-6)
    assert pooled_accuracy(counts) == pytest.approx(accuracy_score(truth[known], mask[known]))


def test_published_means_count_pictures_that_show_the_thing():
    truth = torch.zeros(3, 4, 4, dtype=torch.bool)
    truth[0, :2], truth[1, :1] = True, True
    mask = torch.zeros_like(truth)
    mask[0, :2], mask[1, :4], mask[2, 0, 0] = True, True, True
    known = torch.ones_like(mask)
    counts = [Counts.of(*three) for three in zip(mask, truth, known, strict=True)]
    # IoU 1 and 1/4; the third picture does not show it, and counts when pixels are pooled.
    assert mean_where_present(counts) == pytest.approx((1 + 0.25) / 2)
    assert share_above(counts, 0.25) == 0.5
    assert share_above(counts, 0.2) == 1.0
    assert pooled_iou(counts) == pytest.approx((8 + 4) / (8 + 16 + 1))
    assert counts[0].boundary == boundary_iou(mask[0], truth[0])


def test_nothing_anywhere_is_not_a_number():
    nothing = torch.zeros(4, 4, dtype=torch.bool)
    counts = [Counts.of(nothing, nothing, ~nothing)]
    assert math.isnan(pooled_iou(counts))
    assert math.isnan(mean_where_present(counts))
    assert math.isnan(pooled_accuracy([]))


def test_the_highest_relevancy_must_lie_in_a_box():
    relevancy = torch.zeros(40, 60)
    relevancy[10:16, 20:28] = 0.8
    relevancy[30, 50] = 1.0
    # The single pixel is highest; over a square it is not.
    assert is_localised(relevancy, [(50, 30, 50, 30)], width=1)
    assert not is_localised(relevancy, [(20, 10, 27, 15)], width=1)
    assert is_localised(relevancy, [(0, 0, 1, 1), (20, 10, 27, 15)], width=5)
    assert not is_localised(relevancy, [(50, 30, 50, 30)], width=5)


def test_mean_filter_equals_a_convolution_inside():
    relevancy = torch.rand(20, 25, dtype=torch.float64)
    expected = F.conv2d(relevancy[None, None], torch.full((1, 1, 5, 5), 1 / 25).double())[0, 0]
    torch.testing.assert_close(mean_filtered(relevancy, 5)[2:-2, 2:-2], expected)


def test_the_published_mask_is_the_upper_part_of_the_stretched_map():
    ramp = torch.linspace(0.3, 0.5, 101)[None].expand(60, 101)
    # Without filters: 2 t - 1 > 0.4 where t, from 0 to 1, is above 0.7.
    mask = rendered_mask(ramp, width=1)
    columns = mask.double().mean(dim=0)
    assert columns[:70].max() == 0
    assert columns[72:].min() == 1
    assert torch.equal(rendered_mask(0.1 + 0.5 * ramp, width=1), mask)


def test_clicks_are_deep_and_boxes_tight():
    mask = torch.zeros(20, 30, dtype=torch.bool)
    mask[5:12, 10:17] = True
    assert deepest(mask) == (13.5, 8.5)
    assert box_of(mask) == (10, 5, 17, 12)
    with pytest.raises(ValueError, match="empty"):
        deepest(torch.zeros(3, 3, dtype=torch.bool))
    with pytest.raises(ValueError, match="empty"):
        box_of(torch.zeros(3, 3, dtype=torch.bool))


def test_the_best_threshold_parts_what_can_be_parted():
    truth = torch.zeros(10, 10, dtype=torch.bool)
    truth[3:7] = True
    scores = torch.rand(10, 10) * 0.3 + 0.5 * truth
    threshold = best_threshold(scores, truth)
    assert torch.equal(scores >= threshold, truth)


def test_cosines_of_a_map_are_those_of_interpolated_features(monkeypatch):
    monkeypatch.setattr("dff.evaluate.segmentation._BAND", 100)  # several bands
    features, embeddings = torch.randn(5, 7, 6), torch.randn(3, 6)
    full = F.interpolate(
        features.movedim(-1, 0)[None], (31, 44), mode="bilinear", align_corners=False
    )
    expected = cosine_scores(full[0].movedim(0, -1), embeddings)
    found = cosines_of_map(features, embeddings, (31, 44))
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


def test_ssim_equals_scikit_images():
    rng = np.random.default_rng(0)
    first = rng.random((40, 50, 3))
    second = np.clip(first + 0.1 * rng.standard_normal(first.shape), 0, 1)
    expected, full = structural_similarity(
        first,
        second,
        data_range=1.0,
        channel_axis=-1,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
        full=True,
    )
    found = ssim(torch.from_numpy(first), torch.from_numpy(second))
    assert found == pytest.approx(float(full[5:-5, 5:-5].mean()), abs=2e-3)
    assert found == pytest.approx(float(expected), abs=5e-3)
    assert ssim(torch.from_numpy(first), torch.from_numpy(first)) == pytest.approx(1.0)
    assert math.isnan(ssim(torch.zeros(5, 5, 3), torch.zeros(5, 5, 3)))


def test_lpips_is_left_out_and_said_so_where_its_weights_are_not(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))

    def no_download(*args, **kwargs):
        raise AssertionError("nothing may be downloaded")

    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", no_download)
    distance, why = load_lpips()
    assert distance is None
    assert str(tmp_path) in why
    assert LPIPS_WEIGHTS in why
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / LPIPS_WEIGHTS).write_bytes(b"half a file")
    assert load_lpips()[0] is None


@pytest.mark.slow
def test_lpips_is_taken_where_its_weights_are(tmp_path, monkeypatch):
    from torchvision.models import alexnet

    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    (tmp_path / "checkpoints").mkdir()
    torch.save(alexnet(weights=None).state_dict(), tmp_path / "checkpoints" / LPIPS_WEIGHTS)
    distance, why = load_lpips()
    assert distance is not None
    assert why == ""
    picture = torch.rand(64, 64, 3)
    assert distance(picture, picture) == pytest.approx(0.0, abs=1e-6)
    assert distance(picture, torch.rand(64, 64, 3)) > 0
