"""The hole under a deleted thing: where it is, and what closes it.

Nothing behind a thing was ever seen. But what it stood on is seen all around it, and by a few
cameras far under it. So rays of many cameras are sent at the plane that it stood on, cell by cell:
where most of them end on the plane, the scene shows its surface; the rest, under the thing, is the
hole. Height and colour are carried into it from what is seen. The height is harmonic there
(Laplace's equation with the rim as boundary values), the smoothest surface that fits the rim
without going beyond its values. So is the hue of the colour, while its brightness goes on for a
while as it changes at the rim (a spline in tension, Smith and Wessel 1990): the shade that a thing
casts where it touches gets darker towards it. It gets no lighter than the harmonic one, and hardly
darker than the darkest that is seen around the hole. What has caught the hue of the thing is left
out and covered.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from scipy.ndimage import (
    binary_closing,
    binary_dilation,
    binary_fill_holes,
    gaussian_filter,
)
from scipy.sparse import coo_matrix, csr_matrix, diags
from scipy.sparse.linalg import splu
from scipy.spatial import KDTree
from torch import Tensor

from dff.edits.filling import CLEARED, Filling
from dff.selection.refine import SELECTED
from dff.selection.selection import Selection
from dff.selection.surface_grid import SurfaceGrid

# In voxels of the surface grid: how far off the plane a voxel may lie that says where it is, and
# what a ray meets that counts as its surface; between which distances from the thing the voxels
# are that say where the plane is; and how far around the hole is looked at.
PLANE, FLAT, NEAR, RIM, BESIDE = 0.5, 1.0, 1.5, 8.0, 4
# Cells of the filling along a voxel, and how many of those that are seen last show a bit of what
# hides the next.
FINE, MOST_CELLS, HIDING = 6, 2048, 2
# Gaps of what is sound are crumbs that are no wider than twice so many cells.
CRUMBS = 4
# Of the rays that nothing stops before the plane: the share that ends on it where its surface is
# sound, and where its height is known. How many must for a colour to be known, and how much of the
# thing may be in it.
STEADY, LEVEL, STANDS, LEAST, CLEAN = 0.9, 0.5, 0.5, 2, 0.1
# A surface is stood on when this share of the thing is on one side of it.
ONE_SIDE = 0.9
FEWEST, TRIALS = 12, 256
# Over about how many voxels into the hole brightness goes on changing as it does at the rim: over
# more, it would make more of what is but a pattern of the surface. And at most so far: it gets no
# darker than this quantile of what is seen within so many voxels of the hole.
GOING_ON, DARKEST, AROUND_HOLE = 1.0, 0.05, 2
# Where the rim's hue is this share of the way to that of the thing, it has caught the light of the
# thing, or a bit of it is left there: within so many voxels of the hole, and if the hues differ by
# so much at all, and more than the surface's own pattern mostly does, so many times. It says
# nothing of the surface, and what of it lies at the hole is covered.
CAUGHT, CATCHING, HUES, PATTERN = 0.25, 2.5, 0.05, 4.0
# Share of the cells around a hole whose height must be known for it to be filled.
FLAT_SHARE = 0.4
AROUND = np.ones((3, 3), dtype=bool)


@dataclass(frozen=True, eq=False)
class Sight:
    """Rays of k cameras through n points, and where they end.

    Attributes:
        ends: (k, n, 3), world positions; far away where a ray meets nothing.
        rgb: (k, n, 3), the colours seen there, in [0, 1].
        mask: (k, n), soft mask of a selection there, in [0, 1].
        there: (k, n), whether the point is in the camera's picture, hidden or not.
    """

    ends: Float[Tensor, "k n 3"]
    rgb: Float[Tensor, "k n 3"]
    mask: Float[Tensor, "k n"]
    there: Bool[Tensor, "k n"]


def fill_hole(
    selection: Selection, look: Callable[[Float[Tensor, "n 3"]], Sight]
) -> Filling | None:
    """What closes the hole that a deleted selection leaves.

    Args:
        selection: what is deleted.
        look: what cameras see where they look at world positions, with the selection in its place.

    Returns:
        The filling; None when nothing around the selection looks like what it stands on.
    """
    grid = selection.grid
    selected = selection.values >= SELECTED
    spacing = grid.spacing
    if not selected.any() or selected.all() or spacing <= 0:
        return None
    plane = _plane_under(grid, selected)
    if plane is None:
        return None
    normal, offset = plane
    axes = _axes(normal)
    thing = grid.points[selected] @ axes[:2].T
    low = thing.amin(dim=0) - (BESIDE + 2) * spacing
    footprint = _footprint(thing, low, spacing)
    if max(footprint.shape) > MOST_CELLS:
        return None
    cell, origin = spacing / FINE, low @ axes[:2] + offset * axes[2]
    near = _widened(footprint, BESIDE * FINE)
    places = torch.from_numpy(np.argwhere(near) + 0.5).float() * cell
    sight = look(origin + places @ axes[:2])
    height = (sight.ends - origin) @ axes[2]
    # What stands in the way, the thing itself or another, says nothing of the plane behind it.
    reaching = sight.there & (sight.mask < SELECTED) & (height < CLEARED * spacing)
    on = reaching & (height.abs() < FLAT * spacing)

    def mapped(values: Tensor) -> np.ndarray:
        """Values of the places that were looked at, as a map."""
        whole = np.zeros((*near.shape, *values.shape[1:]))
        whole[near] = values.numpy()
        return whole

    share = mapped(_share(on, reaching))
    # Where most rays end above the plane, another thing stands.
    above = reaching & (height >= FLAT * spacing)
    stands = mapped(_share(above, reaching) * (above.sum(dim=0) >= LEAST)) > STANDS
    hole = _hole(footprint & ~stands, share > STEADY)
    clean = on & (sight.mask < CLEAN)
    rays = mapped(clean.sum(dim=0))
    known = near & ~_widened(near & (rays < LEAST), HIDING)
    if not (hole.any() and known.any()):
        return None
    seen = mapped(_median(sight.rgb, clean))
    colour = np.average(grid.rgb[selected], axis=0, weights=grid.rays[selected])
    beyond = _widened(hole, round(CATCHING * FINE))
    caught = beyond & (rays > 0) & _caught(seen, known & ~beyond, colour)
    if caught.any():
        known &= ~_widened(caught, 1)
        hole = _closed(hole | (caught & _widened(hole, FINE)), CRUMBS // 2)
    level = (share > LEVEL) & ~hole
    ring = _widened(hole, BESIDE * FINE) & ~hole & (mapped(reaching.any(dim=0)) > 0)
    # Where the rim itself is hardly flat, going on from it would make things worse.
    if not (level.any() and known.any()):
        return None
    if level[ring].sum() < FLAT_SHARE * ring.sum():
        return None
    rim = ~selected & _lies_in(grid.points - origin, axes, ring, cell, FLAT * spacing)
    if not rim.any():
        return None
    flat = _laplacian(near.shape)
    heights = _carried_in(mapped(_median(height[..., None], on)), level, flat)
    return Filling(
        origin,
        axes,
        cell,
        spacing,
        torch.from_numpy(heights[..., 0]).float(),
        torch.from_numpy(_colours(seen, known, hole, flat)).float().clamp(0, 1),
        torch.from_numpy(_widened(hole, 1)).float(),
        rim,
    )


def _colours(
    seen: Float[np.ndarray, "r c 3"],
    known: Bool[np.ndarray, "r c"],
    hole: Bool[np.ndarray, "r c"],
    flat: csr_matrix,
) -> Float[np.ndarray, "r c 3"]:
    """Colours where they are known, and carried into the hole."""
    even = _carried_in(seen, known, flat)
    # Brightness alone: in hue, what changes is the thing itself, whose light its rim has caught.
    tension = flat.multiply((GOING_ON * FINE) ** -2)
    going_on = _carried_in(seen.sum(-1, keepdims=True), known, csr_matrix(flat @ flat + tension))
    beside = known & _widened(hole, AROUND_HOLE * FINE)
    darkest = np.quantile(seen[beside].sum(-1), DARKEST) if beside.any() else 0.0
    shade = np.maximum(going_on, darkest) / np.maximum(even.sum(-1, keepdims=True), 1e-6)
    return even * shade.clip(0.0, 1.0)


def _lies_in(
    points: Float[Tensor, "n 3"],
    axes: Float[Tensor, "3 3"],
    cells: Bool[np.ndarray, "r c"],
    cell: float,
    most: float,
) -> Bool[Tensor, " n"]:
    """Which points, given from the map's corner, lie at most so far over or under some cells."""
    local = points @ axes.T
    index = (local[:, :2] / cell).floor().long()
    size = torch.tensor(cells.shape)
    there = (local[:, 2].abs() < most) & ((index >= 0) & (index < size)).all(dim=1)
    row, column = index.minimum(size - 1).clamp_min(0).unbind(1)
    return there & torch.from_numpy(cells)[row, column]


def _footprint(
    thing: Float[Tensor, "m 2"], low: Float[Tensor, " 2"], spacing: float
) -> Bool[np.ndarray, "r c"]:
    """Cells that a thing stands over, from its voxels' places on the plane."""
    index = ((thing - low) / spacing).floor().long()
    rows, columns = (index.amax(dim=0) + BESIDE + 3).tolist()
    covered = np.zeros((rows, columns), dtype=bool)
    covered[tuple(index.T.numpy())] = True
    whole = np.asarray(binary_fill_holes(binary_closing(covered, AROUND, iterations=2)))
    fine = whole.repeat(FINE, axis=0).repeat(FINE, axis=1).astype(np.float32)
    # Without the corners of the voxels, which nothing else would hide.
    return np.asarray(gaussian_filter(fine, FINE / 2) > 0.5)


def _hole(
    footprint: Bool[np.ndarray, "r c"], sound: Bool[np.ndarray, "r c"]
) -> Bool[np.ndarray, "r c"]:
    """Cells under a thing whose surface is not sound, without crumbs of sound ones among them."""
    return _closed(footprint & ~sound, CRUMBS) & footprint


def _closed(mask: Bool[np.ndarray, "r c"], cells: int) -> Bool[np.ndarray, "r c"]:
    """Without gaps, of whatever size where they are enclosed."""
    return np.asarray(binary_fill_holes(binary_closing(mask, AROUND, iterations=cells)))


def _caught(
    seen: Float[np.ndarray, "r c 3"],
    apart: Bool[np.ndarray, "r c"],
    colour: Float[np.ndarray, " 3"],
) -> Bool[np.ndarray, "r c"]:
    """Cells whose hue is on the way from that of the surface to that of the thing.

    Hue is the share of each channel in all light, so that shade is no hue.

    Args:
        seen: colours of the cells.
        apart: those that are too far from the thing to have caught any of it.
        colour: of the thing.
    """
    if not apart.any():
        return np.zeros_like(apart)
    hues = seen / np.maximum(seen.sum(-1, keepdims=True), 1e-6)
    surface = np.median(hues[apart], axis=0)
    way = colour / max(float(colour.sum()), 1e-6) - surface
    length = float(np.linalg.norm(way))
    if length < HUES:
        return np.zeros_like(apart)
    along = (hues - surface) @ way / length**2
    spread = float(np.median(np.abs(along[apart])))  # other things among them hardly count
    return np.asarray(along > max(CAUGHT, PATTERN * spread))


def _share(part: Bool[Tensor, "k n"], whole: Bool[Tensor, "k n"]) -> Float[Tensor, " n"]:
    return part.sum(dim=0) / whole.sum(dim=0).clamp_min(1)


def _widened(mask: Bool[np.ndarray, "r c"], cells: int) -> Bool[np.ndarray, "r c"]:
    return np.asarray(binary_dilation(mask, AROUND, iterations=cells), dtype=bool)


def _median(values: Float[Tensor, "k n c"], which: Bool[Tensor, "k n"]) -> Float[Tensor, "n c"]:
    """Over the rays that count; 0 where there are none."""
    counted = torch.where(which[..., None], values, torch.nan)
    return counted.nanmedian(dim=0).values.nan_to_num(0.0)


def _plane_under(
    grid: SurfaceGrid, selected: Bool[Tensor, " n"]
) -> tuple[Float[Tensor, " 3"], float] | None:
    """The plane that what is selected stands on; see `_support`."""
    tree = KDTree(grid.points[selected].numpy())
    away = torch.from_numpy(tree.query(grid.points.numpy())[0]).float()
    rim = (away > NEAR * grid.spacing) & (away < RIM * grid.spacing)
    return _support(grid.points[rim], grid.points[selected], grid.spacing)


def _support(
    rim: Float[Tensor, "n 3"], thing: Float[Tensor, "m 3"], spacing: float
) -> tuple[Float[Tensor, " 3"], float] | None:
    """The plane that most of the rim lies in, with the thing on one side of it.

    RANSAC (Fischler and Bolles 1981), then least squares over the inliers.

    Returns:
        Unit normal towards the thing, and the plane's distance from the origin along it.
    """
    if len(rim) < FEWEST:
        return None
    generator = torch.Generator().manual_seed(0)
    picks = torch.randint(0, len(rim), (TRIALS, 3), generator=generator)
    corners = rim[picks]
    normals = torch.linalg.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    lengths = normals.norm(dim=1, keepdim=True)
    normals = normals / lengths.clamp_min(1e-12)
    offsets = (normals * corners[:, 0]).sum(dim=1)
    over = (thing @ normals.T - offsets) > -FLAT * spacing
    under = (thing @ normals.T - offsets) < FLAT * spacing
    sides = torch.maximum(over.float().mean(dim=0), under.float().mean(dim=0))
    inliers = ((rim @ normals.T - offsets).abs() < PLANE * spacing).sum(dim=0)
    good = (sides >= ONE_SIDE) & (lengths[:, 0] > spacing * spacing)
    inliers = torch.where(good, inliers, torch.zeros_like(inliers))
    best = int(inliers.argmax())
    if int(inliers[best]) < FEWEST:
        return None
    near = rim[(rim @ normals[best] - offsets[best]).abs() < PLANE * spacing]
    middle = near.mean(dim=0)
    _, vectors = torch.linalg.eigh((near - middle).T @ (near - middle))
    normal = vectors[:, 0]
    if float(((thing - middle) @ normal).mean()) < 0:
        normal = -normal
    return normal, float(middle @ normal)


def _axes(normal: Float[Tensor, " 3"]) -> Float[Tensor, "3 3"]:
    """Two directions along a plane, and its normal, as rows; right-handed."""
    helper = torch.eye(3).to(normal)[int(normal.abs().argmin())]
    first = F.normalize(torch.linalg.cross(helper, normal), dim=0)
    return torch.stack([first, torch.linalg.cross(normal, first), normal])


def _laplacian(shape: tuple[int, int]) -> csr_matrix:
    """Graph Laplacian of a map's cells and their four neighbours, for each cell the sum of (own -
    neighbour); at the border of the map what lies beyond counts as equal (no flow)."""
    number = np.arange(shape[0] * shape[1]).reshape(shape)
    first = np.concatenate([number[:, :-1].ravel(), number[:-1].ravel()])
    second = np.concatenate([number[:, 1:].ravel(), number[1:].ravel()])
    pairs = np.concatenate([first, second]), np.concatenate([second, first])
    beside = coo_matrix((np.ones(len(pairs[0])), pairs), shape=(number.size, number.size)).tocsr()
    return diags(np.asarray(beside.sum(axis=1)).ravel()).tocsr() - beside


def _carried_in(
    values: Float[np.ndarray, "r c k"], known: Bool[np.ndarray, "r c"], cost: csr_matrix
) -> Float[np.ndarray, "r c k"]:
    """Known values, and in between those u of least ``u^T cost u`` over the cells of the map.

    With the Laplacian L as cost they solve Laplace's equation; with L L, the biharmonic one.
    """
    flat = values.reshape(known.size, -1)
    seen, unseen = np.flatnonzero(known), np.flatnonzero(~known)
    found = flat.copy()
    rows = cost[unseen]
    found[unseen] = splu(rows[:, unseen].tocsc()).solve(-(rows[:, seen] @ flat[seen]))
    return found.reshape(values.shape)
