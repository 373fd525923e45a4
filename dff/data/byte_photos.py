"""Photographs in memory as the bytes that their files hold, a quarter of nerfstudio's floats."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from nerfstudio.data.datasets.base_dataset import InputDataset
from torch import Tensor
from torch.utils.data import Dataset


class BytePhotos(Dataset[dict[str, Any]]):
    """A dataset whose images are uint8, for nerfstudio's loader to keep.

    The dataset itself goes on giving floats to nerfstudio's viewer and evaluation.

    Args:
        dataset: one of which `keeps_colours` says so.
    """

    def __init__(self, dataset: InputDataset) -> None:
        self.dataset = dataset

    @staticmethod
    def keeps_colours(dataset: InputDataset) -> bool:
        """Whether bytes hold all: colours blended with a background or a mask are between them."""
        outputs = dataset._dataparser_outputs
        return outputs.alpha_color is None and not dataset.mask_color

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return self.dataset.get_data(index, image_type="uint8")


def as_colours(pixels: Tensor) -> Float[Tensor, "*pixels channels"]:
    """Pixels of either kind in [0, 1], equal to the last bit to those that nerfstudio reads."""
    return pixels / 255.0 if pixels.dtype == torch.uint8 else pixels
