"""The claims' verdicts, tables and plots; and that each training changes what it is to change."""

from __future__ import annotations

import copy
import sys
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from dff.method import dff_method
from dff.model import DFFModel

TOOLS = Path(__file__).resolve().parents[2] / "tools"
sys.path.insert(0, str(TOOLS))
sys.path.insert(0, str(TOOLS.parent / "tests"))

from reproduce_claims import as_markdown, claims, plot, values, verdict  # noqa: E402
from reproduce_variants import (  # noqa: E402
    FeatureGradientModel,
    NearSurfaceModel,
    second_teacher,
    variants,
    write_colour_maps,
)


def results(better: float, worse: float) -> dict:
    names = [*variants(), "two teachers"]
    figures = sorted({c.figure for claim in claims() for g in claim.groups.values() for c in g})
    found = {name: dict.fromkeys(figures, worse) for name in names}
    found["default"] = dict.fromkeys(figures, better)
    found["default"]["labels/teacher/mean_iou"] = worse
    return {1: found, 2: copy.deepcopy(found)}


def test_there_are_eight_claims_and_all_their_trainings():
    numbered = {claim.number: claim for claim in claims()}
    assert sorted(numbered) == list(range(1, 9))
    trainings = {c.training for claim in claims() for g in claim.groups.values() for c in g}
    assert trainings <= {*variants(), "two teachers"}


def test_a_claim_holds_where_it_is_better_by_the_margin():
    by_number = {claim.number: claim for claim in claims()}
    good, bad = results(0.9, 0.8), results(0.7, 0.8)
    assert verdict(good, by_number[1]) == "holds in 2 of 2 scenes"
    assert verdict(bad, by_number[1]) == "holds in 0 of 2 scenes"
    # That features do not hurt is claimed to the last bit, that fewer samples do as well is not.
    assert verdict(results(0.8, 0.8), by_number[2]) == "holds in 2 of 2 scenes"
    assert verdict(results(0.7999, 0.8), by_number[2]) == "holds in 0 of 2 scenes"
    assert verdict(results(0.795, 0.8), by_number[5]) == "holds in 2 of 2 scenes"
    assert verdict(results(0.78, 0.8), by_number[5]) == "holds in 0 of 2 scenes"
    assert "no verdict" in verdict(good, by_number[7])


def test_a_training_that_is_missing_counts_for_nothing():
    found = results(0.9, 0.8)
    del found[2]["no features"]
    claim = next(claim for claim in claims() if claim.number == 2)
    assert verdict(found, claim) == "holds in 1 of 1 scenes"
    (columns,) = claim.groups.values()
    assert np.isnan(values(found, columns[1])[1])


def test_tables_and_plots_of_every_claim(tmp_path):
    found = results(0.9, 0.8)
    for claim in claims():
        text = as_markdown(found, claim)
        assert claim.words in text
        assert "0.900 ± 0.000" in text
        for path in plot(found, claim, tmp_path):
            with Image.open(path) as picture:
                assert picture.size[0] > 300


def test_each_training_changes_one_thing():
    made = {}
    for name, change in variants().items():
        config = copy.deepcopy(dff_method.config)
        change(config)
        made[name] = config.pipeline
    assert made["no features"].model.train_features is False
    assert made["all samples"].model.feature_samples_per_ray is None
    assert made["pca 16"].datamanager.feature_pca == 16
    assert made["no stop-gradient"].model._target is FeatureGradientModel
    assert made["near surface"].model._target is NearSurfaceModel
    for name in ("no stop-gradient", "near surface"):
        assert made[name].model.max_res == made["default"].model.max_res


def test_two_teachers_are_the_first_and_the_colours(tmp_path):
    config = copy.deepcopy(dff_method.config)
    second_teacher("colours", tmp_path)(config)
    assert config.pipeline.teachers == "mini,precomputed"
    assert config.pipeline.teacher.precomputed.folder == tmp_path
    config = copy.deepcopy(dff_method.config)
    second_teacher("dino", tmp_path)(config)
    assert config.pipeline.teachers == "mini,dino"


def test_colour_maps_tell_colours_apart(tmp_path):
    pixels = np.zeros((40, 60, 3), np.uint8)
    pixels[:, :30, 0], pixels[:, 30:, 2] = 220, 220
    Image.fromarray(pixels).save(tmp_path / "a.png")
    folder = write_colour_maps([tmp_path / "a.png"], tmp_path / "maps")
    features = torch.from_numpy(np.load(folder / "a.npy"))
    torch.testing.assert_close(features.norm(dim=-1), torch.ones(features.shape[:2]))
    assert float(features[5, 5] @ features[20, 20]) > 0.99
    assert float(features[5, 5] @ features[5, -5]) < 0.7


class TestModels:
    """The two models that differ, on a random fog."""

    @staticmethod
    def losses_reach(kind: type[DFFModel]) -> float:
        from tiny_model import rays, tiny_model

        model = tiny_model()
        model.__class__ = kind
        model.train()
        bundle = model.collider(rays())
        outputs = model.get_outputs(bundle)
        outputs["features"]["colour"].square().sum().backward()
        grads = [p.grad for p in model.field.parameters() if p.grad is not None]
        return float(sum(g.abs().sum() for g in grads)) if grads else 0.0

    def test_stop_gradient_is_what_keeps_the_feature_loss_from_the_density(self):
        assert self.losses_reach(DFFModel) == 0.0
        assert self.losses_reach(NearSurfaceModel) == 0.0
        assert self.losses_reach(FeatureGradientModel) > 0.0

    def test_near_the_surface_of_an_opaque_wall_both_see_the_same(self):
        from nerfstudio.cameras.rays import Frustums, RaySamples
        from tiny_model import tiny_model

        model = tiny_model()
        starts = torch.linspace(0.1, 1.0, 10)[None, :, None]
        frustums = Frustums(
            origins=torch.zeros(1, 10, 3),
            directions=torch.tensor([0.0, 0.0, 1.0]).expand(1, 10, 3),
            starts=starts,
            ends=starts + 0.1,
            pixel_area=torch.ones(1, 10, 1),
        )
        samples = RaySamples(frustums=frustums)
        weights = torch.zeros(1, 10, 1)
        weights[0, 4] = 1.0
        rendered = DFFModel._render_hidden(model, weights, samples)
        single = NearSurfaceModel._render_hidden(model, weights, samples)
        torch.testing.assert_close(rendered, single)
        # Half the light at each of two places: one point in between is neither.
        weights[0, 4], weights[0, 9] = 0.5, 0.5
        rendered = DFFModel._render_hidden(model, weights, samples)
        single = NearSurfaceModel._render_hidden(model, weights, samples)
        assert not torch.allclose(rendered, single)
