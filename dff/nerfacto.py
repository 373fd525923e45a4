"""Scenes that nerfstudio's own nerfacto trained, as scenes of ours: to lift onto, ask and edit.

Their fields are nerfstudio's, with the two questions added that ours are asked; on a CPU the hash
encoding runs by our kernel, on nerfstudio's own tables.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from jaxtyping import Float, Int
from nerfstudio.cameras.rays import Frustums, RaySamples
from nerfstudio.engine.trainer import TrainerConfig
from nerfstudio.field_components.encodings import HashEncoding
from nerfstudio.field_components.field_heads import FieldHeadNames
from nerfstudio.field_components.spatial_distortions import SceneContraction
from nerfstudio.fields.density_fields import HashMLPDensityField
from nerfstudio.fields.nerfacto_field import NerfactoField
from nerfstudio.model_components.ray_samplers import ProposalNetworkSampler, UniformSampler
from nerfstudio.model_components.renderers import RGBRenderer
from nerfstudio.model_components.scene_colliders import NearFarCollider
from nerfstudio.models.base_model import Model
from nerfstudio.models.nerfacto import NerfactoModelConfig
from torch import Tensor, nn

from dff.data.datamanager import DFFDataManagerConfig
from dff.errors import DffError
from dff.fields.blocks import tcnn_is_usable
from dff.fields.hash_encoding import GridShape
from dff.fields.hash_encoding_cpu import interpolate_cpu
from dff.model import DFFModel
from dff.model_config import DFFModelConfig
from dff.pipeline import DFFPipeline, DFFPipelineConfig

# nerfacto's learning-rate schedules leave numpy numbers beside the weights.
_PLAIN_NUMBERS = [
    np.float64(0).__reduce__()[0],
    np.dtype,
    type(np.dtype(np.float64)),
    type(np.dtype(np.int64)),
]


@dataclass
class NerfactoSceneModelConfig(DFFModelConfig):
    """What nerfacto's configuration says, where ours has the same option."""

    _target: type = field(default_factory=lambda: NerfactoSceneModel)
    hidden_dim_color: int = 64
    """Dimension of hidden layers for the colour network."""
    hidden_dim_transient: int = 64
    """Dimension of hidden layers for the transient network."""


@dataclass
class NerfactoScenePipelineConfig(DFFPipelineConfig):
    """Our pipeline around a scene that nerfacto trained."""

    _target: type = field(default_factory=lambda: NerfactoScenePipeline)


class NerfactoSceneField(NerfactoField):
    """nerfacto's field, asked as ours is; colours in the appearance it renders with."""

    def density_at(
        self, positions: Float[Tensor, "*batch 3"]
    ) -> tuple[Float[Tensor, "*batch 1"], Float[Tensor, "*batch geometry"]]:
        """Density in 1 / world unit and the geometry features, at world positions."""
        if positions.numel() == 0:
            empty = positions.new_zeros(*positions.shape[:-1], 1 + self.geo_feat_dim)
            return empty[..., :1], empty[..., 1:]
        return self.get_density(_samples_at(positions, torch.ones_like(positions)))

    def colour_of(
        self,
        geometry: Float[Tensor, "*batch geometry"],
        directions: Float[Tensor, "*batch 3"],
        appearance: None = None,
        ray: Int[Tensor, "*batch"] | None = None,
    ) -> Float[Tensor, "*batch 3"]:
        """Colour in [0, 1] from geometry features and unit view directions, as ours."""
        if ray is not None:
            directions = directions[ray]
        if directions.numel() == 0:
            return torch.zeros_like(directions)
        samples = _samples_at(torch.zeros_like(directions), directions)
        return self.get_outputs(samples, geometry)[FieldHeadNames.RGB]


def _samples_at(positions: Tensor, directions: Tensor) -> RaySamples:
    """Ray samples of no length, at positions."""
    zero = torch.zeros_like(positions[..., :1])
    frustums = Frustums(
        origins=positions, directions=directions, starts=zero, ends=zero, pixel_area=zero
    )
    return RaySamples(frustums=frustums, camera_indices=torch.zeros_like(zero, dtype=torch.long))


class NerfactoSceneModel(DFFModel):
    """nerfacto's fields and sampling, rendered as our scenes are; not to be trained."""

    config: NerfactoSceneModelConfig

    def populate_modules(self) -> None:
        """Build what the checkpoint has weights for, and no more."""
        Model.populate_modules(self)
        config = self.config
        self.implementation = "tcnn" if config.implementation == "tcnn" else "torch"
        contraction = None
        if not config.disable_scene_contraction:
            contraction = SceneContraction(order=float("inf"))
        appearance = config.appearance_embed_dim if config.use_appearance_embedding else 0
        self.field = NerfactoSceneField(
            self.scene_box.aabb,
            hidden_dim=config.hidden_dim,
            num_levels=config.num_levels,
            max_res=config.max_res,
            base_res=config.base_res,
            features_per_level=config.features_per_level,
            log2_hashmap_size=config.log2_hashmap_size,
            hidden_dim_color=config.hidden_dim_color,
            hidden_dim_transient=config.hidden_dim_transient,
            spatial_distortion=contraction,
            num_images=self.num_train_data,
            use_pred_normals=config.predict_normals,
            use_average_appearance_embedding=config.use_average_appearance_embedding,
            appearance_embedding_dim=appearance,
            average_init_density=config.average_init_density,
            implementation=self.implementation,
        )
        self.proposal_networks = nn.ModuleList()
        count = 1 if config.use_same_proposal_network else config.num_proposal_iterations
        for level in range(count):
            options = config.proposal_net_args_list
            network = HashMLPDensityField(
                self.scene_box.aabb,
                spatial_distortion=contraction,
                **options[min(level, len(options) - 1)],
                average_init_density=config.average_init_density,
                implementation=self.implementation,
            )
            self.proposal_networks.append(network)
        networks = [cast(HashMLPDensityField, network) for network in self.proposal_networks]
        self.density_fns = [
            networks[min(level, count - 1)].density_fn
            for level in range(config.num_proposal_iterations)
        ]
        quicken(self)
        self.feature_field = None
        self.teacher_records = ()
        self.camera_optimizer = config.camera_optimizer.setup(
            num_cameras=self.num_train_data, device="cpu"
        )
        first = None
        if config.proposal_initial_sampler == "uniform":
            first = UniformSampler(single_jitter=config.use_single_jitter)
        self.eval_sampler = ProposalNetworkSampler(
            num_nerf_samples_per_ray=config.num_nerf_samples_per_ray,
            num_proposal_samples_per_ray=config.num_proposal_samples_per_ray,
            num_proposal_network_iterations=config.num_proposal_iterations,
            single_jitter=config.use_single_jitter,
            initial_sampler=first,
        )
        self.proposal_sampler = self.finer_sampler = self.eval_sampler
        self.collider = NearFarCollider(near_plane=config.near_plane, far_plane=config.far_plane)
        self.renderer_rgb = RGBRenderer(background_color=config.background_color)
        self.step = 0


def quicken(module: nn.Module) -> None:
    """Let nerfstudio's torch hash encodings be computed by our kernel, on their own tables."""
    for part in module.modules():
        if isinstance(part, HashEncoding) and part.tcnn_encoding is None:
            cast(Any, part).pytorch_fwd = _by_our_kernel(part)


def _by_our_kernel(encoding: HashEncoding) -> Callable[[Tensor], Tensor]:
    shape = GridShape(
        tuple(int(scale) for scale in encoding.scalings),
        encoding.log2_hashmap_size,
        encoding.features_per_level,
        all_hashed=True,
    )

    def encode(in_tensor: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch out"]:
        encoded = interpolate_cpu(in_tensor.reshape(-1, 3), encoding.hash_table, shape)
        return encoded.view(*in_tensor.shape[:-1], shape.out_dim)

    return encode


class NerfactoScenePipeline(DFFPipeline):
    """Loads what nerfacto saved."""

    def load_weights(self, loaded_state: dict[str, Any], step: int) -> None:
        """Load a checkpoint, as the scene was trained.

        Raises:
            DffError: it does not fit, or was trained with tiny-cuda-nn, which is not here.
        """
        state = {
            key.removeprefix("module."): value
            for key, value in loaded_state.items()
            if ".lpips." not in key  # the metric's own network
        }
        _check_layout(state)
        self.load_strictly(state)


def _check_layout(state: Mapping[str, Any]) -> None:
    by_tcnn = any(key.endswith(("mlp_base.model.params", "tcnn_encoding.params")) for key in state)
    if by_tcnn and not tcnn_is_usable():
        raise DffError(
            "this nerfacto scene was trained with tiny-cuda-nn, whose weights only a machine with "
            "CUDA and tinycudann can read: train it with --pipeline.model.implementation torch"
        )


def is_nerfacto(config: TrainerConfig) -> bool:
    """Whether a configuration is nerfacto's own, whose model we know."""
    return type(config.pipeline.model) is NerfactoModelConfig


def as_scene_config(config: TrainerConfig) -> TrainerConfig:
    """nerfacto's configuration as one that loads a scene of ours; it stays as it is.

    Args:
        config: for which `is_nerfacto` holds.
    """
    model = config.pipeline.model
    assert isinstance(model, NerfactoModelConfig)
    ours = {entry.name for entry in dataclasses.fields(NerfactoSceneModelConfig)} - {"_target"}
    same = {
        entry.name: getattr(model, entry.name)
        for entry in dataclasses.fields(model)
        if entry.name in ours
    }
    if model.implementation == "tcnn" and not tcnn_is_usable():
        # nerfstudio itself falls back to torch where tiny-cuda-nn is not there.
        same["implementation"] = "torch"
    manager = cast(Any, config.pipeline.datamanager)
    return dataclasses.replace(
        config,
        pipeline=NerfactoScenePipelineConfig(
            datamanager=DFFDataManagerConfig(
                dataparser=manager.dataparser,
                data=manager.data,
                camera_res_scale_factor=getattr(manager, "camera_res_scale_factor", 1.0),
            ),
            model=NerfactoSceneModelConfig(
                **{**same, "eval_num_rays_per_chunk": min(model.eval_num_rays_per_chunk, 4096)},
                train_features=False,
            ),
        ),
    )


def read_state(checkpoint: Path) -> dict[str, Any]:
    """A checkpoint's tensors and numbers, no code; nerfacto's may hold numpy's numbers."""
    known = getattr(torch.serialization, "safe_globals", None)
    with nullcontext() if known is None else known(_PLAIN_NUMBERS):
        return torch.load(checkpoint, map_location="cpu", weights_only=True)
