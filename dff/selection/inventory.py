"""What there is in a scene: its surface parted into things, without being asked for any.

Features are clustered, clusters are parted into what is connected, and pieces of one thing that
were torn apart are put together again. All pure functions, and the same result every time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from sklearn.cluster import HDBSCAN, KMeans
from sklearn.decomposition import PCA
from torch import Tensor

from dff.query.scores import label_probabilities, merge_identical, normalise
from dff.selection.surface_grid import SurfaceGrid

# Clustering costs the square of the sample; 5,000 take half a second on one core.
SAMPLE = 5000
COMPONENTS = 16
# A cluster is at least this share of the sample; a thing, of all rays that met the scene.
SMALLEST_CLUSTER = 0.004
SMALLEST = 0.002
# Voxels whose cosine with their neighbours' mean is in the lowest part are rims, which hold a bit
# of both sides and would chain clusters together.
RIM_SHARE = 0.25
ABSORBING_STEPS = 3
ROUNDING = 1e-5
_FALLBACK_CLUSTERS = 8


@dataclass(frozen=True, eq=False)
class Thing:
    """A part of the surface that belongs together.

    Attributes:
        mask: (n,), its voxels.
        rays: how many of the baked rays met it, and `share`: of all of them, in [0, 1].
        low, high: (3,), corners of its box in world units.
        centre: (3,), mean position in world units, by rays.
        prototype: (D,), unit mean of its features.
    """

    mask: Bool[Tensor, " n"]
    rays: int
    share: float
    low: Float[Tensor, " 3"]
    high: Float[Tensor, " 3"]
    centre: Float[Tensor, " 3"]
    prototype: Float[Tensor, " D"]

    @property
    def size(self) -> Float[Tensor, " 3"]:
        """Extent along the world's axes."""
        return self.high - self.low


@dataclass(frozen=True)
class Name:
    """What a thing is called.

    Attributes:
        label: the best of a list.
        score: its probability among them, in [0, 1].
        runner_up: the second best, and its score; None and 0 where there is but one label.
    """

    label: str
    score: float
    runner_up: str | None = None
    runner_up_score: float = 0.0


def find_things(
    grid: SurfaceGrid, features: Float[Tensor, "n D"], smallest: float = SMALLEST
) -> list[Thing]:
    """Part a scene into things.

    Args:
        grid: its voxels.
        features: of unit length; 0 where there are none: such voxels are of no thing.
        smallest: share of all rays that must have met a thing, in [0, 1].

    Returns:
        Those that most rays met first; none overlap. Two things alike that do not touch are two.
    """
    features = features.float()
    there = features.norm(dim=1) > 1e-6
    if not there.any():
        return []
    prototypes = _prototypes(grid, features, there)
    nearest = torch.cat([(part @ prototypes.T).argmax(dim=1) for part in features.split(1 << 15)])
    pieces = _connected(grid, torch.where(there, nearest, -1))
    least = smallest * float(grid.rays.sum())
    pieces = _absorbed(grid, _without_specks(grid, pieces, least))
    pieces = _merged(grid, features, pieces)
    return _things(grid, features, pieces)


def name_things(
    things: Sequence[Thing], embeddings: Float[Tensor, "q D"], labels: Sequence[str], scale: float
) -> list[Name]:
    """Name things by the labels that their prototypes match best.

    Args:
        things: with prototypes in the teacher's space.
        embeddings: of the labels, of unit length.
        labels: at least one; of several with one meaning the first stands for all.
        scale: multiplies cosine similarity before the softmax over the labels.
    """
    if not things:
        return []
    keep, _ = merge_identical(embeddings)
    prototypes = torch.stack([thing.prototype for thing in things]).to(embeddings)
    scores = label_probabilities(prototypes, embeddings[keep], scale)
    best, order = scores.topk(min(2, len(keep)), dim=1)
    names = []
    for values, numbers in zip(best.tolist(), keep.to(order.device)[order].tolist(), strict=True):
        name = Name(labels[int(numbers[0])], values[0])
        if len(numbers) > 1:
            name = replace(name, runner_up=labels[numbers[1]], runner_up_score=values[1])
        names.append(name)
    return names


def _neighbours_mean(grid: SurfaceGrid, features: Float[Tensor, "n D"]) -> Float[Tensor, "n D"]:
    """Unit mean of each voxel's neighbours, without itself; 0 for one that has none."""
    a, b = grid.ends
    total = torch.zeros_like(features)
    # In blocks: the gathered rows of all pairs at once would be many times the features.
    for first, second in zip(a.split(1 << 16), b.split(1 << 16), strict=True):
        total.index_add_(0, first, features[second]).index_add_(0, second, features[first])
    return normalise(total)


def _prototypes(
    grid: SurfaceGrid, features: Float[Tensor, "n D"], there: Bool[Tensor, " n"]
) -> Float[Tensor, "k D"]:
    """Unit means of the clusters of a sample of the features, away from rims."""
    around = _neighbours_mean(grid, features)
    alike = (features * around).sum(dim=1)
    calm = there & (alike >= torch.quantile(_thinned(alike[there]), RIM_SHARE))
    candidates = calm.nonzero()[:, 0]
    generator = torch.Generator().manual_seed(0)
    order = torch.randperm(len(candidates), generator=generator)[:SAMPLE]
    sample = normalise(features[candidates[order]] + around[candidates[order]])
    number = torch.from_numpy(_clusters(sample)).long()
    total, count = _sums(features[candidates[order]], number)
    every = torch.combinations(torch.arange(len(total)))
    belongs = _united(total, count, every)
    of = torch.where(number >= 0, belongs[number.clamp_min(0)], -1)
    kinds = [sample[of == k] for k in torch.unique(belongs).tolist()]
    return normalise(torch.stack([kind.mean(dim=0) for kind in kinds]))


def _clusters(sample: Float[Tensor, "m D"]) -> Int[np.ndarray, " m"]:
    """Number of each row's cluster, -1 for none; at least one cluster."""
    size = max(5, round(SMALLEST_CLUSTER * len(sample)))
    if len(sample) <= 2 * size:
        return np.zeros(len(sample), dtype=np.int64)
    parts = min(COMPONENTS, sample.shape[1], len(sample))
    reduced = PCA(parts, svd_solver="full").fit_transform(sample.double().numpy())
    number = HDBSCAN(min_cluster_size=size, min_samples=5).fit_predict(reduced.copy())
    if number.max() < 1:
        # No density to go by: pieces of one thing come together again when they are merged.
        kinds = min(_FALLBACK_CLUSTERS, len(torch.unique(sample, dim=0)))
        number = KMeans(kinds, n_init="auto", random_state=0).fit_predict(reduced)
    return number


def _connected(grid: SurfaceGrid, kind: Int[Tensor, " n"]) -> Int[Tensor, " n"]:
    """Pieces: connected voxels of one kind, numbered from 0; -1 stays."""
    piece = torch.full_like(kind, -1)
    for k in torch.unique(kind[kind >= 0]).tolist():
        component = grid.components(kind == k)
        inside = component >= 0
        piece[inside] = component[inside] + int(piece.max()) + 1
    return piece


def _without_specks(grid: SurfaceGrid, piece: Int[Tensor, " n"], least: float) -> Int[Tensor, " n"]:
    """Pieces that at least so many rays met, but never none at all."""
    inside = piece >= 0
    rays = torch.bincount(piece[inside], grid.rays[inside].double())
    kept = rays >= min(least, float(rays.max()))
    return torch.where(inside & kept[piece.clamp_min(0)], piece, -1)


def _absorbed(grid: SurfaceGrid, piece: Int[Tensor, " n"]) -> Int[Tensor, " n"]:
    """Voxels of no piece join the piece that most of their neighbours are of, ring by ring.

    What is further than a few voxels from every piece stays out.
    """
    a, b = grid.ends
    for _ in range(ABSORBING_STEPS):
        into = torch.cat([a, b])
        kind = piece[torch.cat([b, a])]
        asking = (piece[into] < 0) & (kind >= 0)
        if not asking.any():
            break
        count = int(piece.max()) + 1
        votes, number = torch.unique(into[asking] * count + kind[asking], return_counts=True)
        # Ascending by votes, ties to the lower piece: the last one written wins.
        order = torch.argsort(number * count + (count - 1 - votes % count), stable=True)
        for_voxel = dict(
            zip((votes[order] // count).tolist(), (votes[order] % count).tolist(), strict=True)
        )
        piece = piece.clone()
        piece[torch.tensor(list(for_voxel))] = torch.tensor(list(for_voxel.values()))
    return piece


def _merged(
    grid: SurfaceGrid, features: Float[Tensor, "n D"], piece: Int[Tensor, " n"]
) -> Int[Tensor, " n"]:
    """Put neighbouring pieces of one thing together."""
    inside = piece >= 0
    compact = torch.full_like(piece, -1)
    compact[inside] = torch.unique(piece[inside], return_inverse=True)[1]
    total, count = _sums(features, compact)
    a, b = (compact[end] for end in grid.ends)
    touching = (a != b) & (a >= 0) & (b >= 0)
    belongs = _united(total, count, torch.stack([a[touching], b[touching]], dim=1))
    return torch.where(inside, belongs[compact.clamp_min(0)], -1)


def _sums(
    features: Float[Tensor, "n D"], group: Int[Tensor, " n"]
) -> tuple[Float[Tensor, "k D"], Float[Tensor, " k"]]:
    """Sum of each group's unit features, and how many they are; -1 is no group."""
    inside = group >= 0
    count = torch.bincount(group[inside]).to(features)
    total = torch.zeros(len(count), features.shape[1])
    return total.index_add_(0, group[inside], features[inside]), count


def _united(
    total: Float[Tensor, "k D"], count: Float[Tensor, " k"], pairs: Int[Tensor, "p 2"]
) -> Int[Tensor, " k"]:
    """Which groups are one, the most alike united first.

    Two are one where their prototypes are as near to each other as a typical member of the tighter
    one is to its own: a measure of the features' own spread, so that it does not depend on the
    teacher.

    Args:
        total, count: sum of each group's unit features, and how many they are.
        pairs: groups that may be united.

    Returns:
        For each group the one that it became part of.
    """
    total, count = total.clone(), count.clone()
    belongs = torch.arange(len(total))
    while True:
        pairs = torch.unique(belongs[pairs].sort(dim=1).values, dim=0)
        one, other = pairs[pairs[:, 0] != pairs[:, 1]].unbind(dim=1)
        if len(one) == 0:
            return belongs
        # Of unit vectors the length of the sum is the sum of the cosines with their mean.
        spread = total.norm(dim=1) / count
        prototypes = normalise(total)
        near = (prototypes[one] * prototypes[other]).sum(dim=1)
        surplus = near - torch.maximum(spread[one], spread[other])
        best = int(surplus.argmax())
        if float(surplus[best]) < -ROUNDING:
            return belongs
        kept, gone = int(one[best]), int(other[best])
        total[kept] += total[gone]
        count[kept] += count[gone]
        belongs = torch.where(belongs == gone, kept, belongs)


def _things(
    grid: SurfaceGrid, features: Float[Tensor, "n D"], piece: Int[Tensor, " n"]
) -> list[Thing]:
    things = []
    total = max(1, int(grid.rays.sum()))
    for k in torch.unique(piece[piece >= 0]).tolist():
        mask = piece == k
        points, rays = grid.points[mask], grid.rays[mask]
        weight = (rays / rays.sum())[:, None].to(points)
        prototype = normalise((features[mask] * weight).sum(dim=0))
        low, high = points.amin(dim=0), points.amax(dim=0)
        met = int(rays.sum())
        centre = (points * weight).sum(dim=0)
        things.append(Thing(mask, met, met / total, low, high, centre, prototype))
    return sorted(things, key=lambda thing: (-thing.rays, int(thing.mask.int().argmax())))


def _thinned(values: Float[Tensor, " n"], most: int = 1 << 20) -> Float[Tensor, " m"]:
    """Every so many: `torch.quantile` refuses more than sixteen million."""
    return values[:: 1 + len(values) // most]
