"""What the model renders and learns, on a few rays: gradients, compositing, edits."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch
from nerfstudio.cameras.camera_optimizers import CameraOptimizerConfig
from nerfstudio.cameras.rays import RayBundle
from nerfstudio.data.scene_box import SceneBox
from nerfstudio.field_components.field_heads import FieldHeadNames

from dff.checkpoint import TeacherRecord
from dff.edits.compiled import CompiledEdits
from dff.edits.layers import Act, Layer
from dff.edits.operations import Delete, Extract, HueShift, Opacity, SetColor
from dff.field_matter import FieldMatter
from dff.model import DFFModel, DFFModelConfig
from dff.query.scores import QueryEmbedding, query_scores
from dff.selection.field_selection import FieldSelection

RAYS, DIM = 24, 5


def tiny_model(**more) -> DFFModel:
    """A model small enough to look at, in a random fog that varies in space."""
    config = DFFModelConfig(
        num_levels=3,
        features_per_level=2,
        max_res=32,
        log2_hashmap_size=10,
        hidden_dim=16,
        num_proposal_samples_per_ray=(16,),
        num_nerf_samples_per_ray=10,
        proposal_net_args_list=[
            {"hidden_dim": 8, "log2_hashmap_size": 9, "num_levels": 2, "max_res": 16}
        ],
        feature_num_levels=3,
        feature_max_res=32,
        feature_log2_hashmap_size=10,
        feature_features_per_level=2,
        feature_hidden_dim=8,
        implementation="torch",
        near_plane=0.1,
        far_plane=6.0,
        **more,
    )
    metadata = {"teachers": (TeacherRecord("colour", DIM, "c0"),)} if config.train_features else {}
    box = SceneBox(torch.tensor([[-1.0] * 3, [1.0] * 3]))
    model = DFFModel(config, box, num_train_data=4, metadata=metadata)
    model.prior.grid.copy_(3 * torch.rand_like(model.prior.grid))
    for field in (model.field, model.feature_field):
        if field is not None:  # tables start at nearly zero: make places differ
            for parameter in field.encoding.parameters():
                parameter.data.copy_(torch.randn_like(parameter))
    return model


def rays(count: int = RAYS) -> RayBundle:
    directions = torch.nn.functional.normalize(torch.randn(count, 3), dim=-1)
    return RayBundle(
        origins=torch.randn(count, 3) * 0.3,
        directions=directions,
        pixel_area=torch.full((count, 1), 1e-4),
        camera_indices=torch.randint(0, 4, (count, 1)),
        nears=torch.full((count, 1), 0.1),
        fars=torch.full((count, 1), 6.0),
    )


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
        assert set(losses) == {"rgb_loss", "interlevel_loss", "distortion_loss", "feature_loss"}
        del losses["feature_loss"]
        sum(losses.values()).backward()
        assert not any(touched(model.feature_field.parameters()))
        assert any(touched(model.field.encoding.parameters()))
        assert any(touched(model.proposal_networks.parameters()))

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
    """What is rendered, the samples it was rendered from, and what the radiance field said."""
    seen = []
    hook = model.field.register_forward_hook(lambda _, given, found: seen.append((*given, found)))
    outputs = model.render(bundle, **more)
    hook.remove()
    ((samples, found),) = seen
    return outputs, samples, found


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
        colour = (weights[..., None] * field[FieldHeadNames.RGB]).sum(dim=1)
        torch.testing.assert_close(found["rgb"].double(), colour, rtol=1e-4, atol=1e-5)
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
        every = [model._proposal_interval(step) for step in (0, 20, 50, 100, 10_000)]
        assert every == pytest.approx([1.0, 1.0, 2.5, 5.0, 5.0])
        assert all(type(value) is float for value in every)
