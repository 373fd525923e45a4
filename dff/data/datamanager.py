"""The data manager: nerfstudio's ray batches with the teachers' feature targets for every ray."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import torch
import tyro
from nerfstudio.cameras.rays import RayBundle
from nerfstudio.data.datamanagers.base_datamanager import (
    VanillaDataManager,
    VanillaDataManagerConfig,
)
from nerfstudio.data.dataparsers.nerfstudio_dataparser import NerfstudioDataParserConfig
from nerfstudio.data.datasets.base_dataset import InputDataset
from nerfstudio.data.utils.dataloaders import CacheDataloader
from nerfstudio.model_components.ray_generators import RayGenerator
from PIL import UnidentifiedImageError

from dff.checkpoint import TeacherRecord
from dff.data.byte_photos import BytePhotos, as_colours
from dff.data.capture_check import check_capture, check_transforms
from dff.data.feature_cache import FeatureCache, default_cache_root
from dff.data.feature_maps import FeatureMaps
from dff.data.ray_table import TabledRayGenerator
from dff.errors import DffError
from dff.teachers import Teacher, TeacherOptions, get_teacher
from dff.teachers.options import DEFAULT_OPTIONS


@dataclass
class DFFDataManagerConfig(VanillaDataManagerConfig):
    """Configuration of the data manager."""

    _target: type = field(default_factory=lambda: DFFDataManager)
    teachers: Annotated[tuple[str, ...], tyro.conf.Suppress] = ()
    """Set by the pipeline."""
    teacher_options: Annotated[TeacherOptions, tyro.conf.Suppress] = DEFAULT_OPTIONS
    """Set by the pipeline."""
    feature_pca: int | None = None
    """Keep this many coefficients of a feature (PCA, in the cache and while training)."""
    feature_cache: Path | None = None
    """Folder of the feature cache; by default $DFF_CACHE or ~/.cache/dff/features."""


class DFFDataManager(VanillaDataManager[InputDataset]):
    """Adds ``batch["features"]``, by teacher its features at each ray's pixel, while training."""

    config: DFFDataManagerConfig
    # Whether the batch that comes needs features.
    distilling = True

    def __init__(
        self,
        config: DFFDataManagerConfig,
        device: torch.device | str = "cpu",
        test_mode: str = "val",
        world_size: int = 1,
        local_rank: int = 0,
        **kwargs: Any,
    ) -> None:
        self.teachers: tuple[Teacher, ...] = ()
        self.features: dict[str, FeatureMaps] = {}
        data = config.data or config.dataparser.data
        if isinstance(config.dataparser, NerfstudioDataParserConfig):
            check_transforms(Path(data), least=2 if test_mode == "val" else 1)
        if config.teachers and test_mode == "val":
            # Before the images are read: a teacher that is not there should cost no waiting.
            # Building a network draws random numbers, which must not change what training sees.
            with torch.random.fork_rng():
                self.teachers = tuple(
                    get_teacher(name, str(device), config.teacher_options)
                    for name in config.teachers
                )
        with clear_errors(Path(data)):
            super().__init__(config, device, test_mode, world_size, local_rank, **kwargs)  # type: ignore[arg-type]

    def create_train_dataset(self) -> InputDataset:
        """The training images, checked; their features are encoded where they are missing."""
        outputs = self.train_dataparser_outputs
        if self.test_mode == "val":
            check_capture(outputs)
        dataset = super().create_train_dataset()
        if self.test_mode == "val":
            dataset.metadata["cameras"] = dataset.cameras
        root = self.config.feature_cache or default_cache_root()
        records = []
        for teacher in self.teachers:
            cache = FeatureCache(root, teacher, pca=self.config.feature_pca)
            maps = cache.ensure(outputs.image_filenames)
            self.features[teacher.name] = maps
            records.append(TeacherRecord.of(teacher, None if maps.basis is None else maps.dim))
        if records:
            dataset.metadata["teachers"] = tuple(records)
            dataset.metadata["bases"] = {n: maps.basis for n, maps in self.features.items()}
        return dataset

    def setup_train(self) -> None:
        """As nerfstudio's, with photos kept as bytes and faster rays, where either fits."""
        config, dataset = self.config, self.train_dataset
        whole = config.pixel_sampler.keep_full_image or not BytePhotos.keeps_colours(dataset)
        self.train_image_dataloader = CacheDataloader(
            dataset if whole else BytePhotos(dataset),
            num_images_to_sample_from=config.train_num_images_to_sample_from,
            num_times_to_repeat_images=config.train_num_times_to_repeat_images,
            device=self.device,
            num_workers=self.world_size * 4,
            pin_memory=True,
            collate_fn=config.collate_fn,
            exclude_batch_keys_from_device=self.exclude_batch_keys_from_device,
        )
        self.iter_train_image_dataloader = iter(self.train_image_dataloader)
        self.train_pixel_sampler = self._get_pixel_sampler(dataset, config.train_num_rays_per_batch)
        cameras = dataset.cameras.to(self.device)
        tabled = TabledRayGenerator.has_room(cameras)
        self.train_ray_generator = (TabledRayGenerator if tabled else RayGenerator)(cameras)

    def next_train(self, step: int) -> tuple[RayBundle, dict[str, Any]]:
        """The next batch of rays with their colours and features."""
        bundle, batch = super().next_train(step)
        batch["image"] = as_colours(batch["image"])
        if self.features and self.distilling:
            index = batch["indices"].cpu()
            cameras = self.train_dataset.cameras
            image = index[:, 0]
            height, width = cameras.height[image, 0].cpu(), cameras.width[image, 0].cpu()
            batch["features"] = {
                name: maps.sample(image, index[:, 1], index[:, 2], height, width)
                for name, maps in self.features.items()
            }
        return bundle, batch


@contextmanager
def clear_errors(data: Path) -> Iterator[None]:
    """Turn what nerfstudio's dataparsers and datasets raise on bad captures into one line."""
    try:
        yield
    except DffError:
        raise
    except UnidentifiedImageError as error:
        raise DffError(f"cannot read an image of {data}: {error}") from error
    except (OSError, AssertionError, ValueError, LookupError, ArithmeticError) as error:
        text = " ".join(str(error).split())[:200] or type(error).__name__
        raise DffError(f"cannot read the capture {data}: {text}") from error
