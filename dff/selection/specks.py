"""Specks: components of a selection that are too small to be things."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Bool
from torch import Tensor

from dff.selection.surface_grid import SurfaceGrid, components_of_graph

# Components of a selection below this share of its largest one are mistakes, not things.
SPECK_SHARE = 0.05


def without_specks(grid: SurfaceGrid, selected: Bool[Tensor, " n"]) -> Bool[Tensor, " n"]:
    """What is selected, without its specks.

    Voxels in cells of two voxels' side that touch are one component, so that gaps of one voxel do
    not part a thing; components with less than a twentieth of the largest one's voxels are specks.

    Args:
        grid: the voxels.
        selected: which of them are.
    """
    if not selected.any():
        return selected
    cell, pairs = grid.coarse
    cells = cell.numpy()[selected.numpy()]
    taken = np.zeros(int(cell.max()) + 1, dtype=bool)
    taken[cells] = True
    component = components_of_graph(pairs, taken)[cells]
    sizes = np.bincount(component)
    result = selected.clone()
    result[selected] = torch.from_numpy(sizes[component] >= SPECK_SHARE * sizes.max())
    return result
