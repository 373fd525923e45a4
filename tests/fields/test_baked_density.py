"""Densities read off a grid, beside the network's own and an interpolation by scipy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.interpolate import RegularGridInterpolator

from dff.fields.baked_density import BakedDensity, densities_off_grids
from dff.fields.contraction import uncontract
from dff.fields.hash_encoding import GridShape
from dff.fields.proposal_field import ProposalField
from dff.fields.visibility import DensityPrior

RESOLUTION = 16


def proposal(contracted: bool, finest: int = RESOLUTION) -> ProposalField:
    torch.manual_seed(3)
    aabb = torch.tensor([[-1.0, -2.0, -1.0], [1.0, 2.0, 3.0]])
    grid = GridShape((8, finest), 15, 2)
    field = ProposalField(aabb, grid, 16, DensityPrior.uniform(2.0), contracted, "torch")
    with torch.no_grad():
        field.encoding.table.mul_(1e5)  # a trained one's differences
    return field.eval()


def in_world(field: ProposalField, unit: torch.Tensor) -> torch.Tensor:
    if field.contracted:
        return uncontract(unit * 4.0 - 2.0)
    return field.aabb[0] + unit * (field.aabb[1] - field.aabb[0])


@pytest.mark.parametrize("contracted", [True, False])
def test_at_the_vertices_it_is_the_network(contracted):
    field = proposal(contracted)
    line = torch.arange(1, RESOLUTION) / RESOLUTION
    points = in_world(field, torch.cartesian_prod(line, line, line))
    with torch.no_grad():
        wanted = field.density_fn(points)
    assert wanted.max() > 3 * wanted.min()
    torch.testing.assert_close(BakedDensity(field)(points), wanted, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("contracted", [True, False])
def test_between_them_logarithms_are_interpolated(contracted):
    field = proposal(contracted)
    line = torch.linspace(0, 1, RESOLUTION + 1)
    with torch.no_grad():
        known = field.density_in_cube(torch.cartesian_prod(line, line, line)).double().log()
    table = known.view(RESOLUTION + 1, RESOLUTION + 1, RESOLUTION + 1).numpy()
    reference = RegularGridInterpolator((line.double().numpy(),) * 3, table)
    unit = torch.rand(500, 3, generator=torch.Generator().manual_seed(1)) * 0.98 + 0.01
    found = BakedDensity(field)(in_world(field, unit).view(50, 10, 3))
    assert found.shape == (50, 10, 1)
    np.testing.assert_allclose(
        found.view(-1).numpy(), np.exp(reference(unit.double().numpy())), rtol=2e-3
    )


def test_outside_the_box_nothing_is():
    field = proposal(contracted=False)
    points = torch.tensor([[0.0, 0.0, 0.0], [1.5, 0.0, 0.0], [0.0, 0.0, 30.0]])
    found = BakedDensity(field)(points)[:, 0]
    assert found[0] > 0
    assert found[1:].tolist() == [0.0, 0.0]


def test_an_empty_network_stays_empty():
    field = proposal(contracted=True)
    with torch.no_grad():
        field.prior.grid.zero_()
    assert BakedDensity(field)(torch.zeros(4, 3)).max() <= 2e-6


def test_other_weights_are_baked_anew_and_training_asks_the_network():
    field = proposal(contracted=True)
    baked = BakedDensity(field)
    points = torch.rand(20, 3, generator=torch.Generator().manual_seed(2))
    before = baked(points)
    state = {name: value.clone() for name, value in field.state_dict().items()}
    state["encoding.table"] += 30
    field.load_state_dict(state)
    torch.testing.assert_close(baked(points), BakedDensity(field)(points))
    assert not torch.allclose(baked(points), before, rtol=0.1)
    field.train()
    assert baked(points).requires_grad
    assert torch.equal(baked(points), field.density_fn(points))


@pytest.mark.parametrize(
    ("finest", "implementation", "off_a_grid"),
    [(128, "torch", True), (128, "cpu", True), (129, "torch", False), (128, "triton", False)],
)
def test_the_sampler_asks_networks_themselves_where_a_grid_would_not_do(
    finest, implementation, off_a_grid
):
    networks = [proposal(contracted=True, finest=finest)]
    (found,) = densities_off_grids(networks, implementation)
    assert isinstance(found, BakedDensity) is off_a_grid
    assert off_a_grid or found == networks[0].density_fn
