"""What the model renders and learns, on a few rays: gradients and compositing."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
from nerfstudio.cameras.camera_optimizers import CameraOptimizerConfig
from nerfstudio.cameras.rays import RayBundle
from nerfstudio.field_components.field_heads import FieldHeadNames

from dff.edited_sampling import VISIBLE_WEIGHT
from dff.model import DFFModel
from dff.query.scores import QueryEmbedding, query_scores
from dff.sampling import proposal_interval
from dff.selection.field_selection import FieldSelection

sys.path.insert(0, str(Path(__file__).parent))

from tiny_model import DIM, RAYS, rays, tiny_model


def losses_of(model: DFFModel) -> dict[str, torch.Tensor]:
    model.train()
    outputs = model(rays())
    batch = {"image": torch.rand(RAYS, 3), "features": {"colour": torch.randn(RAYS, DIM)}}
    return model.get_loss_dict(outputs, batch, model.get_metrics_dict(outputs, batch))


def touched(parameters) -> list[bool]:
    return [p.grad is not None and bool((p.grad != 0).any()) for p in parameters]


class TestGradients:
    @pytest.mark.parametrize("samples", [None, 4])
    def test_the_feature_loss_does_not_touch_density_or_colour(self, samples):
        model = tiny_model(
            feature_samples_per_ray=samples, camera_optimizer=CameraOptimizerConfig(mode="SO3xR3")
        )
        losses_of(model)["feature_loss"].backward()
        others = [p for name, p in model.named_parameters() if not name.startswith("feature_field")]
        assert len(others) > 6
        assert not any(touched(others))
        assert all(touched(model.feature_field.parameters()))

    def test_all_other_losses_do_not_touch_the_features(self):
        model = tiny_model()
        losses = losses_of(model)
        others = {"rgb_loss", "interlevel_loss", "distortion_loss", "opacity_loss"}
        assert set(losses) == {"feature_loss", *others}
        del losses["feature_loss"]
        sum(losses.values()).backward()
        assert not any(touched(model.feature_field.parameters()))
        assert any(touched(model.field.encoding.parameters()))
        assert any(touched(model.proposal_networks.parameters()))

    def test_light_that_nothing_stops_costs_where_the_far_end_would_shine_through(self):
        model = tiny_model(opacity_loss_mult=0.5, opacity_warmup=200)
        model.train()
        for step, mult in ((0, 0.0), (200, 0.0), (250, 0.125), (400, 0.5), (999, 0.5)):
            model.step = step
            outputs = model.get_outputs(rays())
            batch = {"image": torch.rand(RAYS, 3)}
            losses = model.get_loss_dict(outputs, batch, model.get_metrics_dict(outputs, batch))
            stopped = outputs["weights_list"][-1].double().sum(dim=(1, 2))
            assert 0.05 < float(stopped.mean()) < 0.99
            expected = mult * float((1 - stopped).mean())
            assert float(losses["opacity_loss"]) == pytest.approx(expected, rel=1e-4)
        assert "opacity_loss" not in losses_of(tiny_model(background_color="black"))

    def test_the_appearance_learns_only_from_its_own_images(self):
        model = tiny_model(use_appearance_embedding=True)
        model.train()
        bundle = rays()
        bundle.camera_indices[:] = 2
        model(bundle)["rgb"].sum().backward()
        used = (model.field.appearance.weight.grad != 0).any(dim=-1)
        assert used.tolist() == [False, False, True, False]

    def test_every_parameter_is_in_one_optimizer_group(self):
        model = tiny_model(
            use_appearance_embedding=True, camera_optimizer=CameraOptimizerConfig(mode="SO3xR3")
        )
        grouped = [id(p) for group in model.get_param_groups().values() for p in group]
        # nerfstudio's models carry an empty parameter that only says where they are.
        ours = [p for name, p in model.named_parameters() if name != "device_indicator_param"]
        assert sorted(grouped) == sorted(id(p) for p in ours)
        assert set(tiny_model().get_param_groups()) == {
            "proposal_networks",
            "fields",
            "feature_field",
        }


def weights_by_hand(density: torch.Tensor, deltas: torch.Tensor) -> torch.Tensor:
    """(rays, samples) in float64, one ray and one sample at a time."""
    weights = torch.zeros(density.shape[:2], dtype=torch.float64)
    for ray in range(density.shape[0]):
        light = 1.0
        for sample in range(density.shape[1]):
            stopped = 1 - torch.exp(-density[ray, sample, 0].double() * deltas[ray, sample, 0])
            weights[ray, sample] = light * stopped
            light = light * (1 - stopped)
    return weights


def watched(model: DFFModel, bundle: RayBundle, **more):
    """What is rendered, from which samples, and what the radiance field says there."""
    seen = []
    sampler = model.eval_sampler
    hook = sampler.register_forward_hook(lambda _, given, found: seen.append(found[0]))
    outputs = model.render(bundle, **more)
    hook.remove()
    (samples,) = seen
    with torch.no_grad():
        return outputs, samples, model.field(samples)


class TestCompositing:
    def test_features_are_the_weighted_sum_of_all_samples(self):
        model = tiny_model(feature_samples_per_ray=None).eval()
        outputs, samples, field = watched(model, rays(), hidden=True)
        weights = weights_by_hand(field[FieldHeadNames.DENSITY], samples.deltas)
        with torch.no_grad():
            each = model.feature_field.features_at(
                samples.frustums.get_positions(), "colour"
            ).double()
            found = model.feature_field.decode(outputs["hidden_features"], "colour")
        expected = (weights[..., None] * each).sum(dim=1)
        assert expected.abs().max() > 1e-2
        torch.testing.assert_close(found.double(), expected, rtol=1e-4, atol=1e-5)

    def test_only_the_heaviest_samples_count_when_some_are_asked_for(self):
        model = tiny_model(feature_samples_per_ray=3).eval()
        outputs, samples, field = watched(model, rays(), hidden=True)
        weights = weights_by_hand(field[FieldHeadNames.DENSITY], samples.deltas)
        light = weights < weights.sort(dim=1, descending=True).values[:, 2:3]
        weights[light] = 0.0
        with torch.no_grad():
            each = model.feature_field.hidden_at(samples.frustums.get_positions()).double()
        expected = (weights[..., None] * each).sum(dim=1)
        found = outputs["hidden_features"]
        torch.testing.assert_close(found.double(), expected, rtol=1e-4, atol=1e-5)

    def test_asking_for_more_samples_than_there_are_is_asking_for_all(self):
        model = tiny_model(feature_samples_per_ray=None).eval()
        bundle = rays()
        outputs, samples, _ = watched(model, bundle, hidden=True)
        everything = outputs["hidden_features"]
        for k in (samples.shape[-1], samples.shape[-1] + 1, 1000):
            model.config.feature_samples_per_ray = k
            assert torch.equal(model.render(bundle, hidden=True)["hidden_features"], everything)

    def test_training_composites_with_its_own_samples(self):
        model = tiny_model(feature_samples_per_ray=None, use_gradient_scaling=False)
        model.train()
        outputs = model(rays())
        samples = outputs["ray_samples_list"][-1]
        with torch.no_grad():
            density = model.field.density_at(samples.frustums.get_positions())[0]
            each = model.feature_field.features_at(
                samples.frustums.get_positions(), "colour"
            ).double()
        expected = (weights_by_hand(density, samples.deltas)[..., None] * each).sum(dim=1)
        found = outputs["features"]["colour"].detach().double()
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)

    def test_colour_and_opacity_by_hand(self):
        model = tiny_model(background_color="black").eval()
        found, samples, field = watched(model, rays())
        weights = weights_by_hand(field[FieldHeadNames.DENSITY], samples.deltas)
        everything = (weights[..., None] * field[FieldHeadNames.RGB]).sum(dim=1)
        shown = torch.where(weights > VISIBLE_WEIGHT, weights, 0.0)
        colour = (shown[..., None] * field[FieldHeadNames.RGB]).sum(dim=1)
        torch.testing.assert_close(found["rgb"].double(), colour, rtol=1e-4, atol=1e-5)
        # What is left out would not change an 8-bit pixel by one step.
        assert (found["rgb"] - everything).abs().max() < 1 / 255
        opacity = weights.sum(dim=1, keepdim=True)
        torch.testing.assert_close(found["accumulation"].double(), opacity, rtol=1e-4, atol=1e-5)

    def test_scores_are_those_of_the_decoded_features(self):
        model = tiny_model(feature_samples_per_ray=None).eval()
        bundle = rays()
        with torch.no_grad():
            hidden = model.render(bundle, hidden=True)["hidden_features"]
            features = model.feature_field.decode(hidden, "colour")
            # Along the line on which the rays differ most, so that their scores differ too.
            line = torch.linalg.svd(features - features.mean(dim=0)).Vh[:1]
        query = QueryEmbedding(line, -line, 10.0, "softmax")
        selection = FieldSelection.make(query, model.feature_field.head("colour").weight, 0.5)
        outputs = model.render(bundle, selection=selection)
        expected = query_scores(features, query)[:, None]
        torch.testing.assert_close(outputs["relevancy"], expected, rtol=1e-4, atol=1e-5)
        assert outputs["relevancy"].std() > 0.01


class TestWithoutFeatures:
    def test_it_renders_and_trains_without_a_feature_field(self):
        model = tiny_model(train_features=False)
        assert model.feature_field is None
        assert "feature_loss" not in losses_of(model)
        model.eval()
        assert set(model.render(rays())) == {"rgb", "accumulation", "depth", "expected_depth"}


class TestPictures:
    def test_psnr_and_ssim_of_equal_and_different_images(self):
        model = tiny_model().eval()
        image = torch.rand(16, 16, 3)
        flat = torch.ones(16, 16, 1)
        outputs = {"rgb": image + 0.1, "accumulation": flat, "depth": flat}
        metrics, images = model.get_image_metrics_and_images(outputs, {"image": image})
        assert metrics["psnr"] == pytest.approx(20.0, abs=1e-3)
        assert 0.5 < metrics["ssim"] < 1.0
        assert images["img"].shape == (16, 32, 3)

    def test_the_proposal_is_trained_ever_more_rarely(self):
        model = tiny_model(proposal_warmup=100, proposal_update_every=5)
        every = [proposal_interval(model.config, step) for step in (0, 20, 50, 100, 10_000)]
        assert every == pytest.approx([1.0, 1.0, 2.5, 5.0, 5.0])
        assert all(type(value) is float for value in every)
