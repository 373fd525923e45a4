"""Figures of edits: how near to the truth a change is, and how far it stays where it belongs.

Pixels of several views are pooled: one mean over all of them, not a mean of views, so that a view
that hardly shows the thing hardly counts.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float
from scipy.ndimage import distance_transform_edt
from torch import Tensor

from dff.evaluate.pictures import psnr

# Pixels around a silhouette that belong to it: of what straddles a rim, and of its blur.
RIM = 2.0

Pictures = Sequence[Float[Tensor, "h w 3"]]
Masks = Sequence[Bool[Tensor, "h w"]]


def widened(mask: Bool[Tensor, "h w"], width: float = RIM) -> Bool[Tensor, "h w"]:
    """Pixels of a mask, and those whose centre is at most ``width`` pixels from one of them."""
    if not bool(mask.any()):
        return mask.clone()
    distance = np.asarray(distance_transform_edt(~mask.cpu().numpy()))
    return torch.from_numpy(distance <= width).to(mask.device)


def pooled_psnr(images: Pictures, references: Pictures, where: Masks) -> float:
    """`dff.evaluate.pictures.psnr` of the pixels that count, of all views together, in dB.

    Raises:
        ValueError: there is not one of each for each view.
    """
    pairs = list(zip(images, references, where, strict=True))
    if not pairs:
        return math.nan
    pixels = [torch.cat([part[k][part[2]] for part in pairs]) for k in (0, 1)]
    return psnr(pixels[0][None], pixels[1][None])


@dataclass(frozen=True)
class Faithfulness:
    """How near edited pictures are to the truth, beside how near unedited ones are to theirs.

    Attributes:
        edited: PSNR of the edited pictures against the edited truth, in dB.
        unedited: PSNR of the unedited ones against the unedited truth on the same pixels, in dB.
    """

    edited: float
    unedited: float

    @property
    def loss(self) -> float:
        """What editing costs, in dB; below 0 where the edited pictures are nearer to the truth."""
        return self.unedited - self.edited


def faithfulness(
    edited: Pictures, edited_truth: Pictures, unedited: Pictures, truth: Pictures, where: Masks
) -> Faithfulness:
    """Figures of one edit in several views; ``where`` says which pixels count."""
    return Faithfulness(
        pooled_psnr(edited, edited_truth, where), pooled_psnr(unedited, truth, where)
    )


def locality(edited: Pictures, unedited: Pictures, silhouettes: Masks, width: float = RIM) -> float:
    """PSNR between edited and unedited pictures on what an edit has no business with, in dB.

    Args:
        edited, unedited: of the same views.
        silhouettes: pixels that show what is edited, before or after.
        width: pixels at most so far from them are left out.

    Returns:
        Infinite where nothing changed; NaN where the silhouettes leave no pixel.
    """
    return pooled_psnr(edited, unedited, [~widened(mask, width) for mask in silhouettes])
