"""A small renderer of Gaussian-splat files, written from the paper alone: it knows nothing of ours.

Kerbl et al. 2023: project each Gaussian to the picture by the affine approximation of Zwicker et
al. (EWA splatting), widen it by 0.3 pixels squared as their program does, and blend front to back.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from plyfile import PlyData

SH_CONSTANT = 0.28209479177387814


def read_splats(path: Path) -> dict[str, np.ndarray]:
    """Means, colours, opacities and covariances, by the conventions of the original's files."""
    vertex = PlyData.read(str(path))["vertex"]

    def columns(*names: str) -> np.ndarray:
        return np.stack([np.asarray(vertex[name], dtype=np.float64) for name in names], axis=1)

    q = columns("rot_0", "rot_1", "rot_2", "rot_3")
    w, x, y, z = (q / np.linalg.norm(q, axis=1, keepdims=True)).T
    rows = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ]
    turn = np.moveaxis(np.array(rows), -1, 0)
    spread = turn * np.exp(columns("scale_0", "scale_1", "scale_2"))[:, None, :]
    return {
        "mean": columns("x", "y", "z"),
        "rgb": np.clip(0.5 + SH_CONSTANT * columns("f_dc_0", "f_dc_1", "f_dc_2"), 0, 1),
        "opacity": 1 / (1 + np.exp(-np.asarray(vertex["opacity"], dtype=np.float64))),
        "covariance": spread @ np.swapaxes(spread, 1, 2),
    }


def project_splats(
    splats: dict[str, np.ndarray],
    pose: np.ndarray,
    focal: tuple[float, float],
    centre: tuple[float, float],
    size: tuple[int, int],
) -> tuple[np.ndarray, np.ndarray]:
    """Colours (h, w, 3), black where nothing is, and opacities (h, w).

    Args:
        splats: from `read_splats`.
        pose: (3, 4) camera to world, OpenGL.
        focal, centre: in pixels.
        size: height and width.
    """
    height, width = size
    turn = pose[:, :3] * np.array([1.0, -1.0, -1.0])  # x right, y down, z ahead
    local = (splats["mean"] - pose[:, 3]) @ turn
    ahead = local[:, 2] > 1e-3
    local, rgb, opacity = local[ahead], splats["rgb"][ahead], splats["opacity"][ahead]
    x, y, z = local.T
    u, v = focal[0] * x / z + centre[0], focal[1] * y / z + centre[1]
    # Outside of the picture the affine approximation is clamped, as in the original program.
    limit = 1.3 * np.array([width / focal[0], height / focal[1]]) / 2
    tx, ty = np.clip(x / z, -limit[0], limit[0]), np.clip(y / z, -limit[1], limit[1])
    zero = np.zeros_like(z)
    slope = np.array(
        [[focal[0] / z, zero, -focal[0] * tx / z], [zero, focal[1] / z, -focal[1] * ty / z]]
    )
    slope = np.moveaxis(slope, -1, 0) @ turn.T
    flat = slope @ splats["covariance"][ahead] @ np.swapaxes(slope, 1, 2)
    a, b, c = flat[:, 0, 0] + 0.3, flat[:, 0, 1], flat[:, 1, 1] + 0.3
    determinant = a * c - b * b
    radius = np.ceil(3 * np.sqrt((a + c) / 2 + np.sqrt(((a - c) / 2) ** 2 + b * b)))
    # One that would cover the picture costs too much; nothing that looks right has any.
    radius = np.minimum(radius, 48)
    shown = (u + radius > 0) & (u - radius < width) & (v + radius > 0) & (v - radius < height)
    pixel, order, alpha = [], [], []
    rank = np.argsort(np.argsort(z))
    for r in np.unique(radius[shown]):
        chosen = np.flatnonzero(shown & (radius == r))
        steps = np.arange(-r, r + 1)
        dx, dy = (g.ravel() for g in np.meshgrid(steps, steps))
        for part in np.array_split(chosen, max(1, len(chosen) * len(dx) // 4_000_000)):
            column = np.floor(u[part])[:, None] + dx
            row = np.floor(v[part])[:, None] + dy
            px, py = column + 0.5 - u[part][:, None], row + 0.5 - v[part][:, None]
            power = c[part][:, None] * px**2 - 2 * b[part][:, None] * px * py
            power = (power + a[part][:, None] * py**2) / determinant[part][:, None]
            share = np.minimum(0.99, opacity[part][:, None] * np.exp(-0.5 * power))
            inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
            inside &= share >= 1 / 255
            which = np.broadcast_to(part[:, None], share.shape)[inside]
            pixel.append((row * width + column)[inside].astype(np.int64))
            order.append(which)
            alpha.append(share[inside])
    return _blend(
        np.concatenate(pixel), np.concatenate(order), np.concatenate(alpha), rank, rgb, size
    )


def _blend(pixel, which, alpha, rank, rgb, size) -> tuple[np.ndarray, np.ndarray]:
    order = np.lexsort((rank[which], pixel))
    pixel, which, alpha = pixel[order], which[order], alpha[order]
    log = np.log1p(-alpha)
    before = np.cumsum(log) - log
    first = np.r_[True, pixel[1:] != pixel[:-1]]
    start = np.maximum.accumulate(np.where(first, np.arange(len(pixel)), 0))
    weight = alpha * np.exp(before - before[start])
    height, width = size
    picture = np.zeros((height * width, 3))
    np.add.at(picture, pixel, weight[:, None] * rgb[which])
    total = np.bincount(pixel, weight, minlength=height * width)
    return picture.reshape(height, width, 3), total.reshape(height, width)
