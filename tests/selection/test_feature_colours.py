"""Features as colours, against sklearn's PCA and by what a picture needs."""

from __future__ import annotations

import torch
from sklearn.decomposition import PCA

from dff.selection.feature_colours import FeatureColours


def some_features(count: int = 400, width: int = 12) -> torch.Tensor:
    directions = torch.randn(4, width)
    return torch.randn(count, 4) @ directions + 0.05 * torch.randn(count, width) + 1.0


def test_axes_are_those_of_a_pca_of_unit_features():
    features = some_features()
    colours = FeatureColours.of(features, torch.ones(len(features)))
    unit = torch.nn.functional.normalize(features.double(), dim=-1)
    reference = PCA(3, svd_solver="full").fit(unit.numpy())
    alike = (torch.from_numpy(reference.components_) @ colours.axes.double()).abs()
    assert torch.allclose(alike, torch.eye(3, dtype=torch.float64), atol=1e-4)


def test_a_weight_counts_like_so_many_copies():
    features, weights = some_features(60), torch.randint(1, 5, (60,))
    weighted = FeatureColours.of(features, weights)
    copies = features.repeat_interleave(weights, dim=0)
    copied = FeatureColours.of(copies, torch.ones(len(copies)))
    assert torch.allclose(weighted.mean, copied.mean, atol=1e-6)
    assert torch.allclose(weighted.axes, copied.axes, atol=1e-4)


def test_colours_do_not_depend_on_length_nor_on_the_view():
    features = some_features()
    colours = FeatureColours.of(features, torch.ones(len(features)))
    whole = colours(features)
    assert torch.allclose(colours(3.0 * features[10:20]), whole[10:20], atol=1e-5)
    assert float(whole.min()) >= 0.0
    assert float(whole.max()) <= 1.0
    # Most of the range is used.
    assert bool((whole.amax(dim=0) - whole.amin(dim=0) > 0.9).all())


def test_nothing_is_black_and_few_dimensions_do():
    colours = FeatureColours.of(some_features(50, 2), torch.ones(50))
    assert colours(torch.zeros(3, 2)).eq(0).all()
    assert colours(some_features(5, 2)).shape == (5, 3)
    empty = FeatureColours.of(torch.zeros(0, 6), torch.zeros(0))
    assert torch.isfinite(empty(torch.randn(4, 6))).all()
