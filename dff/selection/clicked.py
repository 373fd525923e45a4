"""From clicks to a thing: look, surroundings and place decide together.

1. Around every positive click the voxels that look alike and hang together grow while they stay
   *stable* (`stable_component`), and never so far that they reach a negative click.
2. What was found says how the thing looks, what lies around it how its surroundings look: each
   voxel near the rim goes to the nearer of the two, which moves the rim to where they meet.
3. What nothing but the thing holds, such as a bottle's cap, goes with it (`held_alone`).
4. A negative click takes away what is nearer to it than to the positive ones, on the surface and in
   look, and nothing elsewhere.

A click on a rim meets a mixture of two things: it says where, not what. Where there are clearer
clicks it gives its place alone, so that a correction adds or takes away what it is on, and nothing
leaks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import dijkstra
from torch import Tensor

from dff.errors import DffError
from dff.query.prototypes import cluster, prototypes_of
from dff.query.routing import product_of_scores
from dff.query.scores import cosine_scores, normalise
from dff.selection.islands import held_alone
from dff.selection.regions import Regions
from dff.selection.stable import around_seeds, stable_component
from dff.selection.surface_grid import SurfaceGrid

# A prototype is the mean over a ball of this many times the distance of neighbouring voxels.
BALL = 1.5
# Mean cosine in the ball of a click with its mean, below which it lies on a rim.
CLEAR = 0.93
# Voxels from the rim within which it may move, and as far around as surroundings are looked at.
RIM = 2
ROUNDS = 2
# Cosine from which on a negative click looks like the thing itself.
ALIKE = 0.9
# Cosine from which on a look is that of a click.
SAME = 0.95
# Share of what is wanted that an unwanted click may take with one region.
MOST_LOST = 0.25
# On the way from a click, a voxel costs so much however alike it is.
STEP = 1e-4

Space = Float[Tensor, "n K"]
# Unit vectors, as many rows in each space.
Looks = tuple[Float[Tensor, "p K"], ...]


@dataclass(frozen=True)
class Clicked:
    """What clicks select.

    Attributes:
        chosen: (n,), which voxels.
        firm: (n,), those of them, and of the others, that were clicked for their place alone, or
            are there because nothing else holds them.
        positives: the looks of the thing.
        negatives: those of what surrounds it and of unwanted clicks.
    """

    chosen: Bool[Tensor, " n"]
    firm: Bool[Tensor, " n"]
    positives: Looks
    negatives: Looks


def select_clicked(
    grid: SurfaceGrid, spaces: Sequence[Space], seeds: Sequence[int], others: Sequence[int] = ()
) -> Clicked:
    """The thing that was clicked; the order of clicks, and clicks made twice, change nothing.

    Args:
        grid: the voxels.
        spaces: their unit features by each teacher; several agree by the product of cosines.
        seeds: voxels clicked as wanted, at least one.
        others: voxels clicked as unwanted.

    Raises:
        DffError: no seeds, or nothing was seen where one is.
    """
    if not seeds:
        raise DffError("a click query needs at least one positive click")
    seeds, others = sorted(set(seeds)), sorted(set(others))
    clear = [seed for seed in seeds if _coherence(grid, spaces, seed) >= CLEAR] or seeds
    wanted = parts_of(grid, spaces, clear)
    lost, parted = _lost(grid, spaces, _union(grid, list(wanted.values())), seeds, others)
    own = joined([looks_of(spaces, part & ~lost | _only(grid, k)) for k, part in wanted.items()])
    alike = likeness(spaces, own)
    lost |= _union(grid, [_taken(grid, spaces, alike, voxel) for voxel in others])
    added = _union(grid, [_ball(grid, seed) for seed in seeds]) & ~lost
    added[seeds] = True
    lost &= ~added
    parts = [part & ~lost | _only(grid, seed) for seed, part in wanted.items()]
    positives = joined([looks_of(spaces, part) for part in parts])
    of_others = _of_others(grid, spaces, positives, others)
    unwanted = ball_looks(grid, spaces, of_others)
    chosen = around_seeds(grid, _union(grid, parts) | added, seeds)
    negatives = unwanted
    for _ in range(ROUNDS):
        rim, around = dilated(grid, chosen, RIM), surroundings(grid, chosen)
        if around.any():
            negatives = joined([distinct(looks_of(spaces, around), positives), unwanted])
        mine = likeness(spaces, positives) > likeness(spaces, negatives)
        chosen = around_seeds(grid, ((mine & rim) | added) & ~lost, seeds)
    held = held_alone(grid, chosen, without=lost)
    hazy = [v for v in (*seeds, *others) if v not in (*clear, *of_others)]
    firm = _union(grid, [_ball(grid, voxel) for voxel in hazy]) | parted | held
    if len(seeds) + len(others) > 1:
        firm[[*seeds, *others]] = True
    return Clicked(chosen | held, firm, positives, negatives)


def likeness(spaces: Sequence[Space], looks: Looks) -> Float[Tensor, " n"]:
    """Cosine with the nearest prototype, in [0, 1]; several teachers by their product.

    Prototype k is the k-th row in every space: teachers have to agree on one and the same.
    """
    if len(looks[0]) == 0:
        return torch.zeros(len(spaces[0]))
    cosines = [cosine_scores(space, look) for space, look in zip(spaces, looks, strict=True)]
    return product_of_scores(cosines).amax(dim=-1)


def looks_of(spaces: Sequence[Space], chosen: Bool[Tensor, " n"]) -> Looks:
    """Prototypes of some voxels, common to all spaces."""
    joint = prototypes_of(torch.cat([space[chosen] for space in spaces], dim=1))
    return tuple(normalise(part) for part in joint.split([s.shape[1] for s in spaces], dim=1))


def joined(looks: Sequence[Looks]) -> Looks:
    """Prototypes one after the other."""
    return tuple(torch.cat(each) for each in zip(*looks, strict=True))


def distinct(looks: Looks, wanted: Looks) -> Looks:
    """Looks without those of the thing itself: where it goes on, its surroundings say nothing."""
    kept = likeness(looks, wanted) < SAME
    return tuple(look[kept] for look in looks)


def surroundings(grid: SurfaceGrid, chosen: Bool[Tensor, " n"]) -> Bool[Tensor, " n"]:
    """What lies around, but does not touch."""
    return dilated(grid, chosen, RIM) & ~dilated(grid, chosen, 1)


def dilated(grid: SurfaceGrid, chosen: Bool[Tensor, " n"], steps: int) -> Bool[Tensor, " n"]:
    """With all voxels that are at most so many neighbours away."""
    first, second = grid.ends
    for _ in range(steps):
        wider = chosen.clone()
        wider[first[chosen[second]]] = True
        wider[second[chosen[first]]] = True
        chosen = wider
    return chosen


def ball_looks(grid: SurfaceGrid, spaces: Sequence[Space], voxels: Sequence[int]) -> Looks:
    """Mean looks of the voxels around some, a row for each; none for none.

    Raises:
        DffError: nothing was seen there.
    """
    return tuple(
        torch.cat([space[:0], *(cluster(space[_ball(grid, voxel)], 1) for voxel in voxels)])
        for space in spaces
    )


def _ball(grid: SurfaceGrid, voxel: int) -> Bool[Tensor, " n"]:
    near = grid.tree.query_ball_point(grid.points[voxel].numpy(), BALL * grid.spacing)
    result = _only(grid, voxel)
    result[near] = True
    return result


def _only(grid: SurfaceGrid, voxel: int) -> Bool[Tensor, " n"]:
    result = torch.zeros(len(grid), dtype=torch.bool)
    result[voxel] = True
    return result


def _taken(
    grid: SurfaceGrid, spaces: Sequence[Space], alike: Float[Tensor, " n"], voxel: int
) -> Bool[Tensor, " n"]:
    """What an unwanted click takes around it: what looks more like it than like what is wanted."""
    here = tuple(space[voxel : voxel + 1] for space in spaces)
    result = _ball(grid, voxel) & (likeness(spaces, here) > alike)
    result[voxel] = True
    return result


def _union(grid: SurfaceGrid, masks: Sequence[Bool[Tensor, " n"]]) -> Bool[Tensor, " n"]:
    result = torch.zeros(len(grid), dtype=torch.bool)
    for mask in masks:
        result = result | mask
    return result


def _coherence(grid: SurfaceGrid, spaces: Sequence[Space], voxel: int) -> float:
    """Mean cosine of the voxels around one with their mean, of the teacher that doubts most."""
    ball, looks = _ball(grid, voxel), ball_looks(grid, spaces, [voxel])
    means = [
        cosine_scores(space[ball], look).mean() for space, look in zip(spaces, looks, strict=True)
    ]
    return float(torch.stack(means).amin())


def _of_others(
    grid: SurfaceGrid, spaces: Sequence[Space], positives: Looks, voxels: Sequence[int]
) -> list[int]:
    """Those voxels that are clearly of another thing than the wanted one."""
    clear = [voxel for voxel in voxels if _coherence(grid, spaces, voxel) >= CLEAR]
    alike = likeness(ball_looks(grid, spaces, clear), positives)
    return [voxel for voxel, score in zip(clear, alike.tolist(), strict=True) if score < ALIKE]


def parts_of(
    grid: SurfaceGrid, spaces: Sequence[Space], seeds: Sequence[int]
) -> dict[int, Bool[Tensor, " n"]]:
    """What each click alone would select: a thing, or a stable part of what things stand on.

    Beside clicks on things, those on what they stand on give their place alone and have no part.
    """
    regions = Regions.of(grid, spaces)
    found = {seed: regions.thing(seed) for seed in seeds}
    things = {seed: region for seed, region in found.items() if region is not None}
    if things:
        return things
    looks = {seed: ball_looks(grid, spaces, [seed]) for seed in seeds}
    return {
        seed: stable_component(grid, likeness(spaces, look), [seed])[1]
        for seed, look in looks.items()
    }


def _lost(
    grid: SurfaceGrid,
    spaces: Sequence[Space],
    wanted: Bool[Tensor, " n"],
    seeds: Sequence[int],
    others: Sequence[int],
) -> tuple[Bool[Tensor, " n"], Bool[Tensor, " n"]]:
    """What unwanted clicks take of what is wanted: their largest region that may be lost.

    It holds no wanted click and but a small share of what is wanted: what is clicked once more is
    a detail.
    Where there is none, as even the finest one holds a wanted click, place parts the two.

    Returns:
        (n,) what is taken, and (n,) where looks did not part it from what is wanted.
    """
    regions = Regions.of(grid, spaces)
    lost, both = (torch.zeros(len(grid), dtype=torch.bool) for _ in range(2))
    most = MOST_LOST * float(grid.rays[wanted].sum())
    for voxel in others:
        if _coherence(grid, spaces, voxel) < CLEAR:
            continue
        around = [region for region in regions.holding(voxel) if not region[list(seeds)].any()]
        if around:
            small = [region for region in around if grid.rays[region & wanted].sum() <= most]
            lost |= small[0] if small else around[-1]
        else:
            both |= regions.holding(voxel)[-1]
    if both.any():
        lost |= both & ~_nearer(grid, spaces, both, seeds, others)
    return lost, both


def _nearer(
    grid: SurfaceGrid,
    spaces: Sequence[Space],
    within: Bool[Tensor, " n"],
    seeds: Sequence[int],
    others: Sequence[int],
) -> Bool[Tensor, " n"]:
    """Which voxels are nearer to a wanted click than to an unwanted one.

    Near is the shortest way over a part of the surface, a step costing the square of how unlike
    its ends are, in look or in colour, so that many small differences count less than one border.
    """
    first, second = grid.ends
    inside = within[first] & within[second]
    first, second = first[inside], second[inside]
    unlike = torch.stack([1 - (space[first] * space[second]).sum(dim=-1) for space in spaces])
    colour = (grid.rgb[first] - grid.rgb[second]).norm(dim=-1)
    unlike = torch.maximum(unlike.amax(dim=0).clamp_min(0), colour)
    cost = (unlike.square() + STEP).numpy()
    graph = coo_matrix((cost, (first.numpy(), second.numpy())), shape=(len(grid),) * 2).tocsr()
    to_wanted, to_unwanted = (
        torch.from_numpy(dijkstra(graph, directed=False, indices=list(v), min_only=True))
        for v in (seeds, others)
    )
    return (to_wanted < to_unwanted) | to_unwanted.isinf()
