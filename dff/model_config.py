"""Configuration of the DFF model, and the sizes of its fields that follow from it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import tyro
from nerfstudio.cameras.camera_optimizers import CameraOptimizerConfig
from nerfstudio.models.nerfacto import NerfactoModelConfig

from dff.errors import DffError
from dff.fields.hash_encoding import GridShape
from dff.fields.radiance_field import RadianceShape


def _model_class() -> type:
    # The model imports its configuration, not the other way round.
    from dff.model import DFFModel

    return DFFModel


@dataclass
class DFFModelConfig(NerfactoModelConfig):
    """Configuration of the DFF model; options of nerfacto keep their names and meaning."""

    _target: type = field(default_factory=_model_class)
    num_levels: int = 8
    """Number of levels of the radiance field's hash grid."""
    features_per_level: int = 4
    """Values per entry of the radiance field's hash grid."""
    log2_hashmap_size: int = 17
    """Log2 of the entries per level of the radiance field's hash grid."""
    max_res: int = 1024
    """Resolution of the finest level of the radiance field's hash grid."""
    num_proposal_samples_per_ray: tuple[int, ...] = (48,)
    """Number of samples per ray for each proposal network."""
    num_nerf_samples_per_ray: int = 16
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
    opacity_loss_mult: float = 0.01
    """Multiplier of the share of light that nothing stops; with background-color last_sample alone,
    where what lies farthest shines through the holes that things would keep. 0 for a handful of
    photos, whose space it fills with fog."""
    opacity_warmup: int = 300
    """Steps without that loss, and over which it then grows: from the first step on it fills some
    captures with fog before there is anything in them."""
    use_gradient_scaling: bool = True
    """Scale gradients down near the cameras (no floaters in front of them)."""
    average_init_density: float = 1.0
    """Density at the first step where all cameras look, in 1 / world unit."""
    lowest_init_density: float = 0.01
    """Density at the first step where no camera looks: equal to the other, it is uniform."""
    implementation: Literal["auto", "tcnn", "triton", "cpu", "torch"] = "auto"
    """tcnn needs CUDA and tiny-cuda-nn, triton CUDA, cpu a C compiler; auto takes the first that
    this machine can run. Scenes trained with triton, cpu and torch are interchangeable."""
    use_appearance_embedding: bool = False
    """Whether each training image has an appearance embedding."""
    appearance_embed_dim: int = 8
    """Dimension of the appearance embedding."""
    camera_optimizer: CameraOptimizerConfig = field(
        default_factory=lambda: CameraOptimizerConfig(mode="off")
    )
    """Pose refinement while training; off by default."""
    eval_num_proposal_samples: int = 64
    """Samples per ray for each proposal network outside training."""
    eval_num_nerf_samples: int = 24
    """Samples per ray for the radiance field outside training."""
    eval_finer: int = 2
    """Rays at the rims of what edits put elsewhere have so many times the samples: the proposal
    networks were trained to find it in its own place, from the sides that the photos show."""
    eval_histogram_padding: float = 0.01
    """Added to proposal weights outside training: smaller finds the surface with fewer samples, and
    what edits move or uncover worse."""
    eval_num_rays_per_chunk: int = 8192
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
    feature_warmup: int = 500
    """Steps at the beginning that all train the feature field."""
    feature_every: int = 3
    """Train the feature field every n steps after the warm-up."""
    feature_loss_mult: float = 1.0
    """Feature loss multiplier."""
    edit_file: Annotated[Path | tuple[Path, ...] | None, tyro.conf.Suppress] = None
    """Edit documents that act outside training; set in an edited.yml, see `dff.edited_config`."""
    edit_scene: Annotated[Path | None, tyro.conf.Suppress] = None
    """The config.yml of the scene that they edit."""
    edit_trust: Annotated[tuple[Path, ...], tyro.conf.Suppress] = ()
    """Folders with other trained scenes that they may insert from."""

    def check(self) -> None:
        """Refuse what cannot be trained.

        Raises:
            DffError: an option is out of its range.
        """
        least = {
            "feature_every": 1,
            "feature_warmup": 0,
            "feature_samples_per_ray": 1,
            "opacity_warmup": 0,
            "eval_finer": 1,
        }
        for name, bound in least.items():
            value = getattr(self, name)
            if value is not None and value < bound:
                option = f"--pipeline.model.{name.replace('_', '-')}"
                raise DffError(f"{option} must be at least {bound}, not {value}")

    def distils_at(self, step: int) -> bool:
        """Whether a step trains the feature field."""
        return step < self.feature_warmup or step % self.feature_every == 0

    def opacity_mult_at(self, step: int) -> float:
        """Multiplier of the opacity loss in a step."""
        if step >= 2 * self.opacity_warmup:
            return self.opacity_loss_mult
        return self.opacity_loss_mult * max(0.0, step / self.opacity_warmup - 1.0)

    def radiance_shape(self) -> RadianceShape:
        """Sizes of the radiance field."""
        grid = GridShape.geometric(
            self.num_levels,
            self.base_res,
            self.max_res,
            self.log2_hashmap_size,
            self.features_per_level,
        )
        appearance = self.appearance_embed_dim if self.use_appearance_embedding else 0
        return RadianceShape(grid, hidden_dim=self.hidden_dim, appearance_dim=appearance)

    def proposal_shape(self, level: int) -> tuple[GridShape, int]:
        """Grid and hidden width of a proposal network."""
        given = self.proposal_net_args_list[min(level, len(self.proposal_net_args_list) - 1)]
        grid = GridShape.geometric(
            given["num_levels"],
            self.base_res,
            given["max_res"],
            given["log2_hashmap_size"],
            given.get("features_per_level", 2),
        )
        return grid, given["hidden_dim"]

    def feature_grid(self) -> GridShape:
        """Grid of the feature field."""
        return GridShape.geometric(
            self.feature_num_levels,
            self.base_res,
            self.feature_max_res,
            self.feature_log2_hashmap_size,
            self.feature_features_per_level,
        )
