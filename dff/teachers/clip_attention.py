"""What the attention of a CLIP's last block is replaced by, for features that stay in their place.

A block of a ViT computes ``y = x + A(ln_1 x)`` and ``x' = y + mlp(ln_2 y)``, where per head, with
``s = head width^-0.5``, ``A = softmax(s q k^T) v`` followed by the output projection. In the last
block of a CLIP this mixes patches freely, since only the class token is trained to mean something.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import MappingProxyType

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

GAUSSIAN_STD = 5.0

Heads = Float[Tensor, "batch heads tokens width"]


@dataclass(frozen=True)
class Variant:
    """How the last block works.

    Attributes:
        attend: gives what takes the place of ``softmax(s q k^T) v`` from q, k, v and the (h, w) of
            the patch grid; token 0 is the class token, patches follow row by row.
        whole: whether the residual connection and the MLP are kept; else the output projection's
            result is the block's.
    """

    attend: Callable[[Heads, Heads, Heads, tuple[int, int]], Heads]
    whole: bool = False


def plain(q: Heads, k: Heads, v: Heads, grid: tuple[int, int]) -> Heads:
    """``softmax(s q k^T) v``: the block as it was trained."""
    return F.scaled_dot_product_attention(q, k, v)


def maskclip(q: Heads, k: Heads, v: Heads, grid: tuple[int, int]) -> Heads:
    """``v``: each token attends to itself alone (MaskCLIP, arXiv 2112.01071).

    The paper states it for the attention pooling of a ResNet, where there is no residual
    connection; here too the value path alone is taken, as most use it for ViTs. (The authors' code
    adds the residual connection and the MLP for ViTs.)
    """
    return v


def sclip(q: Heads, k: Heads, v: Heads, grid: tuple[int, int]) -> Heads:
    """``(softmax(s q q^T) + softmax(s k k^T)) v``: self-correlation (SCLIP, arXiv 2312.01597).

    The residual connection and the MLP stay.
    """
    return F.scaled_dot_product_attention(q, q, v) + F.scaled_dot_product_attention(k, k, v)


def naclip(q: Heads, k: Heads, v: Heads, grid: tuple[int, int]) -> Heads:
    """``softmax(s k k^T + w) v``, w being the `neighbourhood` (NACLIP, arXiv 2404.08181).

    w is zero to and from the class token. The paper's reduced architecture: see `VARIANTS`.
    """
    bias = F.pad(neighbourhood(grid, GAUSSIAN_STD, k), (1, 0, 1, 0))
    return F.scaled_dot_product_attention(k, k, v, attn_mask=bias)


def clearclip(q: Heads, k: Heads, v: Heads, grid: tuple[int, int]) -> Heads:
    """``softmax(s q q^T) v``, without the residual connection and the MLP (arXiv 2407.12442)."""
    return F.scaled_dot_product_attention(q, q, v)


def neighbourhood(
    grid: tuple[int, int], std: float, like: Tensor
) -> Float[Tensor, "patches patches"]:
    """``exp(-d^2 / (2 std^2))`` between all pairs of patches, d being their distance in patches.

    Args:
        grid: rows and columns of patches.
        std: in patches.
        like: gives the result's device and type.
    """
    along = []
    for length in grid:
        place = torch.arange(length, device=like.device, dtype=like.dtype)
        along.append(torch.exp(-((place[:, None] - place) ** 2) / (2 * std**2)))
    return torch.kron(along[0], along[1])


VARIANTS: MappingProxyType[str, Variant] = MappingProxyType(
    {
        "maskclip": Variant(maskclip),
        "sclip": Variant(sclip, whole=True),
        "naclip": Variant(naclip),
        "clearclip": Variant(clearclip),
    }
)
