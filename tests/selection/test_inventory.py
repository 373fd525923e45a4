"""Things found on grids whose parts and features are known."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from dff.selection.inventory import find_things, name_things
from dff.selection.surface_grid import SurfaceGrid

SIDE, RESOLUTION, DIM = 60, 128, 12
# Kind of the table and of four things on it: x, y, radius in voxels. Two are of one kind.
TABLE = 0
DISCS = ((12, 12, 7, 1), (45, 14, 8, 2), (15, 44, 6, 1), (44, 44, 9, 3))


def directions(count: int, seed: int = 0) -> torch.Tensor:
    """Orthonormal, so that kinds are as different as can be."""
    generator = torch.Generator().manual_seed(seed)
    return torch.linalg.qr(torch.randn(DIM, DIM, generator=generator)).Q[:count]


def table_top(
    noise: float, discs: tuple = DISCS, seed: int = 0
) -> tuple[SurfaceGrid, torch.Tensor, torch.Tensor]:
    """A sheet of 60 x 60 voxels, a world unit apart, with discs of other kinds on it.

    Returns:
        The grid, unit features with seeded noise, and which disc each voxel is of (-1: table).
    """
    axis = (torch.arange(SIDE) + 0.5) / RESOLUTION
    unit = torch.stack(torch.meshgrid(axis, axis, torch.tensor([0.5]), indexing="ij"), -1)
    unit = unit.reshape(-1, 3)
    place = unit[:, :2] * RESOLUTION - 0.5
    disc = torch.full((len(unit),), -1)
    kind = torch.full((len(unit),), TABLE)
    for number, (x, y, radius, of) in enumerate(discs):
        inside = (place - torch.tensor([x, y])).norm(dim=1) <= radius
        disc[inside], kind[inside] = number, of
    generator = torch.Generator().manual_seed(seed)
    grid = SurfaceGrid.build(
        unit, unit * RESOLUTION - 0.5, torch.ones(len(unit), 2), torch.zeros(len(unit), 3),
        RESOLUTION,
    )  # fmt: skip
    clean = directions(4)[kind]
    features = F.normalize(clean + noise * torch.randn(clean.shape, generator=generator), dim=1)
    return grid, features, disc


def overlap(mask: torch.Tensor, truth: torch.Tensor) -> float:
    return float((mask & truth).sum()) / float((mask | truth).sum())


@pytest.mark.parametrize("noise", [0.0, 0.05, 0.12])
@pytest.mark.parametrize("seed", [0, 1])
def test_each_thing_is_found_once_and_whole(noise, seed):
    grid, features, disc = table_top(noise, seed=seed)
    things = find_things(grid, features)
    assert len(things) == len(DISCS) + 1
    for number in range(-1, len(DISCS)):
        assert max(overlap(thing.mask, disc == number) for thing in things) > 0.97
    assert [thing.rays for thing in things] == sorted((t.rays for t in things), reverse=True)
    assert int(torch.stack([thing.mask for thing in things]).sum(dim=0).max()) == 1


def test_a_thing_knows_its_size_and_place():
    grid, features, _ = table_top(0.0)
    things = find_things(grid, features)
    x, y, radius, kind = DISCS[3]
    (thing,) = (t for t in things if (t.centre[:2] - torch.tensor([x, y])).norm() < 1)
    torch.testing.assert_close(thing.size, torch.tensor([2.0 * radius, 2.0 * radius, 0.0]))
    torch.testing.assert_close(thing.low[:2], torch.tensor([x - radius, y - radius]).float())
    assert thing.rays == int(thing.mask.sum())
    assert thing.share == pytest.approx(thing.rays / SIDE**2)
    torch.testing.assert_close(thing.prototype, directions(4)[kind])


def test_the_centre_and_prototype_go_by_rays():
    grid, features, disc = table_top(0.0)
    left = grid.points[:, 0] < 12
    rays = torch.where(left, 3, 1)
    weighted = SurfaceGrid(grid.snap, grid.hidden, grid.rgb, rays)
    things = find_things(weighted, features)
    (thing,) = (t for t in things if overlap(t.mask, disc == 0) > 0.97)
    weight = rays[thing.mask][:, None].float()
    expected = (grid.points[thing.mask] * weight).sum(dim=0) / weight.sum()
    torch.testing.assert_close(thing.centre, expected)
    assert thing.rays == int(weight.sum())


def test_specks_join_what_is_around_them():
    grid, features, disc = table_top(0.05, (*DISCS, (30, 30, 1, 2)))
    assert int((disc == 4).sum()) == 5
    things = find_things(grid, features)
    assert len(things) == len(DISCS) + 1
    assert bool(things[0].mask[disc == 4].all())
    assert len(find_things(grid, features, smallest=0.001)) == len(DISCS) + 2


def test_one_uniform_thing_is_not_torn_apart():
    for noise in (0.0, 0.05, 0.2):
        grid, features, _ = table_top(noise, ())
        (thing,) = find_things(grid, features)
        assert float(thing.mask.float().mean()) > 0.99


def test_voxels_without_features_are_of_no_thing():
    grid, features, disc = table_top(0.05)
    features = torch.where((disc == 1)[:, None], torch.zeros(DIM), features)
    things = find_things(grid, features)
    assert len(things) == len(DISCS)
    deep = (grid.points[:, :2] - torch.tensor([45.0, 14.0])).norm(dim=1) < 4
    assert not any(bool(thing.mask[deep].any()) for thing in things)
    assert find_things(grid, torch.zeros_like(features)) == []


def test_the_same_things_every_time_and_arguments_stay():
    grid, features, _ = table_top(0.1)
    before = features.clone()
    first, second = find_things(grid, features), find_things(grid, features)
    assert torch.equal(features, before)
    assert all(torch.equal(a.mask, b.mask) for a, b in zip(first, second, strict=True))


class TestNames:
    LABELS = ("table", "apple", "banana", "mug")

    def things(self):
        grid, features, _ = table_top(0.05)
        return find_things(grid, features)

    def test_the_best_label_wins_and_the_runner_up_is_told(self):
        things = self.things()
        embeddings = directions(4).clone()
        # A second label that leans towards the first.
        embeddings[2] = F.normalize(embeddings[2] + 0.5 * embeddings[0], dim=0)
        names = name_things(things, embeddings, self.LABELS, 20.0)
        assert names[0].label == "table"
        assert names[0].runner_up == "banana"
        assert sorted(name.label for name in names) == ["apple", "apple", "banana", "mug", "table"]
        cosines = embeddings @ things[0].prototype
        expected = torch.softmax(20.0 * cosines, dim=0)
        assert names[0].score == pytest.approx(float(expected[0]), abs=1e-5)
        assert names[0].runner_up_score == pytest.approx(float(expected[2]), abs=1e-5)

    def test_a_label_said_twice_changes_nothing(self):
        things, embeddings = self.things(), directions(4)
        once = name_things(things, embeddings, self.LABELS, 20.0)
        twice = name_things(
            things, torch.cat([embeddings, embeddings[:2]]), (*self.LABELS, "desk", "fruit"), 20.0
        )
        assert [(n.label, n.runner_up) for n in once] == [(n.label, n.runner_up) for n in twice]
        assert [n.score for n in twice] == pytest.approx([n.score for n in once])

    def test_one_label_has_no_runner_up(self):
        names = name_things(self.things(), directions(1), ("table",), 20.0)
        assert {(name.label, name.score, name.runner_up) for name in names} == {
            ("table", 1.0, None)
        }

    def test_nothing_has_no_name(self):
        assert name_things([], directions(1), ("table",), 20.0) == []
