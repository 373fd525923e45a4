"""Prototypes: k-means against closed forms, and outlines told from what surrounds them."""

from __future__ import annotations

import pytest
import torch

from dff.errors import DffError
from dff.query.prototypes import ALIKE, cluster, foreground_prototypes, nearer_to, prototypes_of
from dff.query.scores import cosine_scores, normalise


def around(direction: torch.Tensor, count: int, noise: float = 0.05) -> torch.Tensor:
    """Features scattered about a direction, of lengths that should not matter."""
    scattered = normalise(direction) + noise * torch.randn(count, len(direction))
    return scattered * torch.rand(count, 1).add(0.5)


AXES = torch.eye(8)


def test_one_group_is_the_mean_direction():
    features = around(AXES[0] + AXES[1], 40, noise=0.3)
    expected = normalise(normalise(features).mean(dim=0))
    torch.testing.assert_close(cluster(features, 1)[0], expected)
    weights = torch.rand(40)
    expected = normalise((normalise(features) * weights[:, None]).sum(dim=0))
    torch.testing.assert_close(cluster(features, 1, weights)[0], expected)


def test_groups_that_are_apart_are_found():
    features = torch.cat([around(AXES[k], 50 + 30 * k) for k in range(3)])
    found = cluster(features[torch.randperm(len(features))], 3)
    assert float(cosine_scores(AXES[:3], found).amax(dim=-1).min()) > 0.99
    torch.testing.assert_close(found.norm(dim=-1), torch.ones(3))


def test_as_many_prototypes_as_are_needed():
    assert len(prototypes_of(around(AXES[0], 100, noise=0.02))) == 1
    two = torch.cat([around(AXES[0], 100), around(AXES[1], 100)])
    assert len(prototypes_of(two)) == 2
    assert len(prototypes_of(torch.randn(500, 8))) == 4
    assert float(cosine_scores(two, prototypes_of(two)).amax(dim=-1).mean()) >= ALIKE


def test_the_same_features_give_the_same_prototypes():
    features = torch.randn(300, 8)
    assert torch.equal(prototypes_of(features), prototypes_of(features.clone()))


def test_a_few_equal_features_are_one_prototype():
    features = AXES[:1].expand(5, 8)
    torch.testing.assert_close(cluster(features, 4), AXES[:1])
    torch.testing.assert_close(prototypes_of(2 * features), AXES[:1])


def test_features_that_are_zero_do_not_count():
    features = torch.cat([torch.zeros(10, 8), AXES[:1]])
    torch.testing.assert_close(prototypes_of(features), AXES[:1])
    for nothing in (torch.zeros(4, 8), torch.zeros(0, 8)):
        with pytest.raises(DffError, match="nothing is seen"):
            prototypes_of(nothing)


def test_what_an_outline_holds_besides_the_thing_is_given_up():
    thing, table = around(AXES[0], 60), around(AXES[1], 40)
    positives, negatives = foreground_prototypes(torch.cat([thing, table]), around(AXES[1], 80))
    assert float(cosine_scores(AXES[1:2], positives).max()) < 0.3
    assert float(cosine_scores(AXES[:1], positives).max()) > 0.99
    assert nearer_to(thing, positives, negatives).all()
    assert not nearer_to(table, positives, negatives).any()


def test_surroundings_that_look_like_the_thing_say_nothing():
    positives, negatives = foreground_prototypes(
        around(AXES[0], 50, noise=0.01), around(AXES[0], 50, noise=0.01)
    )
    assert len(negatives) == 0
    assert float(cosine_scores(AXES[:1], positives).max()) > 0.99
    alone, none = foreground_prototypes(around(AXES[0], 50), torch.zeros(0, 8))
    assert len(none) == 0
    assert float(cosine_scores(AXES[:1], alone).max()) > 0.99
