"""``dff features``: compute the feature cache of a capture beforehand."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass
class Features:
    """Encode a capture's photos with a teacher, once; training then starts at once."""

    data: Path
    """The capture: a folder with transforms.json, or any folder of images."""
    teacher: str = "mini"
    """The teacher."""
    feature_cache: Path | None = None
    """Folder of the cache; by default $DFF_CACHE or ~/.cache/dff/features."""

    def run(self) -> None:
        """Encode what is missing."""
        from dff.data.capture_check import capture_images
        from dff.data.feature_cache import FeatureCache, default_cache_root
        from dff.teachers import get_teacher

        images = capture_images(self.data)
        cache = FeatureCache(self.feature_cache or default_cache_root(), get_teacher(self.teacher))
        maps = cache.ensure(images)
        height, width, dim = maps.shape(0)
        print(f"{len(maps)} feature maps of {height}x{width}x{dim} in {cache.root}")
