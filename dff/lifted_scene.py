"""Lifted features as part of a scene: made, kept beside the checkpoint, and found again."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from nerfstudio.cameras.rays import RayBundle, RaySamples
from pydantic import TypeAdapter
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from dff import rendering
from dff.baking import RAYS as BAKED_RAYS
from dff.checkpoint import TeacherRecord
from dff.data.feature_cache import FeatureCache, default_cache_root
from dff.errors import DffError, notice_in_one_line
from dff.files import atomic_write
from dff.lifted_field import BareField, LiftedFeatures, LiftedField
from dff.lifting import Lifted, lift
from dff.selection.surface_grid import SurfaceGrid
from dff.teachers import Teacher, TeacherOptions
from dff.teachers.options import DEFAULT_OPTIONS

if TYPE_CHECKING:
    from dff.model import DFFModel
    from dff.scene import Scene

VERSION = "1"
# Enough that the voxels of the surface are met several times over.
LIFTED_RAYS = BAKED_RAYS
_OPTIONS = TypeAdapter(TeacherOptions)
FOLDER = "lifted"
SUFFIX = ".safetensors"


def lift_teacher(
    scene: Scene,
    teacher: Teacher,
    cache: Path | None = None,
    pca: int | None = None,
    options: TeacherOptions = DEFAULT_OPTIONS,
    on_part: Callable[[float], None] = lambda share: None,
) -> tuple[Path, Lifted]:
    """Lift a teacher's features of the training photos, and keep them beside the checkpoint.

    Args:
        scene: trained, with features or without.
        teacher: encodes the photos that are not in the cache yet.
        cache: folder of the feature cache; by default `default_cache_root`.
        pca: as for the cache.
        options: with which the teacher was loaded, and is to be loaded for queries.
        on_part: told the share of the lifting that is done.

    Returns:
        The file, and what is in it. The scene finds it when it is loaded again.

    Raises:
        DffError: the photos cannot be encoded, or the file cannot be written.
    """
    dataset = scene.pipeline.datamanager.train_dataset
    maps = FeatureCache(cache or default_cache_root(), teacher, pca=pca).ensure(
        dataset.image_filenames
    )
    grid = surface_of(scene)
    field = scene.model.feature_field
    assert field is not None
    lifted = lift(
        dataset.cameras,
        maps,
        grid,
        lambda positions: field.unit_positions(positions.to(field.aabb)),
        lambda bundle: weigh_samples(scene.model, bundle),
        LIFTED_RAYS,
        on_part=on_part,
    )
    record = TeacherRecord.of(teacher, None if maps.basis is None else maps.dim)
    found = LiftedFeatures(record, lifted.values, lifted.weight, options)
    path = folder_of(scene) / f"{teacher.name}{SUFFIX}"
    save_lifted(found, path, key_of(scene))
    return path, lifted


@torch.no_grad()
def weigh_samples(
    model: DFFModel, bundle: RayBundle
) -> tuple[Float[Tensor, "rays k 1"], Float[Tensor, "rays k 3"]]:
    """Rendering weights and world positions of the samples that features are rendered from."""
    samples: RaySamples
    bundle = model.collider(bundle.to(model.device))
    samples, _, _ = model.eval_sampler(bundle, density_fns=model.density_fns)
    assert samples.deltas is not None
    positions = samples.frustums.get_positions()
    density, _ = model.field.density_at(positions)
    weights = rendering.weights_from_alphas(rendering.alphas_from_density(density, samples.deltas))
    top, index = rendering.top_samples(weights, model.config.feature_samples_per_ray)
    return top, torch.gather(positions, -2, index[..., None].expand(*index.shape, 3))


def folder_of(scene: Scene) -> Path:
    """Where a scene's lifted features are."""
    return scene.checkpoint.parent.parent / FOLDER


def key_of(scene: Scene) -> str:
    """What lifted features belong to: the checkpoint, and the voxels of its surface."""
    return f"{scene.fingerprint} {scene.surface.fingerprint}"


def surface_of(scene: Scene) -> SurfaceGrid:
    """The surface of a scene, also where it has no features to be baked with."""
    model = scene.model
    if model.feature_field is None:
        contracted = not model.config.disable_scene_contraction
        model.feature_field = BareField(model.scene_box.aabb.to(model.device), contracted)
    return scene.surface


def attach_lifted(scene: Scene, notice: Callable[[str], None] = notice_in_one_line) -> None:
    """Let a scene answer by what was lifted, too.

    Files that belong to another checkpoint, or are damaged, are left alone and said so.

    Args:
        scene: just loaded.
        notice: told of files that are of no use.
    """
    paths = sorted(folder_of(scene).glob(f"*{SUFFIX}"))
    if not paths:
        return
    before = scene.model.feature_field
    grid = surface_of(scene)
    base = scene.model.feature_field
    assert base is not None
    lifted: dict[str, LiftedFeatures] = {}
    for path in paths:
        try:
            found = load_lifted(path, key_of(scene))
        except DffError as error:
            notice(str(error))
            continue
        lifted[found.teacher.name] = found
    if not lifted:
        scene.model.feature_field = before
        return
    scene.model.feature_field = LiftedField(base, grid, lifted)
    scene.model.teacher_records = joined_records(
        scene.model.teacher_records, [part.teacher for part in lifted.values()]
    )


def joined_records(
    trained: Sequence[TeacherRecord], lifted: Sequence[TeacherRecord]
) -> tuple[TeacherRecord, ...]:
    """All teachers: lifted ones take the place of trained ones of the same name."""
    found = {record.name: record for record in (*trained, *lifted)}
    return tuple(found.values())


def save_lifted(features: LiftedFeatures, path: Path, key: str) -> None:
    """Write lifted features, atomically.

    Args:
        features: what to keep.
        path: the file.
        key: of what it belongs to; `load_lifted` wants the same.

    Raises:
        DffError: it cannot be written.
    """
    facts = {
        "version": VERSION,
        "key": key,
        "teacher": json.dumps(asdict(features.teacher)),
        "options": _OPTIONS.dump_json(features.options).decode(),
    }
    tensors = {"values": features.values.half(), "weight": features.weight.float()}
    with atomic_write(path) as stream:
        stream.write(save({k: v.contiguous() for k, v in tensors.items()}, facts))


def load_lifted(path: Path, key: str) -> LiftedFeatures:
    """Read lifted features.

    Raises:
        DffError: the file is damaged, or belongs to something else.
    """
    again = f"run `dff features --lift --load-config CONFIG --teacher {path.stem}` again"
    try:
        with safe_open(str(path), framework="pt") as file:
            facts = file.metadata() or {}
            if facts.get("version") != VERSION or facts.get("key") != key:
                raise DffError(f"{path} was lifted from another checkpoint: {again}")
            record = TeacherRecord(**json.loads(facts["teacher"]))
            options = _OPTIONS.validate_json(facts["options"])
            values, weight = file.get_tensor("values").float(), file.get_tensor("weight")
    except (OSError, SafetensorError, ValueError, KeyError, TypeError) as error:
        raise DffError(f"{path} is damaged: {again}") from error
    if values.shape[1:] != weight.shape[1:] or weight.shape[0] != record.dim:
        raise DffError(f"{path} is damaged: {again}")
    return LiftedFeatures(record, values, weight, options)
