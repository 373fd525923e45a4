"""Rays at the rim of what was put elsewhere have more samples, and no other ray has."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from nerfstudio.cameras.rays import RayBundle

from dff.edited_proposals import joined, sample_edited
from dff.edits.compiled import CompiledEdits
from dff.edits.layers import Act, Ball, Layer
from dff.edits.operations import Duplicate, Extract
from dff.edits.similarity import Similarity
from dff.model_config import DFFModelConfig
from dff.sampling import rendering_sampler

sys.path.insert(0, str(Path(__file__).parent))

from two_walls import PLANE, WALL, between, density_fn, matter

LIFT = 0.9
# A round piece of the wall, whose upper side lies at a distance of 1.8 from the camera.
PIECE = Ball(torch.tensor([0.5, 0.5, 1.0]), 0.3)


def thin_density(positions: torch.Tensor) -> torch.Tensor:
    """A wall through which 45% of the light comes, and an opaque plane."""
    return 2.0 * between(positions, WALL) + 50.0 * between(positions, PLANE)


def lifted_piece(density=thin_density) -> CompiledEdits:
    """The walls, and a copy of the piece nearer to the camera."""
    up = torch.tensor([0.0, 0.0, LIFT])
    pose = Similarity.about(torch.zeros(3), torch.eye(3), 1.0, up)
    piece = Layer(0, (Act(0, Extract(), 0),), pose, frozenset({0}), PIECE)
    made = replace(matter(), density_fns=[density])
    return CompiledEdits((Layer(0), piece), (made,), (Duplicate(translate=(0, 0, LIFT)),))


def rays_at(x: torch.Tensor) -> RayBundle:
    """Straight down at y = 0.5."""
    origins = torch.stack([x, torch.full_like(x, 0.5), torch.full_like(x, 3.0)], dim=1)
    return RayBundle(
        origins=origins,
        directions=torch.tensor([[0.0, 0.0, -1.0]]).expand(len(x), 3).contiguous(),
        pixel_area=torch.full((len(x), 1), 1e-4),
        camera_indices=torch.zeros(len(x), 1, dtype=torch.long),
        nears=torch.full((len(x), 1), 0.5),
        fars=torch.full((len(x), 1), 6.0),
    )


def samplers(**options):
    config = DFFModelConfig(**options)
    return tuple(rendering_sampler(config, finer).eval() for finer in (1, config.eval_finer))


ACROSS = torch.tensor([0.0, 0.5, 0.1, 0.45, 0.95, 0.62])
MET = [1, 3, 5]


def test_only_rays_that_show_the_copy_are_sampled_more_finely():
    plain, finer = samplers()
    (some, fine), (others, coarse) = sample_edited(lifted_piece(), rays_at(ACROSS), 1, plain, finer)
    assert some.tolist() == MET
    assert others.tolist() == [0, 2, 4]
    assert fine.shape == (3, 48)
    untouched, _, _ = plain(rays_at(ACROSS[others]), density_fns=[thin_density])
    for name in ("starts", "ends"):
        assert torch.equal(getattr(coarse.frustums, name), getattr(untouched.frustums, name))


@pytest.mark.parametrize("x", [torch.tensor([0.0, 0.1]), torch.tensor([0.5])])
def test_rays_of_one_kind_are_one_group(x):
    ((index, samples),) = sample_edited(lifted_piece(), rays_at(x), 1, *samplers())
    assert index.tolist() == list(range(len(x)))
    assert samples.shape == (len(x), 24 if len(x) == 2 else 48)


def test_where_none_is_finer_nothing_is_sampled_again():
    plain, _ = samplers()
    ((index, samples),) = sample_edited(lifted_piece(), rays_at(ACROSS), 1, plain, plain)
    assert index.tolist() == list(range(len(ACROSS)))
    assert samples.shape == (len(ACROSS), 24)


def test_what_stops_all_light_is_found_without_more_samples():
    ((index, samples),) = sample_edited(lifted_piece(density_fn), rays_at(ACROSS), 1, *samplers())
    assert len(index) == len(ACROSS)
    assert samples.shape == (len(ACROSS), 24)


def test_finer_samples_crowd_on_the_copy():
    def inside(finer: int) -> torch.Tensor:
        """Samples of each of the rays that lie in the copy."""
        made = samplers(eval_num_proposal_samples=32, eval_num_nerf_samples=8, eval_finer=finer)
        _, samples = sample_edited(lifted_piece(), rays_at(ACROSS), 1, *made)[0]
        places = samples.frustums.get_positions() - torch.tensor([0.0, 0.0, LIFT])
        return between(places, WALL)[..., 0].sum(dim=1)

    assert (inside(1) >= 1).all()
    assert (inside(4) >= 3 * inside(1)).all()


def test_outputs_come_in_the_order_of_the_rays():
    whole = torch.rand(7, 3)
    first, second = torch.tensor([5, 0, 3]), torch.tensor([1, 2, 4, 6])
    groups = [
        (index, {"rgb": whole[index], "depth": whole[index][:, :1]}) for index in (first, second)
    ]
    found = joined(groups)
    assert torch.equal(found["rgb"], whole)
    assert torch.equal(found["depth"], whole[:, :1])
