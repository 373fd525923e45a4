"""How alike two pictures are."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import cast

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torchmetrics.functional.image import structural_similarity_index_measure

from dff.files import DAMAGED

# What LPIPS compares by, and torchvision's file of its weights.
LPIPS_NETWORK = "alex"
LPIPS_WEIGHTS = "alexnet-owt-7be5be79.pth"

Distance = Callable[[Float[Tensor, "h w 3"], Float[Tensor, "h w 3"]], float]


def psnr(
    image: Float[Tensor, "h w c"],
    reference: Float[Tensor, "h w c"],
    where: Bool[Tensor, "h w"] | None = None,
) -> float:
    """Peak signal-to-noise ratio in dB, ``-10 log10(mean squared error)``, for values in [0, 1].

    Args:
        image, reference: of the same size.
        where: pixels that count; all of them by default.

    Returns:
        dB; infinite for equal pictures, NaN where no pixel counts.
    """
    error = (image.double() - reference.double()).square()
    if where is not None:
        error = error[where]
    if error.numel() == 0:
        return math.nan
    mean = float(error.mean())
    return math.inf if mean == 0.0 else -10.0 * math.log10(mean)


def ssim(image: Float[Tensor, "h w c"], reference: Float[Tensor, "h w c"]) -> float:
    """Structural similarity (Wang et al. 2004), for values in [0, 1]: 1 for equal pictures.

    Gaussian windows of 11 pixels, sigma 1.5; NaN for pictures smaller than a window.
    """
    if min(image.shape[:2]) < 11:
        return math.nan
    first, second = (each.double().movedim(-1, 0)[None] for each in (image, reference))
    return float(cast(Tensor, structural_similarity_index_measure(first, second, data_range=1.0)))


def load_lpips() -> tuple[Distance | None, str]:
    """LPIPS (Zhang et al. 2018), if the weights of its network are on this machine.

    Nothing is downloaded.

    Returns:
        The distance of two pictures with values in [0, 1], and an empty string; or None and one
        line that says what is missing.
    """
    weights = Path(torch.hub.get_dir()) / "checkpoints" / LPIPS_WEIGHTS
    if not weights.is_file():
        return None, f"LPIPS is left out: its weights are not on this machine ({weights})"
    try:
        from torchmetrics.image.lpip import LearnedPerceptualImagePatchSimilarity

        network = LearnedPerceptualImagePatchSimilarity(LPIPS_NETWORK, normalize=True).eval()
    except (ImportError, *DAMAGED) as error:
        reason = " ".join(str(error).split())[:120]
        return None, f"LPIPS is left out: its weights cannot be read ({reason})"

    @torch.no_grad()
    def distance(image: Tensor, reference: Tensor) -> float:
        pair = [each.float().clamp(0, 1).movedim(-1, 0)[None] for each in (image, reference)]
        return float(network(*pair))

    return distance, ""
