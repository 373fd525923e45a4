"""The DFF model: radiance field, proposal network and feature field, and what they render."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

import torch
from jaxtyping import Float
from nerfstudio.cameras.rays import RayBundle, RaySamples
from nerfstudio.field_components.field_heads import FieldHeadNames
from nerfstudio.model_components.losses import (
    MSELoss,
    distortion_loss,
    interlevel_loss,
    scale_gradients_by_distance_squared,
)
from nerfstudio.model_components.renderers import RGBRenderer
from nerfstudio.model_components.scene_colliders import NearFarCollider
from nerfstudio.models.base_model import Model
from nerfstudio.models.nerfacto import NerfactoModel
from torch import Tensor
from torch.nn import Parameter

from dff import rendering
from dff.checkpoint import CheckpointRecord, TeacherRecord
from dff.edited_proposals import joined, sample_edited
from dff.edited_sampling import VISIBLE_WEIGHT, edited_samples
from dff.edits.compiled import CompiledEdits
from dff.errors import DffError
from dff.fields.blocks import ResolvedImplementation, layout_of, resolve_implementation
from dff.fields.feature_field import FeatureField
from dff.fields.proposal_field import ProposalField
from dff.fields.radiance_field import RadianceField, colour_where
from dff.fields.visibility import DensityPrior
from dff.model_config import DFFModelConfig
from dff.pictures import beside_photo
from dff.sampling import rendering_sampler, training_sampler
from dff.selection.field_selection import FieldSelection

if TYPE_CHECKING:
    from dff.viewer_panel import ViewerOutputs


class DFFModel(NerfactoModel):
    """Radiance field and feature field, trained together."""

    config: DFFModelConfig
    density_fns: list[Any]
    # What `get_outputs` shows outside of training, besides the scene as it was trained.
    edits: CompiledEdits | None = None
    selection: FieldSelection | None = None
    viewer_outputs: ViewerOutputs | None = None

    def populate_modules(self) -> None:
        """Build fields, sampler, renderers and metrics."""
        # Not NerfactoModel's: it builds its own fields and an LPIPS that downloads weights.
        Model.populate_modules(self)
        config = self.config
        self.implementation: ResolvedImplementation = resolve_implementation(config.implementation)
        contracted = not config.disable_scene_contraction
        aabb = self.scene_box.aabb
        self.prior = self._density_prior(contracted)
        self.field = RadianceField(
            aabb,
            self.num_train_data,
            config.radiance_shape(),
            self.prior,
            contracted,
            self.implementation,
        )
        self.proposal_networks = torch.nn.ModuleList()
        for level in range(config.num_proposal_iterations):
            grid, width = config.proposal_shape(level)
            self.proposal_networks.append(
                ProposalField(aabb, grid, width, self.prior, contracted, self.implementation)
            )
        self.density_fns = [cast(ProposalField, p).density_fn for p in self.proposal_networks]
        self.feature_field: FeatureField | None = None
        self.teacher_records: tuple[TeacherRecord, ...] = ()
        # With a random state of its own the feature field changes nothing else: the radiance field
        # is bit for bit the one that training without features gives.
        with torch.random.fork_rng():
            if config.train_features:
                # Its heads come once the teachers are known, at the latest from the checkpoint.
                self.feature_field = FeatureField(
                    aabb,
                    config.feature_grid(),
                    config.feature_hidden_dim,
                    contracted,
                    self.implementation,
                )
            self.record_teachers(
                self.kwargs["metadata"].get("teachers", ()), self.kwargs["metadata"].get("bases")
            )
        self.camera_optimizer = config.camera_optimizer.setup(
            num_cameras=self.num_train_data, device="cpu"
        )
        self.proposal_sampler = training_sampler(config)
        self.eval_sampler = rendering_sampler(config)
        self.finer_sampler = rendering_sampler(config, config.eval_finer)
        self.collider = NearFarCollider(near_plane=config.near_plane, far_plane=config.far_plane)
        self.renderer_rgb = RGBRenderer(background_color=config.background_color)
        self.rgb_loss = MSELoss()
        self.step = 0
        from torchmetrics.functional import structural_similarity_index_measure
        from torchmetrics.image import PeakSignalNoiseRatio

        self.psnr = PeakSignalNoiseRatio(data_range=1.0)
        self.ssim = structural_similarity_index_measure

    def _density_prior(self, contracted: bool) -> DensityPrior:
        cameras = self.kwargs["metadata"].get("cameras")
        if cameras is None:  # not training: the checkpoint brings it
            return DensityPrior.uniform(self.config.average_init_density)
        return DensityPrior.from_cameras(
            cameras,
            self.scene_box.aabb,
            contracted,
            self.config.average_init_density,
            self.config.lowest_init_density,
        )

    def get_param_groups(self) -> dict[str, list[Parameter]]:
        """Parameters by optimizer group."""
        groups = {
            "proposal_networks": list(self.proposal_networks.parameters()),
            "fields": list(self.field.parameters()),
        }
        if self.feature_field is not None:
            groups["feature_field"] = list(self.feature_field.parameters())
        self.camera_optimizer.get_param_groups(param_groups=groups)
        return groups

    def record_teachers(
        self,
        teachers: Sequence[TeacherRecord],
        bases: Mapping[str, Float[Tensor, "K D"] | None] | None = None,
    ) -> None:
        """Note which teachers the features come from, and give each a head.

        Args:
            teachers: in the order of ``--pipeline.teachers``.
            bases: by teacher, what its coefficients are of; a checkpoint brings its own.
        """
        if teachers and self.feature_field is None:
            raise DffError(
                "this checkpoint has features: leave out --pipeline.model.train-features False"
            )
        for teacher in teachers:
            assert self.feature_field is not None
            if teacher not in self.teacher_records:
                head = self.feature_field.add_head(teacher.name, teacher.dim, teacher.components)
                basis = (bases or {}).get(teacher.name)
                if basis is not None:
                    head.basis = basis.to(head.decoder.weight)
        self.teacher_records = tuple(teachers)
        record = CheckpointRecord(layout_of(self.implementation), self.teacher_records)
        self.register_buffer("record", record.to_tensor())

    @property
    def asked_features(self) -> FeatureField:
        """The feature field, to be asked.

        Raises:
            DffError: there is none.
        """
        if self.feature_field is None:
            raise DffError("this scene was trained without features: it cannot be queried")
        return self.feature_field

    def drop_features(self) -> None:
        """Become a model without feature field, as a checkpoint without one needs."""
        self.feature_field = None

    def get_outputs(self, ray_bundle: RayBundle) -> dict[str, Any]:
        """Render a bundle of rays; outside training with the edits and the selection that are set.

        Returns:
            ``rgb`` (rays, 3), ``accumulation``, ``depth`` (median) and ``expected_depth``
            (rays, 1), in world units along the ray; outside training ``relevancy`` (rays, 1) in
            [0, 1] where a selection is set; while training ``features``: by teacher (rays, D), or
            (rays, K) coefficients.
        """
        if self.training:
            return self._training_outputs(ray_bundle)
        shown = self.viewer_outputs
        outputs = self.render(ray_bundle, self.edits, self.selection, hidden=shown is not None)
        return outputs if shown is None else shown.added_to(outputs)

    def _training_outputs(self, ray_bundle: RayBundle) -> dict[str, Any]:
        self.camera_optimizer.apply_to_raybundle(ray_bundle)
        samples: RaySamples
        samples, weights_list, samples_list = self.proposal_sampler(
            ray_bundle, density_fns=self.density_fns
        )
        field_outputs = self.field(samples)
        if self.config.use_gradient_scaling:
            field_outputs = scale_gradients_by_distance_squared(field_outputs, samples)
        assert samples.deltas is not None
        weights = rendering.weights_from_density(
            field_outputs[FieldHeadNames.DENSITY], samples.deltas
        )
        outputs = self._composite(weights, field_outputs[FieldHeadNames.RGB], samples)
        outputs["weights_list"] = [*weights_list, weights]
        outputs["ray_samples_list"] = [*samples_list, samples]
        if self.feature_field is not None and self.config.distils_at(self.step):
            hidden = self._render_hidden(weights, samples)
            outputs["features"] = {
                teacher.name: self.feature_field.head(teacher.name)(hidden)
                for teacher in self.teacher_records
            }
        return outputs

    @torch.no_grad()
    def render(
        self,
        ray_bundle: RayBundle,
        edits: CompiledEdits | None = None,
        selection: FieldSelection | None = None,
        hidden: bool = False,
        touched: bool = False,
    ) -> dict[str, Tensor]:
        """Render rays of the edited scene; nothing of the model changes.

        Args:
            ray_bundle: rays with near and far set.
            edits: what is changed; None renders the scene as it was trained.
            selection: adds ``relevancy``, the score of the composited features.
            hidden: adds ``hidden_features`` (rays, H), composited, of the scene as it was trained.
            touched: adds ``touched`` (rays, K), what each of the K steps changed of the light.
        """
        if edits is not None and edits.changes_nothing:
            edits = None
        asked = (edits, selection, hidden, touched)
        if edits is None or not edits.changes_opacity:
            samples, _, _ = self.eval_sampler(ray_bundle, density_fns=self.density_fns)
            return self._outputs_at(samples, *asked)
        # Otherwise the samples crowd where things were, not where the light now goes.
        samplers = self.eval_sampler, self.finer_sampler
        groups = sample_edited(edits, ray_bundle, len(self.density_fns), *samplers)
        return joined([(rays, self._outputs_at(samples, *asked)) for rays, samples in groups])

    def _outputs_at(
        self,
        samples: RaySamples,
        edits: CompiledEdits | None,
        selection: FieldSelection | None,
        hidden: bool,
        touched: bool,
    ) -> dict[str, Tensor]:
        """As `render`, at ray samples (rays, samples)."""
        assert samples.deltas is not None
        if edits is None:
            density, geometry = self.field.get_density(samples)
            alphas = rendering.alphas_from_density(density, samples.deltas)
            weights = rendering.weights_from_alphas(alphas)
            rgb = colour_where(self.shown(weights), self.field, geometry, samples)
            outputs = self._composite(weights, rgb, samples)
        else:
            weights, outputs = self._edited_outputs(edits, samples, touched)
        if self.feature_field is not None and (hidden or selection is not None):
            composited = self._render_hidden(weights, samples)
            if hidden:
                outputs["hidden_features"] = composited
            if selection is not None:
                outputs["relevancy"] = selection.scores(composited)[..., None]
        return outputs

    def shown(self, weights: Tensor) -> Tensor:
        """Which of the ray samples (rays, samples) get a colour: none behind what is opaque."""
        seen = weights[..., 0] > VISIBLE_WEIGHT
        if self.config.background_color == "last_sample":
            # The light that is left meets what the last sample shows.
            seen[..., -1] = True
        return seen

    def _edited_outputs(
        self, edits: CompiledEdits, samples: RaySamples, touched: bool
    ) -> tuple[Tensor, dict[str, Any]]:
        """Weights and outputs of the edited scene at ray samples (rays, samples)."""
        assert samples.deltas is not None
        shape = samples.deltas.shape[:-1]
        last = torch.zeros(shape, dtype=torch.bool, device=samples.deltas.device)
        last[..., -1] = self.config.background_color == "last_sample"
        found = edited_samples(
            edits,
            samples.frustums.get_positions().reshape(-1, 3),
            samples.frustums.directions[:, 0],
            samples.deltas.reshape(-1, 1),
            last.reshape(-1),
            touched,
            shape[-1],
        )
        weights = rendering.weights_from_alphas(found.alphas.view(*shape, 1))
        rgb = found.rgb.view(*shape, 3)
        outputs = self._depths(weights, samples)
        if self.config.background_color == "last_sample" or edits.background is not None:
            far = rgb[..., -1, :], found.far.view(*shape, 1)[..., -1, :]
            outputs.update(rendering.over_background(weights, rgb, *far, edits.background))
        else:
            outputs["rgb"] = self.renderer_rgb(rgb=rgb, weights=weights)
        if found.touched is not None:
            outputs["touched"] = rendering.accumulate(weights, found.touched.view(*shape, -1))
        elif touched:
            outputs["touched"] = weights.new_zeros(*shape[:-1], 0)
        return weights, outputs

    def _composite(self, weights: Tensor, rgb: Tensor, samples: RaySamples) -> dict[str, Any]:
        seen = self.renderer_rgb(rgb=rgb, weights=weights)
        return {"rgb": seen, **self._depths(weights, samples)}

    def _depths(self, weights: Tensor, samples: RaySamples) -> dict[str, Any]:
        distances = (samples.frustums.starts + samples.frustums.ends) / 2
        with torch.no_grad():
            depth = rendering.median_depth(weights, distances)
            expected = rendering.expected_depth(weights, distances)
        return {
            "accumulation": rendering.accumulation(weights),
            "depth": depth,
            "expected_depth": expected,
        }

    def _render_hidden(self, weights: Tensor, samples: RaySamples) -> Tensor:
        assert self.feature_field is not None
        top, index = rendering.top_samples(weights.detach(), self.config.feature_samples_per_ray)
        frustums = samples.frustums
        middle = torch.gather((frustums.starts + frustums.ends) / 2, -2, index[..., None])
        positions = frustums.origins[..., :1, :] + frustums.directions[..., :1, :] * middle
        return rendering.render_features(top, self.feature_field.hidden_at(positions))

    def get_rgba_image(self, outputs: dict[str, Tensor], output_name: str = "rgb") -> Tensor:
        """Colours and opacity (h, w, 4), straight: transparent where edits make it so."""
        if output_name == "rgb" and "rgba" in outputs:
            return outputs["rgba"]
        return super().get_rgba_image(outputs, output_name)

    def get_metrics_dict(self, outputs: dict[str, Any], batch: dict[str, Any]) -> dict[str, Tensor]:
        """Training metrics: PSNR of the batch and the distortion."""
        metrics: dict[str, Tensor] = {}
        target = self.renderer_rgb.blend_background(batch["image"].to(self.device))
        metrics["psnr"] = self.psnr(outputs["rgb"].detach(), target)
        if self.training:
            metrics["distortion"] = distortion_loss(
                outputs["weights_list"], outputs["ray_samples_list"]
            )
        self.camera_optimizer.get_metrics_dict(metrics)
        return metrics

    def get_loss_dict(
        self,
        outputs: dict[str, Any],
        batch: dict[str, Any],
        metrics_dict: dict[str, Tensor] | None = None,
    ) -> dict[str, Tensor]:
        """Colour, proposal, distortion and feature losses."""
        losses: dict[str, Tensor] = {}
        predicted, target = self.renderer_rgb.blend_background_for_loss_computation(
            pred_image=outputs["rgb"],
            pred_accumulation=outputs["accumulation"],
            gt_image=batch["image"].to(self.device),
        )
        losses["rgb_loss"] = self.rgb_loss(target, predicted)
        if not self.training:
            return losses
        losses["interlevel_loss"] = self.config.interlevel_loss_mult * interlevel_loss(
            outputs["weights_list"], outputs["ray_samples_list"]
        )
        assert metrics_dict is not None
        losses["distortion_loss"] = self.config.distortion_loss_mult * metrics_dict["distortion"]
        if self.config.background_color == "last_sample":
            passing = 1.0 - outputs["accumulation"].mean()
            losses["opacity_loss"] = self.config.opacity_mult_at(self.step) * passing
        if outputs.get("features") and "features" in batch:
            # Features have unit length, whatever their dimension: teachers weigh the same.
            errors = [
                (features - batch["features"][name].to(self.device)).square().sum(-1).mean()
                for name, features in outputs["features"].items()
            ]
            losses["feature_loss"] = self.config.feature_loss_mult * torch.stack(errors).sum()
        self.camera_optimizer.get_loss_dict(losses)
        return losses

    def get_image_metrics_and_images(
        self, outputs: dict[str, Tensor], batch: dict[str, Tensor]
    ) -> tuple[dict[str, float], dict[str, Tensor]]:
        """PSNR and SSIM of one image, and pictures of photo beside render, opacity and depth.

        LPIPS is left out: its weights would have to be downloaded.
        """
        photo = self.renderer_rgb.blend_background(batch["image"].to(self.device))
        pair = [image.movedim(-1, 0)[None] for image in (photo, outputs["rgb"])]
        similarity = cast(Tensor, self.ssim(pair[1], pair[0]))
        metrics = {"psnr": float(self.psnr(pair[1], pair[0])), "ssim": float(similarity)}
        return metrics, beside_photo(photo, outputs)
