"""DINO and its successors: features that tell things apart by look, without words."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from dff.errors import DffError
from dff.teachers.base import Teacher, check_image
from dff.teachers.options import DinoOptions
from dff.teachers.weights_file import fingerprint

if TYPE_CHECKING:
    from dff.teachers.vit_features import VitFeatures

PREPROCESSING = 2
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class DinoTeacher(Teacher):
    """DINO (arXiv 2104.14294), DINOv2 (2304.07193, 2309.16588), DINOv3, or any ViT of timm.

    Args:
        features: of a trained network; it is put to evaluation and frozen.
        options: how images enter it.
        mean, std: of the images' channels in training, for sRGB in [0, 1].
        digest: hash of weights and preprocessing.
        device: where to compute.

    Raises:
        DffError: options that make no sense.
    """

    name = "dino"
    # Only clicks and patches ask it, and they compare cosines as they are.
    logit_scale = 1.0

    def __init__(
        self,
        features: VitFeatures,
        options: DinoOptions,
        mean: Sequence[float] = IMAGENET_MEAN,
        std: Sequence[float] = IMAGENET_STD,
        digest: str = "",
        device: str | torch.device = "cpu",
    ) -> None:
        if options.long_side < features.patch:
            raise DffError(
                f"the long side must be at least the patch size {features.patch}, not "
                f"{options.long_side}"
            )
        self._device = torch.device(device)
        self._features = features.to(self._device).eval().requires_grad_(False)
        self._options = options
        self._mean = torch.tensor(mean, device=self._device).view(3, 1, 1)
        self._std = torch.tensor(std, device=self._device).view(3, 1, 1)
        self.dim = features.dim
        self.fingerprint = digest

    @staticmethod
    def load(options: DinoOptions, device: str | torch.device = "cpu") -> DinoTeacher:
        """Reads timm's weights, or the authors', from a file or the Hugging Face cache.

        Raises:
            DffError: no such model, layer or stride; no weights, damaged ones, or others.
        """
        from dff.teachers.vit_features import VitFeatures
        from dff.teachers.vit_weights import build, fill, find_source, weights_path

        source = find_source(options.model)
        path = weights_path(source, options.checkpoint)
        # Only now, for building a large network takes minutes and much memory.
        network = build(source)
        features = VitFeatures(network, options.layer, options.facet, options.stride)
        fill(network, source, path)
        mean = tuple(source.config.get("mean") or IMAGENET_MEAN)
        std = tuple(source.config.get("std") or IMAGENET_STD)
        # What the options come to, not how they are written: layer -1 may be layer 11.
        facts = {
            "architecture": source.architecture,
            "layer": features.layer,
            "facet": features.facet,
            "stride": features.stride,
            "long_side": options.long_side,
            "mean": mean,
            "std": std,
        }
        digest = fingerprint(
            network.state_dict(), f"dino {PREPROCESSING} {json.dumps(facts, sort_keys=True)}"
        )
        return DinoTeacher(features, options, mean, std, digest, device)

    @property
    def has_text(self) -> bool:
        """False: it was trained without words."""
        return False

    def grid_shape(self, height: int, width: int) -> tuple[int, int]:
        """The (h, w) of the feature map of an image of this height and width in pixels."""
        return self._features.grid_shape(*self._inner_size(height, width))

    def _inner_size(self, height: int, width: int) -> tuple[int, int]:
        """Size in pixels at which an image enters the network: whole cells, nearly its shape."""
        cell = self._features.stride
        factor = self._options.long_side / max(height, width)
        least = max(1, -(-self._features.patch // cell))
        return (
            cell * max(least, round(height * factor / cell)),
            cell * max(least, round(width * factor / cell)),
        )

    @torch.no_grad()
    def encode_image(
        self, image: Float[Tensor, "height width 3"]
    ) -> Float[Tensor, "grid_height grid_width dim"]:
        """Unit features of an sRGB image in [0, 1]; see `Teacher.encode_image`."""
        check_image(image)
        x = image.to(self._device, torch.float32).permute(2, 0, 1)[None]
        x = F.interpolate(
            x,
            self._inner_size(image.shape[0], image.shape[1]),
            mode="bicubic",
            align_corners=False,
            antialias=True,
        ).clamp(0, 1)
        return F.normalize(self._features((x - self._mean) / self._std)[0].float(), dim=-1)

    def encode_text(self, phrases: Sequence[str]) -> Float[Tensor, "phrases dim"]:
        """Not possible.

        Raises:
            DffError: always, saying what to do instead.
        """
        raise DffError(
            "teacher 'dino' understands no text: query by click or patch, or train a teacher that "
            "does beside it (--pipeline.teachers clip,dino)"
        )
