"""Bake a scene: find its surface once per checkpoint, and keep it on disk beside it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from nerfstudio.cameras.cameras import Cameras
from nerfstudio.cameras.rays import RayBundle
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from dff.fields.feature_field import FeatureField
from dff.files import atomic_write, sha256_of
from dff.selection.surface_grid import RESOLUTION, SurfaceGrid
from dff.selection.surface_snap import SurfaceSnap

# Enough that the voxels of what the photos show are met several times over.
RAYS = 200_000
VERSION = "1"
_PARTS = ("nearest", "away", "seen", "points", "hidden", "rgb", "rays")


def fingerprint_of(checkpoint: Path) -> str:
    """SHA-256 of a checkpoint file, in hexadecimal digits."""
    return sha256_of(checkpoint).hex()


def bake(
    cameras: Cameras,
    field: FeatureField,
    render: Callable[[RayBundle], dict[str, Tensor]],
    rays: int = RAYS,
    resolution: int = RESOLUTION,
) -> SurfaceGrid:
    """Find what rays spread evenly over the training views meet.

    Args:
        cameras: the training views.
        field: says where a world position is in the unit cube.
        render: gives ``rgb``, ``accumulation``, ``depth`` and ``hidden_features`` of rays.
        rays: how many; the same ones each time.
        resolution: voxels along one side of the unit cube.
    """
    generator = torch.Generator().manual_seed(0)
    image = torch.randint(0, len(cameras), (rays,), generator=generator)
    size = torch.stack([cameras.height[image, 0], cameras.width[image, 0]], dim=-1).cpu()
    coordinates = torch.rand(rays, 2, generator=generator) * size
    bundle = cameras.generate_rays(camera_indices=image[:, None], coords=coordinates)
    outputs = render(bundle)
    met = outputs["accumulation"][:, 0] > 0.5
    points = bundle.origins + outputs["depth"].to(bundle.origins) * bundle.directions
    points = points.cpu()[met]
    unit = field.unit_positions(points.to(field.aabb)).cpu()
    hidden, rgb = outputs["hidden_features"][met], outputs["rgb"][met]
    return SurfaceGrid.build(unit, points, hidden, rgb, resolution)


def save_grid(grid: SurfaceGrid, path: Path, key: str) -> None:
    """Write a grid, atomically.

    Args:
        grid: what to keep.
        path: the file.
        key: of what it belongs to; `load_grid` wants the same.
    """
    snap = grid.snap
    parts = (snap.nearest, snap.away, snap.seen, snap.points, grid.hidden, grid.rgb, grid.rays)
    tensors = {name: part.contiguous() for name, part in zip(_PARTS, parts, strict=True)}
    with atomic_write(path) as stream:
        stream.write(save(tensors, {"version": VERSION, "key": key}))


def load_grid(path: Path, key: str) -> SurfaceGrid | None:
    """Read a grid, memory-mapped; None where there is none, or it is damaged or of another key."""
    try:
        with safe_open(str(path), framework="pt") as file:
            facts = file.metadata() or {}
            if facts.get("version") != VERSION or facts.get("key") != key:
                return None
            part = {name: file.get_tensor(name) for name in _PARTS}
    except (OSError, SafetensorError, ValueError):
        return None
    snap = SurfaceSnap(part["nearest"], part["away"], part["seen"], part["points"])
    return SurfaceGrid(snap, part["hidden"], part["rgb"], part["rays"])
