"""From pictures to things: what looks most like what was shown is treated as if it were clicked.

A picture gives several looks, and some of them are of the background that came with it. Each one's
most alike voxel is a click that selects a part; the part that holds most of what is alike is the
thing, and others belong to it where they touch it and are themselves alike. What was so found says
in 3D how the thing looks, and everything in the scene that looks the same is selected with it.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from dff.query.routing import product_of_scores
from dff.selection.clicked import RIM, Clicked, Space, dilated, likeness, parts_of, select_clicked
from dff.selection.islands import held_alone
from dff.selection.refine import smooth
from dff.selection.specks import without_specks
from dff.selection.surface_grid import SurfaceGrid

# Cosine with what was shown from which on a voxel counts as alike.
ALIKE = 0.7
# Share of a part that has to be alike.
MOSTLY = 0.6
# Cosine with the thing that was found from which on something else is another of its kind.
SAME_KIND = 0.92


def select_shown(
    grid: SurfaceGrid, spaces: Sequence[Space], scores: Sequence[Float[Tensor, "n p"]]
) -> Clicked:
    """What looks like what was shown.

    Args:
        grid: the voxels.
        spaces: their unit features by each teacher.
        scores: by each teacher, likeness of the voxels to each look that was shown, in [0, 1], 0
            where something unwanted is more alike; at least one look.

    Returns:
        As of clicks; nothing is chosen where nothing is alike.

    Raises:
        DffError: nothing was seen where the most alike voxels are.
    """
    alike = product_of_scores([each.amax(dim=1) for each in scores])
    # With their neighbours: a voxel on a rim would be no clear click.
    seeds = _best_voxels(scores[0], smooth(grid, alike, 1))
    if not seeds:
        nothing = torch.zeros(len(grid), dtype=torch.bool)
        empty = tuple(space[:0] for space in spaces)
        return Clicked(nothing, nothing, empty, empty)
    parts = [parts_of(grid, spaces, [seed])[seed] for seed in seeds]
    weight = grid.rays * (alike > ALIKE)
    held = [float(weight[part].sum()) for part in parts]
    mostly = [
        amount >= MOSTLY * float(grid.rays[part].sum())
        for amount, part in zip(held, parts, strict=True)
    ]
    main = max(range(len(seeds)), key=lambda k: (mostly[k], held[k]))
    near = dilated(grid, parts[main], RIM)
    chosen = [
        seed
        for k, seed in enumerate(seeds)
        if k == main or (mostly[k] and bool((near & parts[k]).any()))
    ]
    return with_its_kind(grid, spaces, chosen)


def with_its_kind(grid: SurfaceGrid, spaces: Sequence[Space], seeds: Sequence[int]) -> Clicked:
    """The thing that some voxels are of, and whatever in the scene looks the same."""
    found = select_clicked(grid, spaces, seeds)
    chosen = without_specks(grid, found.chosen | _of_its_kind(spaces, found))
    held = held_alone(grid, chosen)
    return Clicked(chosen | held, found.firm | held, found.positives, found.negatives)


def _best_voxels(scores: Float[Tensor, "n p"], alike: Float[Tensor, " n"]) -> list[int]:
    """The most alike voxel of each look, among those that are nearest to it."""
    nearest = scores.argmax(dim=1)
    seeds = []
    for look in range(scores.shape[1]):
        mine = torch.where(nearest == look, alike, torch.zeros_like(alike))
        if len(mine) and float(mine.max()) > 0:
            seeds.append(int(mine.argmax()))
    return seeds


def _of_its_kind(spaces: Sequence[Space], found: Clicked) -> Bool[Tensor, " n"]:
    same = likeness(spaces, found.positives)
    return (same >= SAME_KIND) & (same > likeness(spaces, found.negatives))
