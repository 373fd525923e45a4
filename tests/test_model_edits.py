"""Edits on a model in a random fog: what changes nothing changes no bit, and what goes is gone."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from dff.edits.compiled import CompiledEdits
from dff.edits.layers import Act, Layer
from dff.edits.operations import Delete, Extract, HueShift, Opacity, SetColor
from dff.field_matter import FieldMatter
from dff.model import DFFModel
from dff.query.scores import QueryEmbedding
from dff.selection.field_selection import FieldSelection

sys.path.insert(0, str(Path(__file__).parent))

from tiny_model import DIM, RAYS, rays, tiny_model


@dataclass(frozen=True)
class Everywhere:
    """The same mask at every point."""

    value: float

    def mask(self, hidden: torch.Tensor) -> torch.Tensor:
        return torch.full_like(hidden[..., 0], self.value)


@dataclass(frozen=True)
class Half:
    """Points whose first hidden feature is large."""

    def mask(self, hidden: torch.Tensor) -> torch.Tensor:
        return (hidden[..., 0] > 0.05).to(hidden.dtype)


@dataclass(frozen=True)
class WhereFeatures:
    """All points that have features at all, as a real selection that everything matches."""

    def mask(self, hidden: torch.Tensor) -> torch.Tensor:
        return (hidden != 0).any(dim=-1).to(hidden.dtype)


def asked_anywhere(selection):
    """The selection is asked everywhere; its voxels, where they are to do, say about as much."""
    about = getattr(selection, "value", 0.5)

    def place(unit: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        everywhere = torch.ones_like(unit[..., 0], dtype=torch.bool)
        return torch.full_like(unit[..., 0], about), everywhere

    return place


def steps(model: DFFModel, *pairs) -> CompiledEdits:
    matter = FieldMatter(
        model.field,
        model.density_fns,
        model.feature_field,
        tuple(asked_anywhere(selection) for selection, _ in pairs),
        tuple(selection for selection, _ in pairs),
    )
    acts = tuple(Act(k, operation, k) for k, (_, operation) in enumerate(pairs))
    return CompiledEdits((Layer(0, acts),), (matter,), tuple(operation for _, operation in pairs))


NO_EFFECT = {
    "empty stack": (),
    "delete nothing": ((Everywhere(0.0), Delete()),),
    "extract everything": ((Everywhere(1.0), Extract()),),
    "opacity of nothing": ((Everywhere(0.0), Opacity(factor=0.2)),),
    "full opacity": ((Everywhere(1.0), Opacity(factor=1.0)),),
    "recolour nothing": ((Everywhere(0.0), HueShift(degrees=90)),),
    "several": (
        (Everywhere(0.0), Delete()),
        (Everywhere(1.0), Extract()),
    ),
}


class TestEdits:
    @pytest.mark.parametrize("name", NO_EFFECT)
    def test_what_changes_nothing_changes_no_bit(self, name):
        model = tiny_model().eval()
        bundle = rays()
        plain, edited = model.render(bundle), model.render(bundle, steps(model, *NO_EFFECT[name]))
        for key, value in plain.items():
            assert torch.equal(value, edited[key]), key

    def test_deleting_everything_leaves_nothing(self):
        model = tiny_model().eval()
        outputs = model.render(rays(), steps(model, (Everywhere(1.0), Delete())))
        assert (outputs["accumulation"] == 0).all()
        outputs = model.render(rays(), steps(model, (Everywhere(0.0), Extract())))
        assert (outputs["accumulation"] == 0).all()

    def test_recolouring_changes_colour_and_nothing_else(self):
        model = tiny_model().eval()
        bundle = rays()
        edits = steps(model, (Half(), SetColor(color=(1.0, 0.0, 0.0), gain=2.0)))
        plain, edited = model.render(bundle), model.render(bundle, edits)
        assert not torch.allclose(plain["rgb"], edited["rgb"], atol=0.02)
        for key in ("accumulation", "depth", "expected_depth"):
            assert torch.equal(plain[key], edited[key]), key

    def test_deleting_and_extracting_the_same_share_the_light(self):
        # On one and the same set of samples, which every ray has: no density, no proposals.
        model = tiny_model().eval()
        bundle = rays()
        deleted = model.render(bundle, steps(model, (Half(), Delete())))["accumulation"]
        extracted = model.render(bundle, steps(model, (Half(), Extract())))["accumulation"]
        plain = model.render(bundle)["accumulation"]
        assert (deleted < plain - 0.01).any()
        assert (extracted < plain - 0.01).any()
        # Removing matter never stops more light, up to where the samples now lie.
        assert (deleted <= plain + 0.15).all()

    def test_edits_on_empty_space_work(self):
        model = tiny_model().eval()
        model.prior.grid.zero_()
        outputs = model.render(
            rays(), steps(model, (Half(), Delete()), (Half(), HueShift(degrees=9)))
        )
        assert (outputs["accumulation"] == 0).all()
        assert torch.isfinite(outputs["rgb"]).all()

    @pytest.mark.parametrize("operation", [Delete(), Extract()])
    def test_thin_fog_is_edited_to_within_one_grey_level(self, operation):
        model = tiny_model(background_color="white").eval()
        model.prior.grid.fill_(1e-3)  # every sample stops less than a thousandth of the light
        with torch.no_grad():
            for network in (model.field.density_mlp, model.proposal_networks[0].mlp):
                for parameter in network.parameters():
                    parameter.zero_()
        bundle = rays()
        plain = model.render(bundle)["accumulation"]
        found = model.render(bundle, steps(model, (WhereFeatures(), operation)))["accumulation"]
        expected = plain if isinstance(operation, Extract) else torch.zeros_like(plain)
        assert float((found - expected).abs().max()) < 1 / 255

    def test_rendering_changes_no_parameter_and_no_buffer(self):
        model = tiny_model().eval()
        before = {name: value.clone() for name, value in model.state_dict().items()}
        query = QueryEmbedding(torch.randn(1, DIM), torch.randn(1, DIM), 10.0, "pairwise")
        selection = FieldSelection.make(query, model.feature_field.head("colour").weight, 0.5)
        edits = steps(model, (Half(), Delete()), (selection, HueShift(degrees=30)))
        model.render(rays(), edits, selection, hidden=True)
        after = model.state_dict()
        assert set(before) == set(after)
        assert all(torch.equal(before[name], after[name]) for name in before)
        assert all(p.grad is None for p in model.parameters())

    def test_nerfstudios_way_in_sees_the_edits_and_the_selection(self):
        model = tiny_model().eval()
        bundle = rays()
        query = QueryEmbedding(torch.randn(1, DIM), torch.randn(1, DIM), 10.0, "pairwise")
        model.selection = FieldSelection.make(query, model.feature_field.head("colour").weight, 0.5)
        model.edits = steps(model, (Everywhere(1.0), Delete()))
        outputs = model(bundle)
        assert (outputs["accumulation"] == 0).all()
        assert outputs["relevancy"].shape == (RAYS, 1)

    def test_training_does_not_see_the_edits(self):
        model = tiny_model()
        bundle = rays()
        model.train()
        torch.manual_seed(1)
        plain = model(bundle)["rgb"]
        model.edits = steps(model, (Everywhere(1.0), Delete()))
        torch.manual_seed(1)
        assert torch.equal(model(bundle)["rgb"], plain)
