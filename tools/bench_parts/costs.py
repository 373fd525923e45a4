"""What rendering, baking and asking cost, on a run that was just trained, and what features do."""

from __future__ import annotations

import json
import resource
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from bench_parts.runs import Capture, Run, dff, prepare
from dff.baking import RAYS as BAKED_RAYS
from dff.fields.baked_density import densities_off_grids
from dff.query.scores import QueryEmbedding
from dff.scene import Scene
from dff.teachers import TeacherOptions
from dff.teachers.options import PrecomputedOptions

# Cells of made-up maps along their longer side.
MAP_SIDE = 24


def peak_gigabytes() -> float:
    """The most memory this process ever held (resident, Linux)."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def bytes_below(folder: Path) -> int:
    """What the files of a folder hold."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def median_seconds(action: Callable[[], Any], repeats: int) -> float:
    """Median time of doing something, after once that does not count."""
    action()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        action()
        times.append(time.perf_counter() - start)
    return float(np.median(times))


def render_seconds(run: Run, repeats: int = 3) -> dict[str, float]:
    """Seconds for one frame of the capture's size, colours alone and with features."""
    camera = run.pipeline.datamanager.train_dataset.cameras[0:1]
    run.pipeline.eval()
    scene = Scene(run.pipeline, None, Path())  # type: ignore[arg-type]
    model = run.pipeline.dff_model
    as_loaded = densities_off_grids(model.proposal_networks, model.implementation)
    with mock.patch.object(model, "density_fns", as_loaded):
        found = {"colours": median_seconds(lambda: scene.render(camera), repeats)}
        if model.feature_field is not None:
            seconds = median_seconds(lambda: scene.render(camera, hidden=True), repeats)
            found["with features"] = seconds
    run.pipeline.train()
    pixels = int(camera.height.item()) * int(camera.width.item())
    found["megapixels"] = pixels / 1e6
    return found


def asking_seconds(run: Run, repeats: int = 5, rays: int = BAKED_RAYS) -> dict[str, float]:
    """Seconds to find the surface once, to bake a teacher's features on it, and for one query.

    Args:
        run: trained at least a little, so that there is a surface.
        repeats: queries that are timed.
        rays: with which the surface is looked for.
    """
    run.pipeline.eval()
    with tempfile.TemporaryDirectory() as folder, mock.patch("dff.scene.BAKED_RAYS", rays):
        checkpoint = Path(folder) / "nerfstudio_models" / "step.ckpt"
        checkpoint.parent.mkdir()
        torch.save({"pipeline": run.pipeline.state_dict()}, checkpoint)
        scene = Scene(run.pipeline, None, checkpoint)  # type: ignore[arg-type]
        start = time.perf_counter()
        surface = scene.surface
        found = {"surface": time.perf_counter() - start, "voxels": float(len(surface))}
    record = run.pipeline.dff_model.teacher_records[0]
    start = time.perf_counter()
    baked = scene.baked(record.name)
    found["bake features"] = time.perf_counter() - start
    query = QueryEmbedding(unit(1, record.dim, 0), unit(4, record.dim, 1), 100.0)
    found["query"] = median_seconds(lambda: baked.scores(query), repeats)
    run.pipeline.train()
    return found


def unit(count: int, dim: int, seed: int) -> Tensor:
    """Random unit vectors."""
    generator = torch.Generator().manual_seed(seed)
    return F.normalize(torch.randn(count, dim, generator=generator), dim=-1)


def write_made_up_maps(photos: Sequence[Path], folder: Path, dim: int) -> TeacherOptions:
    """A folder of maps of any feature length, smooth noise, for the teacher ``precomputed``."""
    folder.mkdir(parents=True, exist_ok=True)
    basis = unit(8, dim, 2)
    for number, photo in enumerate(photos):
        mixed = unit(MAP_SIDE * MAP_SIDE * 3 // 4, 8, number) @ basis
        cells = mixed.view(MAP_SIDE * 3 // 4, MAP_SIDE, dim)
        np.save(folder / f"{photo.stem}.npy", cells.numpy().astype(np.float16))
    return TeacherOptions(precomputed=PrecomputedOptions(folder=folder, layout="hwc"))


def photos_of(data: Path) -> list[Path]:
    """Images of a capture in nerfstudio format."""
    frames = json.loads((data / "transforms.json").read_text(encoding="utf-8"))["frames"]
    return [data / frame["file_path"] for frame in frames]


def made_up_run(
    capture: Capture, dim: int, folder: Path, settings: Sequence[str] = ()
) -> tuple[Run, dict[str, float]]:
    """A run on features of a given length; what encoding them took and left on disk."""
    config = dff(True, settings)
    config.pipeline.teachers = "precomputed"
    config.pipeline.teacher = write_made_up_maps(photos_of(capture.data), folder / "maps", dim)
    config.pipeline.datamanager.feature_cache = folder / "cache"
    start = time.perf_counter()
    run = prepare(config, capture)
    facts = {
        "prepare_seconds": time.perf_counter() - start,
        "cache_bytes": float(bytes_below(folder / "cache")),
    }
    return run, facts


def cost_by_dimension(
    capture: Capture, dims: Sequence[int], warm_up: int, steps: int
) -> dict[str, dict[str, float]]:
    """By feature length: seconds a step, what that is more than without features, and the cache.

    The steps without features are the same ones of a run just before: a process that has done much
    else is slower than it was.
    """
    found = {}
    for dim in dims:
        plain = prepare(dff(False), capture)
        plain_seconds = plain.mean_step(warm_up, steps), plain.mean_step(0, steps)
        with tempfile.TemporaryDirectory() as folder:
            run, facts = made_up_run(capture, dim, Path(folder))
            seconds = run.mean_feature_steps(warm_up, steps)
            early, later = (1.0 - a / b for a, b in zip(plain_seconds, seconds, strict=True))
            found[str(dim)] = {
                "seconds_per_step": seconds[1],
                "feature_share_of_step": later,
                "feature_share_while_warming_up": early,
                "cache_bytes": facts["cache_bytes"],
            }
    return found
