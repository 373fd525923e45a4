"""What a repainting lowers, as pure functions."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

# Changes of embeddings shorter than this hardly count as changes; see `directional_loss`.
SHORT = 0.1


def plain_loss(pictures: Float[Tensor, "n D"], prompt: Float[Tensor, " D"]) -> Float[Tensor, ""]:
    """Mean of ``1 - cos(E(picture), E(prompt))``, in [0, 2]."""
    return (1 - F.cosine_similarity(pictures, prompt[None], dim=-1)).mean()


def directional_loss(
    edited: Float[Tensor, "n D"],
    original: Float[Tensor, "n D"],
    prompt: Float[Tensor, " D"],
    source: Float[Tensor, " D"],
    short: float = SHORT,
) -> Float[Tensor, ""]:
    """Mean of ``1 - cos(dI, dT)``, the direction of StyleGAN-NADA (arXiv 2108.00946, eq. 2).

    ``dI = E(edited) - E(original)``, ``dT = E(prompt) - E(source)``, embeddings of unit length. The
    length of dI is taken as ``sqrt(|dI|^2 + short^2)``: a picture that has not changed yet has loss
    1 and a gradient along dT, where the cosine itself has none, and a change has to be longer than
    `short` to count in full.

    Args:
        edited, original: embeddings of pictures after and before, augmented alike.
        prompt, source: embeddings of words for after and before.
        short: in the same units.
    """
    change = edited - original
    wanted = F.normalize(prompt - source, dim=-1)
    length = (change.square().sum(dim=-1) + short**2).sqrt()
    return (1 - (change @ wanted) / length).mean()


def preserving_loss(
    painted: Float[Tensor, "*batch 3"],
    picture: Float[Tensor, "*batch 3"],
    share: Float[Tensor, "*batch 1"],
) -> Float[Tensor, ""]:
    """What the surroundings notice: ``sum (1 - s) |I' - I|^2 / sum [s > 0]`` over pixels.

    Where a pixel's light comes from the selection alone (s = 1) anything may change; on its rim,
    what the pixel shares with other things should not. Pixels without any of the selection cannot
    change, and do not count.

    Args:
        painted, picture: colours after and before.
        share: s, how much of the light is the selection's, in [0, 1].
    """
    change = (painted - picture).square().sum(dim=-1, keepdim=True)
    seen = (share > 0).sum().clamp_min(1)
    return ((1 - share).clamp_min(0.0) * change).sum() / seen


def picture_loss(
    painted: Float[Tensor, "*batch 3"],
    target: Float[Tensor, "*batch 3"],
    share: Float[Tensor, "*batch 1"],
) -> Float[Tensor, ""]:
    """Inside of the selection as the target has it: ``sum s |I' - J|^2 / sum s`` over pixels."""
    error = (painted - target).square().sum(dim=-1, keepdim=True)
    return (share * error).sum() / share.sum().clamp_min(torch.finfo(share.dtype).eps)
