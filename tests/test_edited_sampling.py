"""The sampler of an edited scene looks where the light now goes: a wall, and a plane behind it."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from nerfstudio.cameras.rays import RayBundle
from nerfstudio.data.scene_box import SceneBox

from dff.checkpoint import TeacherRecord
from dff.edited_proposals import EditedDensity
from dff.edited_sampling import edited_samples
from dff.edits.compiled import CompiledEdits
from dff.edits.layers import Act, Ball, Layer
from dff.edits.operations import Delete, Extract, HueShift, Opacity
from dff.edits.similarity import Similarity, rotation_from_degrees
from dff.field_matter import FieldMatter
from dff.model import DFFModel, DFFModelConfig

sys.path.insert(0, str(Path(__file__).parent))

from two_walls import (
    PLANE,
    WALL,
    Known,
    TwoWalls,
    WallFeatures,
    between,
    density_fn,
    distance,
    matter,
)


def edits(which: int, operation) -> CompiledEdits:
    layer = Layer(0, (Act(0, operation, which),))
    return CompiledEdits((layer,), (matter(),), (operation,))


def walls() -> DFFModel:
    config = DFFModelConfig(
        implementation="torch",
        background_color="black",
        near_plane=0.5,
        far_plane=6.0,
        num_levels=2,
        log2_hashmap_size=8,
        max_res=16,
        feature_num_levels=2,
        feature_max_res=16,
        feature_log2_hashmap_size=8,
    )
    box = SceneBox(torch.tensor([[-1.0] * 3, [1.0] * 3]))
    metadata = {"teachers": (TeacherRecord("colour", 5, "c0"),)}
    model = DFFModel(config, box, num_train_data=1, metadata=metadata).eval()
    model.field, model.feature_field = TwoWalls(), WallFeatures()
    model.density_fns = [density_fn]
    return model


def down(count: int = 6) -> RayBundle:
    origins = torch.rand(count, 3)
    origins[:, 2] = 3.0
    return RayBundle(
        origins=origins,
        directions=torch.tensor([[0.0, 0.0, -1.0]]).expand(count, 3).contiguous(),
        pixel_area=torch.full((count, 1), 1e-4),
        camera_indices=torch.zeros(count, 1, dtype=torch.long),
        nears=torch.full((count, 1), 0.5),
        fars=torch.full((count, 1), 6.0),
    )


RED, GREEN = torch.tensor([1.0, 0.0, 0.0]), torch.tensor([0.0, 1.0, 0.0])


def check_surface(outputs, colour: torch.Tensor, depth: float) -> None:
    count = len(outputs["rgb"])
    torch.testing.assert_close(outputs["rgb"], colour.expand(count, 3), rtol=0, atol=0.02)
    torch.testing.assert_close(outputs["accumulation"], torch.ones(count, 1), rtol=0, atol=0.02)
    expected = torch.full((count, 1), depth)
    torch.testing.assert_close(outputs["depth"], expected, rtol=0, atol=0.2)


def test_the_wall_is_seen_first():
    check_surface(walls().render(down()), RED, WALL[0])


@pytest.mark.parametrize("operation", [Delete(), Opacity(factor=0.0)])
def test_behind_a_deleted_wall_the_plane_is_seen(operation):
    check_surface(walls().render(down(), edits(0, operation)), GREEN, PLANE[0])


def test_extracting_the_plane_takes_the_wall_away():
    check_surface(walls().render(down(), edits(1, Extract())), GREEN, PLANE[0])


def test_extracting_the_wall_leaves_the_wall():
    check_surface(walls().render(down(), edits(0, Extract())), RED, WALL[0])


def test_deleting_what_is_hidden_changes_nothing_in_front():
    model = walls()
    assert torch.equal(
        model.render(down(1), edits(1, Delete()))["rgb"], model.render(down(1))["rgb"]
    )


def colours_asked(model: DFFModel, made: CompiledEdits | None = None) -> torch.Tensor:
    """Distances from the camera at which colours are asked for."""
    asked = []

    class Watched(TwoWalls):
        def density_at(self, positions):
            density, _ = super().density_at(positions)
            return density, distance(positions).expand(*positions.shape[:-1], 3)

        def colour_of(self, geometry, directions, appearance=None, ray=None):
            asked.append(geometry[:, 0])
            return geometry

    field = Watched()
    model.field = field
    if made is not None:
        made = replace(made, matters=(replace(made.matters[0], field=field),))
    model.render(down(), made)
    return torch.cat(asked)


def test_no_colour_is_asked_for_behind_what_is_opaque():
    asked = colours_asked(walls())
    assert len(asked)
    assert (asked < WALL[1]).all()
    recoloured = colours_asked(walls(), edits(0, HueShift(degrees=90.0)))
    assert torch.equal(recoloured, asked)


def test_colours_are_asked_for_behind_what_is_deleted():
    asked = colours_asked(walls(), edits(0, Delete()))
    assert len(asked)
    assert (asked > PLANE[0]).all()


def test_the_samples_move_from_the_deleted_wall_to_the_plane():
    model = walls()
    fn = EditedDensity(edits(0, Delete()), 0)
    bundle = down()
    plain, _, _ = model.proposal_sampler(bundle, density_fns=[density_fn])
    moved, _, _ = model.proposal_sampler(bundle, density_fns=[fn])
    on_plane = [between(s.frustums.get_positions(), PLANE).mean() for s in (plain, moved)]
    assert on_plane[0] < 0.2
    assert on_plane[1] > 0.4


@pytest.mark.parametrize("factor", [0.25, 0.5, 0.75])
def test_a_solid_wall_of_half_opacity_lets_half_through(factor):
    ghost = walls().render(down(), edits(0, Opacity(factor=factor)))["rgb"]
    wanted = factor * RED + (1 - factor) * GREEN
    torch.testing.assert_close(ghost, wanted.expand(len(ghost), 3), rtol=0, atol=0.04)


UP = Similarity(torch.eye(3, dtype=torch.float64), 1.0, torch.tensor([0.0, 0.0, 1.0]).double())


def moved(pose: Similarity, kept: bool = False) -> CompiledEdits:
    """The green plane elsewhere; where it was it stays only if kept."""
    there = Layer(0) if kept else Layer(0, (Act(0, Delete(), 1),))
    copy = Layer(0, (Act(0, Extract(), 1),), pose, frozenset({0}))
    return CompiledEdits((there, copy), (matter(),), (Extract(),))


def test_what_is_moved_before_the_wall_is_seen_first():
    # The plane begins 3.5 from the camera; two up it is at 1.5, before the wall at 1.8.
    two_up = UP.after(UP)
    check_surface(walls().render(down(), moved(two_up)), GREEN, PLANE[0] - 2)


def test_what_is_moved_behind_the_wall_is_hidden_by_it():
    check_surface(walls().render(down(), moved(UP)), RED, WALL[0])


def test_a_copy_leaves_the_original():
    model = walls()
    wall_gone = Layer(0, (Act(0, Delete(), 0),))
    copy = Layer(0, (Act(1, Extract(), 1),), UP, frozenset({1}))
    both = CompiledEdits((wall_gone, copy), (matter(),), (Delete(), Extract()))
    outputs = model.render(down(), both, touched=True)
    check_surface(outputs, GREEN, PLANE[0] - 1)
    torch.testing.assert_close(outputs["touched"][:, 1], torch.ones(6), atol=0.05, rtol=0)


def test_scaling_keeps_a_thing_as_opaque_as_it_was():
    # A thin veil of optical depth 0.2 on the way down: twice as large it still stops as much.
    density = 0.2 / 0.4

    class Veil(TwoWalls):
        def density_at(self, positions):
            return density * between(positions, WALL), torch.ones_like(positions)

    veil = FieldMatter(Veil(), [density_fn], WallFeatures(), (Known(0),), (None,))
    about = torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64)
    for scale in (1.0, 2.0):
        pose = Similarity.about(about, rotation_from_degrees((0, 0, 30)), scale, 0 * about)
        layer = Layer(0, (Act(0, Extract(), 0),), pose)
        made = CompiledEdits((layer,), (veil,), (Extract(),))
        depth = torch.linspace(0.5, 4.5, 4001)[:, None]
        positions = torch.cat([0 * depth, 0 * depth, 3 - depth], dim=1)
        directions = torch.tensor([0.0, 0.0, -1.0]).expand_as(positions)
        deltas = torch.full_like(depth, 0.001)
        found = edited_samples(
            made, positions, directions, deltas, torch.zeros(4001, dtype=torch.bool)
        )
        through = float(torch.log1p(-found.alphas.double()).sum())
        assert through == pytest.approx(-0.2, abs=2e-3)


def test_the_view_direction_turns_with_the_thing():
    class Lit(TwoWalls):
        def colour_of(self, geometry, directions, appearance=None, ray=None):
            return (directions if ray is None else directions[ray]).abs()

    lit = FieldMatter(Lit(), [density_fn], WallFeatures(), (Known(0),), (None,))
    quarter = rotation_from_degrees((90, 0, 0))
    pose = Similarity.about(torch.tensor([0.0, 0.0, 1.0]), quarter, 1.0, torch.zeros(3))
    made = CompiledEdits((Layer(0, (), pose),), (lit,))
    positions = torch.tensor([[0.0, 0.0, 1.0]])
    down_z = torch.tensor([[0.0, 0.0, -1.0]])
    none = torch.zeros(1, dtype=torch.bool)
    found = edited_samples(made, positions, down_z, torch.ones(1, 1), none)
    # Turned by 90 degrees about x, what was its side is looked at from above.
    torch.testing.assert_close(found.rgb, torch.tensor([[0.0, 1.0, 0.0]]), atol=1e-6, rtol=0)


def test_layers_in_one_place_add_their_densities_and_mix_by_them():
    class Fog(TwoWalls):
        def __init__(self, density: float, colour: torch.Tensor) -> None:
            super().__init__()
            self.density, self.own = density, colour

        def density_at(self, positions):
            return torch.full_like(positions[:, :1], self.density), self.own.expand_as(positions)

    fogs = tuple(
        FieldMatter(Fog(density, colour), [density_fn])
        for density, colour in ((2.0, RED), (6.0, GREEN))
    )
    made = CompiledEdits((Layer(0), Layer(1)), fogs)
    positions, deltas = torch.rand(5, 3), torch.rand(5, 1)
    found = edited_samples(made, positions, positions, deltas, torch.zeros(5).bool())
    torch.testing.assert_close(found.alphas, 1 - torch.exp(-8.0 * deltas))
    expected = (0.25 * RED + 0.75 * GREEN).expand(5, 3)
    torch.testing.assert_close(found.rgb, expected, atol=1e-4, rtol=0)


def test_a_layer_that_is_nowhere_near_changes_no_bit():
    model = walls()
    far = Similarity.about(torch.zeros(3), torch.eye(3), 1.0, torch.tensor([50.0, 0, 0]))
    part = Layer(0, (Act(0, Extract(), 1),), far, ball=Ball(torch.zeros(3), 4.0))
    made = CompiledEdits((Layer(0), part), (matter(),), (Extract(),))
    bundle = down(2)
    plain, edited = model.render(bundle), model.render(bundle, made)
    for name in plain:
        assert torch.equal(plain[name], edited[name]), name


def test_colours_change_where_the_mask_says():
    outputs = walls().render(down(), edits(0, HueShift(degrees=120)))
    check_surface(outputs, GREEN, WALL[0])
