"""Prototypes: feature vectors that stand for what was clicked or shown."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from sklearn.cluster import KMeans
from torch import Tensor

from dff.errors import DffError
from dff.query.scores import cosine_scores, normalise

MOST_PROTOTYPES = 4
# Mean cosine with the nearest prototype from which on more prototypes would split hairs.
ALIKE = 0.95
_SAMPLE = 4000


def cluster(
    features: Float[Tensor, "m D"], count: int, weights: Float[Tensor, " m"] | None = None
) -> Float[Tensor, "k D"]:
    """Spherical k-means: unit vectors that stand for groups of features.

    Args:
        features: of any length; at least one that is not zero.
        count: groups, at most; fewer where there are fewer different features.
        weights: how much each feature counts.

    Raises:
        DffError: there is nothing to cluster.
    """
    unit = normalise(features.detach().float().cpu())
    there = unit.norm(dim=-1) > 0
    unit = unit[there]
    if len(unit) == 0:
        raise DffError("there are no features to take a prototype from: nothing is seen there")
    kinds = min(count, len(torch.unique(unit, dim=0)))
    if kinds == 1:
        part = torch.ones(len(unit)) if weights is None else weights[there].float()
        return normalise((unit * part[:, None]).sum(dim=0, keepdim=True))
    found = KMeans(kinds, n_init="auto", random_state=0).fit(
        unit.numpy(), sample_weight=None if weights is None else weights[there].numpy()
    )
    return normalise(torch.from_numpy(found.cluster_centers_).float())


def prototypes_of(
    features: Float[Tensor, "m D"], most: int = MOST_PROTOTYPES
) -> Float[Tensor, "k D"]:
    """As few prototypes as represent the features well, chosen automatically.

    The smallest number with which the features' mean cosine with the nearest prototype is at least
    0.95, and at most ``most``.

    Raises:
        DffError: there are no features.
    """
    step = max(1, len(features) // _SAMPLE)
    sample = features[::step]
    found = cluster(sample, 1)
    for count in range(2, most + 1):
        if float(cosine_scores(sample, found).amax(dim=-1).mean()) >= ALIKE:
            break
        found = cluster(sample, count)
    return found


def foreground_prototypes(
    inside: Float[Tensor, "m D"], outside: Float[Tensor, "k D"], rounds: int = 3
) -> tuple[Float[Tensor, "p D"], Float[Tensor, "q D"]]:
    """Prototypes of what is inside an outline, and of what surrounds it.

    A rectangle drawn around a thing holds some of its surroundings too. What lies outside says how
    those look: features inside that are nearer to them than to the thing are given up.

    Args:
        inside: features within the outline.
        outside: features around it; may be none.

    Returns:
        Positives and negatives, unit vectors; negatives have no rows where nothing surrounds it.
    """
    if len(outside) == 0:
        return prototypes_of(inside), inside[:0].float().cpu()
    negatives = prototypes_of(outside)
    likeness = cosine_scores(inside.detach().float().cpu(), negatives).amax(dim=-1)
    # To begin with the thing is that half which looks least like the surroundings.
    positives = prototypes_of(inside[likeness <= likeness.median()])
    for _ in range(rounds):
        mine = nearer_to(inside, positives, negatives)
        if not mine.any():
            break
        positives = prototypes_of(inside[mine])
    # A surrounding that looks like the thing itself (it goes on beyond the outline) says nothing.
    distinct = cosine_scores(negatives, positives).amax(dim=-1) < ALIKE
    return positives, negatives[distinct]


def nearer_to(
    features: Float[Tensor, "m D"], first: Float[Tensor, "p D"], second: Float[Tensor, "q D"]
) -> Bool[Tensor, " m"]:
    """Whether each feature's nearest prototype is one of the first kind."""
    unit = features.detach().float().cpu()
    return cosine_scores(unit, first).amax(dim=-1) > cosine_scores(unit, second).amax(dim=-1)
