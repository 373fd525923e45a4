"""Volume rendering as small pure functions: alphas, weights, compositing, depth, features.

Shapes are written ``rays... samples channels``; every function accepts any number of leading ray
dimensions, including none, and samples are ordered from near to far. Formulas follow NeRF
(Mildenhall et al. 2020, arXiv 2003.08934, eq. 3) and, for features, DFF (Kobayashi et al. 2022,
arXiv 2205.15585, eq. 3).
"""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor


def alphas_from_density(
    density: Float[Tensor, "*rays samples 1"], deltas: Float[Tensor, "*rays samples 1"]
) -> Float[Tensor, "*rays samples 1"]:
    """Opacity of each ray sample, ``alpha = 1 - exp(-density * delta)``.

    Args:
        density: non-negative, in 1 / world unit.
        deltas: length of each sample along the ray, in world units.

    Returns:
        Opacity in [0, 1].
    """
    return -torch.expm1(-density * deltas)


def weights_from_density(
    density: Float[Tensor, "*rays samples 1"], deltas: Float[Tensor, "*rays samples 1"]
) -> Float[Tensor, "*rays samples 1"]:
    """Rendering weights ``w_i = T_i alpha_i`` with ``T_i = exp(-sum_{j<i} density_j delta_j)``.

    The transmittance is summed in the exponent, which keeps the gradient finite behind an opaque
    sample. Example: densities (1, 1) and deltas (ln 2, ln 2) give weights (0.5, 0.25).

    Returns:
        Weights in [0, 1]; their sum over samples is at most 1.
    """
    optical_depth = density * deltas
    before = torch.cumsum(optical_depth[..., :-1, :], dim=-2)
    before = torch.cat([torch.zeros_like(optical_depth[..., :1, :]), before], dim=-2)
    return torch.exp(-before) * -torch.expm1(-optical_depth)


def weights_from_alphas(
    alphas: Float[Tensor, "*rays samples 1"],
) -> Float[Tensor, "*rays samples 1"]:
    """Rendering weights from opacities, ``w_i = alpha_i prod_{j<i} (1 - alpha_j)``.

    Edits change alphas, not densities, so this is the form they use. Example: alphas
    (0.5, 0.5, 1) give weights (0.5, 0.25, 0.25).
    """
    return transmittance(alphas) * alphas


def transmittance(alphas: Float[Tensor, "*rays samples 1"]) -> Float[Tensor, "*rays samples 1"]:
    """Share of the light that comes as far as each sample, ``T_i = prod_{j<i} (1 - alpha_j)``."""
    passed = torch.cumprod(1.0 - alphas[..., :-1, :], dim=-2)
    return torch.cat([torch.ones_like(alphas[..., :1, :]), passed], dim=-2)


def accumulate(
    weights: Float[Tensor, "*rays samples 1"], values: Float[Tensor, "*rays samples channels"]
) -> Float[Tensor, "*rays channels"]:
    """Weighted sum along the ray, ``sum_i w_i v_i`` (no background, no normalisation)."""
    return (weights * values).sum(dim=-2)


def accumulation(weights: Float[Tensor, "*rays samples 1"]) -> Float[Tensor, "*rays 1"]:
    """Opacity of the whole ray, ``sum_i w_i``, in [0, 1]."""
    return weights.sum(dim=-2)


def expected_depth(
    weights: Float[Tensor, "*rays samples 1"], distances: Float[Tensor, "*rays samples 1"]
) -> Float[Tensor, "*rays 1"]:
    """Mean distance along the ray in world units, weights normalised to one.

    A ray that meets nothing (weights sum to 0) reports the distance of its last sample.
    """
    total = accumulation(weights)
    empty = total <= 1e-10
    mean = accumulate(weights, distances) / torch.where(empty, torch.ones_like(total), total)
    mean = torch.where(empty, distances[..., -1, :], mean)
    return mean.clamp(distances[..., 0, :], distances[..., -1, :])


def median_depth(
    weights: Float[Tensor, "*rays samples 1"], distances: Float[Tensor, "*rays samples 1"]
) -> Float[Tensor, "*rays 1"]:
    """Distance at which half of the light is absorbed; the last sample if that never happens."""
    cumulative = torch.cumsum(weights[..., 0], dim=-1)
    half = torch.full_like(cumulative[..., :1], 0.5)
    index = torch.searchsorted(cumulative.contiguous(), half, side="left")
    index = index.clamp(max=weights.shape[-2] - 1)
    return torch.gather(distances[..., 0], -1, index)


def top_samples(
    weights: Float[Tensor, "*rays samples 1"], k: int | None
) -> tuple[Float[Tensor, "*rays k 1"], Int[Tensor, "*rays k"]]:
    """The ``k`` samples of each ray that weigh most, in the order of the ray.

    Args:
        weights: rendering weights.
        k: how many to keep; None, or a number not below the samples there are, keeps all (DFF).

    Returns:
        Their weights, and their indices along the ray.
    """
    samples = weights.shape[-2]
    if k is None or k >= samples:
        index = torch.arange(samples, device=weights.device).expand(weights.shape[:-1])
        return weights, index
    index = torch.topk(weights[..., 0], k, dim=-1, sorted=False).indices.sort(dim=-1).values
    return torch.gather(weights[..., 0], -1, index)[..., None], index


def render_features(
    weights: Float[Tensor, "*rays samples 1"], features: Float[Tensor, "*rays samples channels"]
) -> Float[Tensor, "*rays channels"]:
    """Volume-rendered features with the weights detached, ``sum_i sg(w_i) f_i`` (DFF eq. 3).

    The feature loss therefore has exactly zero gradient on density. ``features`` may be the hidden
    features ``h``: decoding is linear, so ``W sum_i w_i h_i = sum_i w_i W h_i``.
    """
    return accumulate(weights.detach(), features)


def over_background(
    weights: Float[Tensor, "*rays samples 1"],
    rgb: Float[Tensor, "*rays samples 3"],
    far: Float[Tensor, "*rays 3"],
    far_alpha: Float[Tensor, "*rays 1"],
    background: tuple[float, float, float] | Literal["transparent"] | None = None,
) -> dict[str, Tensor]:
    """Colours of rays over what lies behind the last sample, and over a background behind that.

    Args:
        weights, rgb: of the ray samples.
        far: colour of what lies behind them.
        far_alpha: how much of it there is, in [0, 1].
        background: what the light that is left meets; None is black.

    Returns:
        ``rgb`` (rays, 3) in [0, 1]; for ``transparent`` (rgb over black) also ``rgba`` (rays, 4),
        straight colours.
    """
    total = accumulation(weights)
    seen = accumulate(weights, rgb) + far * far_alpha * (1.0 - total)
    if background is None:
        return {"rgb": seen.clamp(0.0, 1.0)}
    alpha = (total + far_alpha * (1.0 - total)).clamp(0.0, 1.0)
    if background == "transparent":
        straight = (seen / alpha.clamp_min(1e-6)).clamp(0.0, 1.0)
        return {"rgb": seen.clamp(0.0, 1.0), "rgba": torch.cat([straight, alpha], dim=-1)}
    return {"rgb": (seen + (1.0 - alpha) * seen.new_tensor(background)).clamp(0.0, 1.0)}
