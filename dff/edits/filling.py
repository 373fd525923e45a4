"""What closes the hole under a deleted thing: the surface it stood on, extended from the rim.

Nothing behind a thing was ever seen. But what it stood on is seen all around it, so that its height
and colour can be carried inwards: both are harmonic in the hole (Laplace's equation with the rim as
boundary values), the smoothest surface that fits the rim without going beyond its values.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from scipy.ndimage import binary_closing, binary_dilation, binary_fill_holes
from scipy.sparse import coo_matrix
from scipy.sparse.linalg import spsolve
from scipy.spatial import KDTree
from torch import Tensor

from dff.edits.layers import Ball
from dff.selection.refine import SELECTED
from dff.selection.selection import Selection
from dff.selection.surface_grid import SurfaceGrid

# In voxels of the surface grid: how far off the plane a voxel may lie that says where it is, and
# one that counts as its surface; how close to the thing a voxel holds a bit of it too; between
# which distances from the thing the rim is that says where the plane is; how thick the filling is;
# and how high above it is cleared.
PLANE, FLAT, HIDDEN, NEAR, RIM, DEPTH, CLEARED = 0.5, 1.0, 0.5, 1.5, 8.0, 6.0, 3.0
# A cell of the surface was seen when at least this share as many rays ended there as usually do
# around the thing, and at most this share as many went through it to what lies below.
SCARCE, THROUGH = 0.25, 0.5
# The filling lies this much below the rim, in voxels: where the true surface is, it is seen.
BELOW = 0.25
# Optical depth of one voxel of the filling: what is left shines through.
OPAQUE = 8.0
# A surface is stood on when this share of the thing is on one side of it.
ONE_SIDE = 0.9
FEWEST, TRIALS = 12, 256
# Share of the cells around a hole that must be known for it to be filled.
FLAT_SHARE = 0.4


@dataclass(frozen=True, eq=False)
class Filling:
    """A slab under a height map, as matter (see `dff.edits.compiled.Matter`).

    Attributes:
        origin: (3,), world position of the corner of cell (0, 0) on the plane.
        axes: (3, 3), rows: along the map's rows, along its columns, out of the surface.
        cell: side of a cell in world units.
        height: (r, c), of the surface over the plane, in world units.
        rgb: (r, c, 3), its colour in [0, 1].
        there: (r, c), 1 in the hole and on its rim, 0 elsewhere.
    """

    origin: Float[Tensor, " 3"]
    axes: Float[Tensor, "3 3"]
    cell: float
    height: Float[Tensor, "r c"]
    rgb: Float[Tensor, "r c 3"]
    there: Float[Tensor, "r c"]

    @property
    def ball(self) -> Ball:
        """Around all of it."""
        sides = torch.tensor(self.height.shape).to(self.origin) * self.cell
        middle = self.origin + (sides / 2) @ self.axes[:2]
        radius = float((sides / 2).norm()) + float(self.height.abs().max()) + DEPTH * self.cell
        return Ball(middle, radius)

    def holds(self, points: Float[Tensor, "n 3"]) -> Bool[Tensor, " n"]:
        """Where the hole is: what the scene has there was never seen."""
        local, values = self._looked_up(points)
        above = local[:, 2] - values[:, 0]
        near = (above > -DEPTH * self.cell) & (above < CLEARED * self.cell)
        return near & (values[:, 1] > 0.5)

    def _looked_up(
        self, positions: Float[Tensor, "n 3"]
    ) -> tuple[Float[Tensor, "n 3"], Float[Tensor, "n 5"]]:
        """Positions on the plane and above it; height, whether there is anything, and colour."""
        local = (positions - self.origin.to(positions)) @ self.axes.to(positions).T
        maps = torch.cat([self.height[..., None], self.there[..., None], self.rgb], dim=-1)
        return local, _bilinear(maps.to(positions), local[:, :2] / self.cell)

    def density(
        self, positions: Float[Tensor, "n 3"]
    ) -> tuple[Float[Tensor, "n 1"], Float[Tensor, "n 3"]]:
        """Density in 1 / world unit, and the colour."""
        local, values = self._looked_up(positions)
        below = values[:, 0] - BELOW * self.cell - local[:, 2]
        # Over a quarter of a voxel from nothing to all: a hard border would show the samples.
        inside = (below / (0.25 * self.cell) + 0.5).clamp(0, 1) * (below < DEPTH * self.cell)
        density = OPAQUE / self.cell * inside * (values[:, 1] > 0.5)
        return density[:, None], values[:, 2:]

    def colour(
        self, code: Float[Tensor, "n 3"], directions: Float[Tensor, "n 3"]
    ) -> Float[Tensor, "n 3"]:
        """The same from everywhere."""
        return code

    def proposal(self, level: int, positions: Float[Tensor, "n 3"]) -> Float[Tensor, "n 1"]:
        """As its density is."""
        return self.density(positions)[0]

    def masks(
        self, which: Sequence[int], positions: Float[Tensor, "n 3"], exactly: bool
    ) -> list[Float[Tensor, " n"]]:
        """No query selects in it."""
        return [positions.new_zeros(len(positions)) for _ in which]


def fill_hole(selection: Selection) -> Filling | None:
    """What closes the hole that a deleted selection leaves.

    Returns:
        The filling; None when nothing around the selection looks like what it stands on.
    """
    grid = selection.grid
    selected = selection.values >= SELECTED
    spacing = grid.spacing
    if not selected.any() or selected.all() or spacing <= 0:
        return None
    away = _distance_to(grid, selected)
    rim = (away > NEAR * spacing) & (away < RIM * spacing)
    plane = _support(grid.points[rim], grid.points[selected], spacing)
    if plane is None:
        return None
    normal, offset = plane
    axes = _axes(normal)
    local = grid.points @ axes.T
    local = torch.cat([local[:, :2], local[:, 2:] - offset], dim=1)
    flat = local[:, 2].abs() < FLAT * spacing
    seen = flat & (away > HIDDEN * spacing)
    through = ~selected & ~flat & (local[:, 2] < 0) & (local[:, 2] > -DEPTH * spacing)
    return _filled(local, grid, selected, seen, through, axes, offset)


def _distance_to(grid: SurfaceGrid, selected: Bool[Tensor, " n"]) -> Float[Tensor, " n"]:
    tree = KDTree(grid.points[selected].numpy())
    return torch.from_numpy(tree.query(grid.points.numpy())[0]).float()


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


def _filled(
    local: Float[Tensor, "n 3"],
    grid: SurfaceGrid,
    selected: Bool[Tensor, " n"],
    seen: Bool[Tensor, " n"],
    through: Bool[Tensor, " n"],
    axes: Float[Tensor, "3 3"],
    offset: float,
) -> Filling | None:
    """From voxels in the plane's coordinates (along, along, above)."""
    cell = grid.spacing
    margin = (RIM + 2) * cell
    low = local[selected, :2].amin(dim=0) - margin
    high = local[selected, :2].amax(dim=0) + margin
    shape = tuple(int(n) for n in torch.ceil((high - low) / cell).long())
    if max(shape) > 2048:
        return None
    index = ((local[:, :2] - low) / cell).floor().long()
    inside = (index >= 0).all(dim=1) & (index < torch.tensor(shape)).all(dim=1)

    def rays(which: Bool[Tensor, " n"]) -> Float[np.ndarray, "r c"]:
        """How many met those voxels in each cell."""
        picture, chosen = np.zeros(shape), index[which & inside].numpy()
        np.add.at(picture, (chosen[:, 0], chosen[:, 1]), grid.rays[which & inside].numpy())
        return picture

    around = np.ones((3, 3), dtype=bool)
    footprint = binary_fill_holes(binary_closing(rays(selected) > 0, around, iterations=2))
    footprint = np.asarray(binary_dilation(footprint, around, iterations=2))
    ended = rays(seen)
    beside = np.asarray(binary_dilation(footprint, around, iterations=4), dtype=bool)
    beside = beside & (ended > 0) & np.logical_not(footprint)
    least = SCARCE * np.median(ended[beside]) if beside.any() else 0.0
    well = (ended > 0) & (ended >= least) & (rays(through) <= THROUGH * ended)
    closed = np.asarray(binary_closing(np.pad(well, 2), around))[2:-2, 2:-2]
    hole = binary_closing(footprint & np.logical_not(closed), around, iterations=2)
    hole = np.asarray(binary_fill_holes(hole)) & footprint
    ring = np.asarray(binary_dilation(hole, around, iterations=4)) & np.logical_not(hole)
    trusted = well & np.logical_not(hole)
    # Where the rim itself is hardly flat, going on from it would make things worse.
    if not hole.any() or trusted[ring].mean() < FLAT_SHARE:
        return None
    values = torch.cat([local[:, 2:], grid.rgb], dim=1).numpy().astype(np.float64)
    means = _means(values[(seen & inside).numpy()], index[seen & inside].numpy(), shape)
    whole = _harmonic(means, trusted)
    there = binary_dilation(hole, around, iterations=1)
    origin = low @ axes[:2] + offset * axes[2]
    surface = torch.from_numpy(whole).float()
    return Filling(
        origin,
        axes,
        cell,
        surface[..., 0],
        surface[..., 1:].clamp(0, 1),
        torch.from_numpy(there).float(),
    )


def _means(
    values: Float[np.ndarray, "n k"], index: Int[np.ndarray, "n 2"], shape: tuple[int, ...]
) -> Float[np.ndarray, "r c k"]:
    """Mean of the values in each cell, 0 where there are none."""
    flat = index[:, 0] * shape[1] + index[:, 1]
    count = np.bincount(flat, minlength=shape[0] * shape[1])
    sums = [np.bincount(flat, v, minlength=shape[0] * shape[1]) for v in values.T]
    means = np.stack(sums, axis=-1) / np.maximum(count, 1)[:, None]
    return means.reshape(*shape, values.shape[1])


def _harmonic(
    values: Float[np.ndarray, "r c k"], known: Bool[np.ndarray, "r c"]
) -> Float[np.ndarray, "r c k"]:
    """Known values, and in between the solution of Laplace's equation on the four neighbours.

    At the border of the map what lies beyond counts as equal (no flow).
    """
    rows, columns = known.shape
    number = np.arange(rows * columns).reshape(rows, columns)
    first = np.concatenate([number[:, :-1].ravel(), number[:-1].ravel()])
    second = np.concatenate([number[:, 1:].ravel(), number[1:].ravel()])
    ends = np.concatenate([first, second]), np.concatenate([second, first])
    unknown = ~known.ravel()
    # A row for each cell: the sum over neighbours of (own - neighbour) is 0, or the value is known.
    of_unknown = unknown[ends[0]]
    i, j = ends[0][of_unknown], ends[1][of_unknown]
    ones = np.ones(len(i))
    diagonal = np.where(unknown, np.bincount(i, minlength=known.size), 1.0)
    every = np.arange(known.size)
    matrix = coo_matrix(
        (
            np.concatenate([diagonal, -ones]),
            (np.concatenate([every, i]), np.concatenate([every, j])),
        )
    ).tocsc()
    right = np.where(unknown[:, None], 0.0, values.reshape(-1, values.shape[-1]))
    solved = np.stack([np.asarray(spsolve(matrix, column)) for column in right.T], axis=-1)
    return solved.reshape(values.shape)


def _bilinear(maps: Float[Tensor, "r c k"], cells: Float[Tensor, "n 2"]) -> Float[Tensor, "n k"]:
    """Values between the centres of cells; positions in cells, and zero outside the map."""
    size = torch.tensor(maps.shape[:2]).to(cells)
    grid = (2 * cells / size - 1).flip(-1)[None, None]
    picture = maps.movedim(-1, 0)[None]
    found = F.grid_sample(picture, grid, align_corners=False, padding_mode="border")
    outside = ((cells < 0) | (cells > size)).any(dim=-1)
    return found[0, :, 0].T.masked_fill(outside[:, None], 0.0)
