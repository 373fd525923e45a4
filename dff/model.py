"""The DFF model: radiance field, proposal network and feature field, and what they render."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import torch
from nerfstudio.cameras.camera_optimizers import CameraOptimizerConfig
from nerfstudio.cameras.rays import RayBundle, RaySamples
from nerfstudio.field_components.field_heads import FieldHeadNames
from nerfstudio.model_components.losses import (
    MSELoss,
    distortion_loss,
    interlevel_loss,
    scale_gradients_by_distance_squared,
)
from nerfstudio.model_components.ray_samplers import (
    PDFSampler,
    ProposalNetworkSampler,
    UniformLinDispPiecewiseSampler,
)
from nerfstudio.model_components.renderers import RGBRenderer
from nerfstudio.model_components.scene_colliders import NearFarCollider
from nerfstudio.models.base_model import Model
from nerfstudio.models.nerfacto import NerfactoModel, NerfactoModelConfig
from nerfstudio.utils import colormaps
from torch import Tensor
from torch.nn import Parameter

from dff import rendering
from dff.checkpoint import CheckpointRecord, TeacherRecord
from dff.edited_sampling import VISIBLE_ALPHA, edited_density_fn, hidden_where
from dff.edits.compiled import CompiledEdits
from dff.errors import DffError
from dff.fields.blocks import resolve_implementation
from dff.fields.feature_field import FeatureField
from dff.fields.hash_encoding import GridShape
from dff.fields.proposal_field import ProposalField
from dff.fields.radiance_field import RadianceField, RadianceShape
from dff.selection.field_selection import FieldSelection


@dataclass
class DFFModelConfig(NerfactoModelConfig):
    """Configuration of the DFF model; options of nerfacto keep their names and meaning."""

    _target: type = field(default_factory=lambda: DFFModel)
    num_levels: int = 8
    """Number of levels of the radiance field's hash grid."""
    features_per_level: int = 4
    """Values per entry of the radiance field's hash grid."""
    log2_hashmap_size: int = 17
    """Log2 of the entries per level of the radiance field's hash grid."""
    max_res: int = 1024
    """Resolution of the finest level of the radiance field's hash grid."""
    num_proposal_samples_per_ray: tuple[int, ...] = (64,)
    """Number of samples per ray for each proposal network."""
    num_nerf_samples_per_ray: int = 24
    """Number of samples per ray for the radiance field."""
    num_proposal_iterations: int = 1
    """Number of proposal network iterations."""
    proposal_net_args_list: list[dict] = field(
        default_factory=lambda: [
            {"hidden_dim": 16, "log2_hashmap_size": 15, "num_levels": 4, "max_res": 128}
        ]
    )
    """Arguments for the proposal density fields."""
    proposal_update_every: int = 5
    """Train the proposal network every n steps after the warm-up."""
    proposal_warmup: int = 500
    """Grow n from 1 to proposal_update_every over this many steps."""
    proposal_weights_anneal_max_num_iters: int = 200
    """Steps over which the proposal weights are annealed."""
    distortion_loss_mult: float = 0.01
    """Distortion loss multiplier."""
    use_gradient_scaling: bool = True
    """Scale gradients down near the cameras (no floaters in front of them)."""
    average_init_density: float = 0.01
    """Average density at the first step: the scene starts nearly empty and grows."""
    implementation: Literal["auto", "tcnn", "torch"] = "auto"  # type: ignore[assignment]
    """tcnn needs CUDA and tiny-cuda-nn; auto takes it where it is there, torch elsewhere."""
    use_appearance_embedding: bool = False
    """Whether each training image has an appearance embedding."""
    appearance_embed_dim: int = 8
    """Dimension of the appearance embedding."""
    camera_optimizer: CameraOptimizerConfig = field(
        default_factory=lambda: CameraOptimizerConfig(mode="off")
    )
    """Pose refinement while training; off by default."""
    eval_num_rays_per_chunk: int = 4096
    """Rays rendered at once outside training."""
    train_features: bool = True
    """Distil the teacher; without it this is a fast radiance field that cannot be queried."""
    feature_num_levels: int = 6
    """Number of levels of the feature field's hash grid."""
    feature_max_res: int = 256
    """Resolution of the finest level of the feature field's hash grid."""
    feature_log2_hashmap_size: int = 16
    """Log2 of the entries per level of the feature field's hash grid."""
    feature_features_per_level: int = 8
    """Values per entry of the feature field's hash grid."""
    feature_hidden_dim: int = 64
    """Width of the hidden features h(x) that are composited before decoding."""
    feature_samples_per_ray: int | None = 4
    """Ray samples, by weight, at which the feature field is evaluated; None is all of them."""
    feature_loss_mult: float = 1.0
    """Feature loss multiplier."""


class DFFModel(NerfactoModel):
    """Radiance field and feature field, trained together."""

    config: DFFModelConfig

    def populate_modules(self) -> None:
        """Build fields, sampler, renderers and metrics."""
        # Not NerfactoModel's: it builds its own fields and an LPIPS that downloads weights.
        Model.populate_modules(self)
        config = self.config
        self.implementation = resolve_implementation(config.implementation)
        contracted = not config.disable_scene_contraction
        aabb = self.scene_box.aabb
        self.field = RadianceField(
            aabb,
            self.num_train_data,
            RadianceShape(
                grid=GridShape.geometric(
                    config.num_levels,
                    config.base_res,
                    config.max_res,
                    config.log2_hashmap_size,
                    config.features_per_level,
                ),
                hidden_dim=config.hidden_dim,
                appearance_dim=config.appearance_embed_dim
                if config.use_appearance_embedding
                else 0,
                average_init_density=config.average_init_density,
            ),
            contracted,
            self.implementation,
        )
        self.proposal_networks = torch.nn.ModuleList()
        for level in range(config.num_proposal_iterations):
            arguments = config.proposal_net_args_list[
                min(level, len(config.proposal_net_args_list) - 1)
            ]
            grid = GridShape.geometric(
                arguments["num_levels"],
                config.base_res,
                arguments["max_res"],
                arguments["log2_hashmap_size"],
                arguments.get("features_per_level", 2),
            )
            self.proposal_networks.append(
                ProposalField(
                    aabb,
                    grid,
                    arguments["hidden_dim"],
                    config.average_init_density,
                    contracted,
                    self.implementation,
                )
            )
        self.density_fns = [network.density_fn for network in self.proposal_networks]
        self.feature_field: FeatureField | None = None
        if config.train_features:
            # The dimension is known once the teacher is, at the latest from the checkpoint.
            self.feature_field = FeatureField(
                aabb,
                GridShape.geometric(
                    config.feature_num_levels,
                    config.base_res,
                    config.feature_max_res,
                    config.feature_log2_hashmap_size,
                    config.feature_features_per_level,
                ),
                config.feature_hidden_dim,
                1,
                contracted,
                self.implementation,
            )
        self.record_teacher(self.kwargs["metadata"].get("teacher"))
        self.edits: CompiledEdits | None = None
        self.selection: FieldSelection | None = None
        self.camera_optimizer = config.camera_optimizer.setup(
            num_cameras=self.num_train_data, device="cpu"
        )
        self.proposal_sampler = ProposalNetworkSampler(
            num_nerf_samples_per_ray=config.num_nerf_samples_per_ray,
            num_proposal_samples_per_ray=config.num_proposal_samples_per_ray,
            num_proposal_network_iterations=config.num_proposal_iterations,
            single_jitter=config.use_single_jitter,
            update_sched=self._proposal_interval,
            initial_sampler=UniformLinDispPiecewiseSampler(single_jitter=config.use_single_jitter),
            pdf_sampler=PDFSampler(include_original=False, single_jitter=config.use_single_jitter),
        )
        self.collider = NearFarCollider(near_plane=config.near_plane, far_plane=config.far_plane)
        self.renderer_rgb = RGBRenderer(background_color=config.background_color)
        self.rgb_loss = MSELoss()
        self.step = 0
        from torchmetrics.functional import structural_similarity_index_measure
        from torchmetrics.image import PeakSignalNoiseRatio

        self.psnr = PeakSignalNoiseRatio(data_range=1.0)
        self.ssim = structural_similarity_index_measure

    def _proposal_interval(self, step: int) -> float:
        config = self.config
        interval = np.interp(step, [0, config.proposal_warmup], [0, config.proposal_update_every])
        return float(np.clip(interval, 1, config.proposal_update_every))

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

    def record_teacher(self, teacher: TeacherRecord | None) -> None:
        """Note which teacher the features come from, and give the decoder its dimension."""
        if teacher is not None:
            if self.feature_field is None:
                raise DffError(
                    "this checkpoint has features: leave out --pipeline.model.train-features False"
                )
            if self.feature_field.feature_dim != teacher.dim:
                self.feature_field.set_feature_dim(teacher.dim)
        self.teacher_record = teacher
        record = CheckpointRecord(self.implementation, teacher)
        self.register_buffer("record", record.to_tensor())

    def drop_features(self) -> None:
        """Become a model without feature field, as a checkpoint without one needs."""
        self.feature_field = None

    def get_outputs(self, ray_bundle: RayBundle) -> dict[str, Any]:
        """Render a bundle of rays; outside training with the edits and the selection that are set.

        Returns:
            ``rgb`` (rays, 3), ``accumulation``, ``depth`` (median) and ``expected_depth``
            (rays, 1), in world units along the ray; outside training ``relevancy`` (rays, 1) in
            [0, 1] where a selection is set; while training ``features`` (rays, D).
        """
        if self.training:
            return self._training_outputs(ray_bundle)
        return self.render(ray_bundle, self.edits, self.selection)

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
        if self.feature_field is not None:
            outputs["features"] = self.feature_field.decode(self._render_hidden(weights, samples))
        return outputs

    @torch.no_grad()
    def render(
        self,
        ray_bundle: RayBundle,
        edits: CompiledEdits | None = None,
        selection: FieldSelection | None = None,
        hidden: bool = False,
    ) -> dict[str, Tensor]:
        """Render rays of the edited scene; nothing of the model changes.

        Args:
            ray_bundle: rays with near and far set.
            edits: what is changed; None renders the scene as it was trained.
            selection: adds ``relevancy``, the score of the composited features.
            hidden: adds ``hidden_features`` (rays, H), composited.
        """
        density_fns = self.density_fns
        if edits is not None and edits.changes_opacity and self.feature_field is not None:
            # Otherwise the samples crowd where things were, not where the light now goes.
            density_fns = [
                edited_density_fn(density_fn, self.feature_field, edits)
                for density_fn in density_fns
            ]
        samples: RaySamples
        samples, _, _ = self.proposal_sampler(ray_bundle, density_fns=density_fns)
        field_outputs = self.field(samples)
        density, rgb = field_outputs[FieldHeadNames.DENSITY], field_outputs[FieldHeadNames.RGB]
        assert samples.deltas is not None
        alphas = rendering.alphas_from_density(density, samples.deltas)
        if edits is not None and edits.operations and self.feature_field is not None:
            hidden_at = hidden_where(
                self.feature_field, samples.frustums.get_positions(), alphas[..., 0] > VISIBLE_ALPHA
            )
            alphas, rgb = edits.apply(density, samples.deltas, rgb, edits.masks(hidden_at))
        weights = rendering.weights_from_alphas(alphas)
        outputs = self._composite(weights, rgb, samples)
        if self.feature_field is not None and (hidden or selection is not None):
            composited = self._render_hidden(weights, samples)
            if hidden:
                outputs["hidden_features"] = composited
            if selection is not None:
                outputs["relevancy"] = selection.scores(composited)[..., None]
        return outputs

    def _composite(self, weights: Tensor, rgb: Tensor, samples: RaySamples) -> dict[str, Any]:
        distances = (samples.frustums.starts + samples.frustums.ends) / 2
        with torch.no_grad():
            depth = rendering.median_depth(weights, distances)
            expected = rendering.expected_depth(weights, distances)
        return {
            "rgb": self.renderer_rgb(rgb=rgb, weights=weights),
            "accumulation": rendering.accumulation(weights),
            "depth": depth,
            "expected_depth": expected,
        }

    def _render_hidden(self, weights: Tensor, samples: RaySamples) -> Tensor:
        assert self.feature_field is not None
        top, index = rendering.top_samples(weights.detach(), self.config.feature_samples_per_ray)
        positions = samples.frustums.get_positions().detach()
        positions = torch.gather(positions, -2, index[..., None].expand(*index.shape, 3))
        return rendering.render_features(top, self.feature_field.hidden_at(positions))

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
        if "features" in outputs and "features" in batch:
            error = outputs["features"] - batch["features"].to(self.device)
            losses["feature_loss"] = self.config.feature_loss_mult * error.square().sum(-1).mean()
        self.camera_optimizer.get_loss_dict(losses)
        return losses

    def get_image_metrics_and_images(
        self, outputs: dict[str, Tensor], batch: dict[str, Tensor]
    ) -> tuple[dict[str, float], dict[str, Tensor]]:
        """PSNR and SSIM of one image, and pictures of photo beside render, opacity and depth.

        LPIPS is left out: its weights would have to be downloaded.
        """
        photo = self.renderer_rgb.blend_background(batch["image"].to(self.device))
        render = outputs["rgb"]
        pair = [image.movedim(-1, 0)[None] for image in (photo, render)]
        metrics = {"psnr": float(self.psnr(pair[1], pair[0])), "ssim": float(self.ssim(*pair))}
        images = {
            "img": torch.cat([photo, render], dim=1),
            "accumulation": colormaps.apply_colormap(outputs["accumulation"]),
            "depth": colormaps.apply_depth_colormap(
                outputs["depth"], accumulation=outputs["accumulation"]
            ),
        }
        return metrics, images
