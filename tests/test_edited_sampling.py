"""The sampler of an edited scene looks where the light now goes: a wall, and a plane behind it."""

from __future__ import annotations

import pytest
import torch
from nerfstudio.cameras.rays import RayBundle
from nerfstudio.data.scene_box import SceneBox
from nerfstudio.field_components.field_heads import FieldHeadNames
from torch import nn

from dff.checkpoint import TeacherRecord
from dff.edited_sampling import edited_density_fn, masks_where
from dff.edits.compiled import CompiledEdits
from dff.edits.operations import Delete, Extract, Opacity
from dff.model import DFFModel, DFFModelConfig

WALL, PLANE = (1.8, 2.2), (3.5, 4.5)  # distances from the camera


def distance(positions: torch.Tensor) -> torch.Tensor:
    """Rays start at z = 3 and go straight down."""
    return 3.0 - positions[..., 2:]


def between(positions: torch.Tensor, limits: tuple[float, float]) -> torch.Tensor:
    away = distance(positions)
    return ((away >= limits[0]) & (away < limits[1])).float()


def density_fn(positions: torch.Tensor) -> torch.Tensor:
    return 50.0 * (between(positions, WALL) + between(positions, PLANE))


class TwoWalls(nn.Module):
    """Red in front, green behind."""

    def forward(self, samples):
        positions = samples.frustums.get_positions()
        red, green = between(positions, WALL), between(positions, PLANE)
        rgb = torch.cat([red, green, torch.zeros_like(red)], dim=-1)
        return {FieldHeadNames.DENSITY: density_fn(positions), FieldHeadNames.RGB: rgb}


class WallFeatures(nn.Module):
    """Two hidden features: in front, and behind."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = 0

    def unit_positions(self, positions: torch.Tensor) -> torch.Tensor:
        return positions * 0.1 + 0.5

    def hidden_at(self, positions: torch.Tensor) -> torch.Tensor:
        self.asked += positions[..., 0].numel()
        return torch.cat([between(positions, WALL), between(positions, PLANE)], dim=-1)


class Feature:
    """Selects where one hidden feature is on."""

    def __init__(self, which: int) -> None:
        self.which = which

    def mask(self, hidden: torch.Tensor) -> torch.Tensor:
        return hidden[..., self.which]


def edits(which: int, operation) -> CompiledEdits:
    return CompiledEdits((Feature(which),), (operation,))


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


def test_the_samples_move_from_the_deleted_wall_to_the_plane():
    model = walls()
    fn = edited_density_fn(density_fn, model.feature_field, edits(0, Delete()))
    bundle = down()
    plain, _, _ = model.proposal_sampler(bundle, density_fns=[density_fn])
    moved, _, _ = model.proposal_sampler(bundle, density_fns=[fn])
    on_plane = [between(s.frustums.get_positions(), PLANE).mean() for s in (plain, moved)]
    assert on_plane[0] < 0.2
    assert on_plane[1] > 0.4


def test_half_opacity_lets_half_through():
    # A thin wall whose samples together stop as much as one: alpha is halved in each of them.
    model = walls()
    outputs = model.render(down(), edits(0, Opacity(factor=0.0)))
    assert torch.isfinite(outputs["rgb"]).all()
    ghost = model.render(down(), edits(0, Opacity(factor=0.02)))["rgb"]
    assert (ghost[:, 0] > 0.02).all()
    assert (ghost[:, 1] > 0.5).all()


def test_the_feature_field_is_asked_only_where_something_is():
    features = WallFeatures()
    positions = torch.tensor([0.0, 0.0, 1.0]) + torch.rand(4, 20, 3) * 0.1
    visible = torch.rand(4, 20) > 0.7
    (mask,) = masks_where(features, positions, visible, edits(0, Delete()))
    assert features.asked == int(visible.sum())
    assert mask.shape == (4, 20)
    assert (mask[~visible] == 0).all()
    assert torch.equal(mask[visible], features.hidden_at(positions[visible])[:, 0])
    assert (mask[visible] == 1).all()


def test_nothing_visible_is_nothing_asked():
    visible = torch.zeros(2, 3, dtype=torch.bool)
    (mask,) = masks_where(WallFeatures(), torch.rand(2, 3, 3), visible, edits(0, Delete()))
    assert torch.equal(mask, torch.zeros(2, 3))


def test_points_are_asked_about_where_the_snap_says():
    def to_the_wall(unit: torch.Tensor, world: torch.Tensor) -> torch.Tensor:
        moved = world.clone()
        moved[:, 2] = 1.0
        return moved

    positions = torch.full((1, 4, 3), -5.0)
    visible = torch.ones(1, 4, dtype=torch.bool)
    plain = edits(0, Delete())
    snapped = CompiledEdits(plain.selections, plain.operations, to_the_wall)
    (mask,) = masks_where(WallFeatures(), positions, visible, plain)
    assert (mask == 0).all()
    (mask,) = masks_where(WallFeatures(), positions, visible, snapped)
    assert (mask == 1).all()


def test_outside_its_place_a_selection_is_empty():
    class Left:
        """The left half, in which the features have to be asked."""

        def __call__(self, unit: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            return torch.zeros_like(unit[..., 0]), unit[..., 0] < 0.5

    left = Left()

    positions = torch.tensor([[[-1.0, 0.0, 1.0], [1.0, 0.0, 1.0]]])
    visible = torch.ones(1, 2, dtype=torch.bool)
    plain = edits(0, Delete())
    bounded = CompiledEdits(plain.selections, plain.operations, None, (left,))
    features = WallFeatures()
    (mask,) = masks_where(features, positions, visible, bounded)
    assert mask.tolist() == [[1.0, 0.0]]
    assert features.asked == 1
