"""The basis of a teacher's features: against torch's singular value decomposition."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from dff.data.feature_basis import (
    Fidelity,
    basis_place,
    fit_basis,
    list_bases,
    load_basis,
    project,
    save_basis,
)


@pytest.fixture
def maps() -> list[np.ndarray]:
    """Unit features, not centred, whose directions differ clearly in strength."""
    mix = torch.randn(10, 10, dtype=torch.float64) * (0.6 ** torch.arange(10))[:, None]
    maps = []
    for shape in ((6, 7), (3, 9), (8, 2)):
        cells = torch.randn(*shape, 10, dtype=torch.float64) @ mix + 1.0
        maps.append(torch.nn.functional.normalize(cells, dim=-1).half().numpy())
    return maps


def stacked(maps: list[np.ndarray]) -> torch.Tensor:
    return torch.cat([torch.from_numpy(m.astype(np.float64)).reshape(-1, 10) for m in maps])


@pytest.mark.parametrize("components", [1, 4, 10])
def test_it_is_the_first_right_singular_vectors(maps, components):
    basis = fit_basis(maps, components)
    assert basis.dtype == torch.float32
    rows = basis.double()
    torch.testing.assert_close(rows @ rows.T, torch.eye(components).double(), rtol=0, atol=1e-6)
    expected = torch.linalg.svd(stacked(maps), full_matrices=False).Vh[:components]
    aligned = expected * (expected * rows).sum(-1, keepdim=True).sign()
    torch.testing.assert_close(rows, aligned, rtol=0, atol=1e-5)


def test_it_is_the_same_in_any_run_and_its_signs_are_settled(maps):
    basis = fit_basis(iter(maps), 5)
    assert torch.equal(basis, fit_basis(maps, 5))
    assert (basis.gather(1, basis.abs().argmax(1, keepdim=True)) > 0).all()
    with pytest.raises(ValueError, match="at least one map"):
        fit_basis([], 5)


def test_no_other_subspace_of_that_size_keeps_more(maps):
    features = stacked(maps)
    kept = (features @ fit_basis(maps, 3).double().T).square().sum()
    for seed in range(20):
        generator = torch.Generator().manual_seed(seed)
        other = torch.linalg.qr(torch.randn(10, 3, generator=generator, dtype=torch.float64)).Q
        assert (features @ other).square().sum() < kept


def test_coefficients_and_what_they_keep_are_those_of_float64(maps):
    basis = fit_basis(maps, 4)
    for values in maps:
        stored, fidelity = project(values, basis)
        features = torch.from_numpy(values.astype(np.float64))
        expected = features @ basis.double().T
        assert stored.dtype == np.float16
        assert stored.shape == (*values.shape[:2], 4)
        np.testing.assert_allclose(stored, expected.numpy(), rtol=2e-3, atol=1e-3)
        again = torch.from_numpy(stored.astype(np.float64)) @ basis.double()
        cosine = torch.nn.functional.cosine_similarity(again, features, dim=-1)
        assert fidelity.cells == cosine.numel()
        assert fidelity.mean == pytest.approx(float(cosine.mean()), abs=1e-5)
        assert fidelity.least == pytest.approx(float(cosine.min()), abs=1e-5)


def test_inner_products_with_a_projected_query_are_exact_within_the_subspace(maps):
    basis = fit_basis(maps, 6)
    stored, _ = project(maps[0], basis)
    query = torch.nn.functional.normalize(torch.randn(10), dim=0)
    inside = basis.T @ (basis @ query)
    full = torch.from_numpy(maps[0].astype(np.float32)) @ inside
    short = torch.from_numpy(stored.astype(np.float32)) @ (basis @ query)
    torch.testing.assert_close(short, full, rtol=0, atol=2e-3)


def test_fidelities_add_up_over_maps():
    total = sum([Fidelity(2, 1.9, 0.9), Fidelity(3, 2.4, 0.7)], Fidelity())
    assert (total.cells, total.least) == (5, 0.7)
    assert total.mean == pytest.approx(4.3 / 5)


def test_a_file_holds_what_its_name_says_or_nothing(maps, tmp_path):
    basis = fit_basis(maps, 4)
    digest = save_basis(tmp_path, basis)
    assert list_bases(tmp_path) == [digest]
    assert torch.equal(load_basis(tmp_path, digest), basis)
    path = basis_place(tmp_path, digest)
    whole = path.read_bytes()
    for broken in (b"", whole[:-1], whole[:-1] + bytes([whole[-1] ^ 1]), b"\xff" * 100):
        path.write_bytes(broken)
        assert load_basis(tmp_path, digest) is None
    path.write_bytes(whole)
    path.rename(basis_place(tmp_path, "0" * 64))
    assert load_basis(tmp_path, "0" * 64) is None
    assert load_basis(tmp_path, digest) is None
