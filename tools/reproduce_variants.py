"""The trainings that the claims are tested on: the default, and one thing changed in each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from nerfstudio.cameras.rays import RaySamples
from torch import Tensor

from dff import rendering
from dff.data.images import load_image
from dff.files import atomic_write
from dff.model import DFFModel
from dff.model_config import DFFModelConfig
from dff.trainer import DFFTrainerConfig

PCA = (16, 32, 64)
# Cells of the second teacher's map along the longer side.
COLOUR_GRID = 96


class FeatureGradientModel(DFFModel):
    """The feature loss reaches the density: what the paper's stop-gradient prevents."""

    def _render_hidden(self, weights: Tensor, samples: RaySamples) -> Tensor:
        assert self.feature_field is not None
        top, index = rendering.top_samples(weights, self.config.feature_samples_per_ray)
        positions = samples.frustums.get_positions().detach()
        positions = torch.gather(positions, -2, index[..., None].expand(*index.shape, 3))
        return rendering.accumulate(top, self.feature_field.hidden_at(positions))


class NearSurfaceModel(DFFModel):
    """Features of one point a ray, at its expected depth, in place of volume rendering."""

    def _render_hidden(self, weights: Tensor, samples: RaySamples) -> Tensor:
        assert self.feature_field is not None
        frustums = samples.frustums
        with torch.no_grad():
            distances = (frustums.starts + frustums.ends) / 2
            depth = rendering.expected_depth(weights, distances)
            points = frustums.origins[..., 0, :] + depth * frustums.directions[..., 0, :]
            opacity = rendering.accumulation(weights)
        return opacity * self.feature_field.hidden_at(points)


@dataclass
class FeatureGradientConfig(DFFModelConfig):
    """Configuration of `FeatureGradientModel`."""

    _target: type = field(default_factory=lambda: FeatureGradientModel)


@dataclass
class NearSurfaceConfig(DFFModelConfig):
    """Configuration of `NearSurfaceModel`."""

    _target: type = field(default_factory=lambda: NearSurfaceModel)


Change = Callable[[DFFTrainerConfig], None]


def unchanged(config: DFFTrainerConfig) -> None:
    """The default: joint training, stop-gradient, the heaviest samples, whole features."""


def without_features(config: DFFTrainerConfig) -> None:
    """The radiance field alone."""
    config.pipeline.model.train_features = False


def of_model(kind: type[DFFModelConfig]) -> Change:
    """Another model, with the options that were chosen."""

    def change(config: DFFTrainerConfig) -> None:
        chosen = {k: v for k, v in vars(config.pipeline.model).items() if k != "_target"}
        config.pipeline.model = kind(**chosen)

    return change


def all_samples(config: DFFTrainerConfig) -> None:
    """Features at all samples of a ray, as in the paper."""
    config.pipeline.model.feature_samples_per_ray = None


def pca(count: int) -> Change:
    """So many coefficients in place of features."""

    def change(config: DFFTrainerConfig) -> None:
        config.pipeline.datamanager.feature_pca = count

    return change


def variants() -> dict[str, Change]:
    """By name, what each training changes; ``two teachers`` is made by `second_teacher`."""
    return {
        "default": unchanged,
        "no features": without_features,
        "no stop-gradient": of_model(FeatureGradientConfig),
        "near surface": of_model(NearSurfaceConfig),
        "all samples": all_samples,
        **{f"pca {count}": pca(count) for count in PCA},
    }


def second_teacher(second: str, maps: Path) -> Change:
    """Two teachers; ``colours`` is made here, from the photos, into a folder of maps.

    Args:
        second: ``colours``, or a teacher's name.
        maps: the folder.
    """

    def change(config: DFFTrainerConfig) -> None:
        pipeline = config.pipeline
        name = "precomputed" if second == "colours" else second
        pipeline.teachers = f"{pipeline.teachers},{name}"
        if second == "colours":
            options = pipeline.teacher
            given = options.precomputed.__class__(folder=maps, layout="hwc", grid=COLOUR_GRID)
            pipeline.teacher = options.__class__(**{**vars(options), "precomputed": given})

    return change


def write_colour_maps(photos: list[Path], folder: Path) -> Path:
    """A teacher without learning: each cell's colour and those around it, centred, unit length.

    It knows no names but sees finer borders than a network with a coarse grid does.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for photo in photos:
        path = folder / f"{photo.stem}.npy"
        if path.exists():
            continue
        image = load_image(photo).movedim(-1, 0)[None]
        factor = COLOUR_GRID / max(image.shape[-2:])
        size = [max(1, round(side * factor)) for side in image.shape[-2:]]
        near = F.interpolate(image, size, mode="area") - 0.5
        around = F.avg_pool2d(near, 5, stride=1, padding=2, count_include_pad=False)
        constant = torch.full_like(near[:, :1], 0.25)
        features = F.normalize(torch.cat([near, around, constant], dim=1), dim=1)
        with atomic_write(path) as stream:
            np.save(stream, features[0].movedim(0, -1).numpy().astype(np.float32))
    return folder
