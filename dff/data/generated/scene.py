"""Writes a generated scene the way a capture lies on disk, with its ground truth beside it.

SCENE/
  images/frame_0000.png       pictures
  transforms.json             cameras and the split; written last, so that a scene with it is whole
  labels.json                 classes, things, and the settings that made the scene
  depth/frame_0000.npy        float32 (H, W), distance along the ray through the pixel's centre
  semantics/frame_0000.png    uint8 class at the pixel's centre; numbers in labels.json
  instances/frame_0000.png    uint8 number of the thing at the pixel's centre, 0 for none
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Int
from PIL import Image
from torch import Tensor

from dff.data.generated.cameras import Camera, orbit
from dff.data.generated.description import SceneDescription, describe_scene
from dff.data.generated.render import View, class_names, render_views
from dff.errors import DffError

FORMAT_VERSION = 2


@dataclass(frozen=True)
class SceneSettings:
    """What a generated scene is made from; the same settings give the same bytes.

    Attributes:
        seed: fixes things, paint, light and cameras.
        num_objects: things on the table.
        num_train, num_eval: cameras to train on, and held-out ones in between.
        width, height: of a picture in pixels.
    """

    seed: int = 0
    num_objects: int = 8
    num_train: int = 40
    num_eval: int = 8
    width: int = 192
    height: int = 144


@dataclass(frozen=True)
class SceneTruth:
    """A generated scene's truth: enough to render it again, changed or not.

    ``render_views(truth.description.without(3), truth.cameras)`` is what the scene's cameras would
    have seen had thing 3 never been there.

    Attributes:
        path: the scene's folder.
        settings: what it was made from.
        description: the scene.
        cameras: one for each frame, in the order of the files.
        held_out: for each frame, whether it is held out from training.
    """

    path: Path
    settings: SceneSettings
    description: SceneDescription
    cameras: tuple[Camera, ...]
    held_out: tuple[bool, ...]

    @property
    def file_names(self) -> tuple[str, ...]:
        """Paths of the pictures within the scene's folder."""
        return tuple(f"images/{frame_name(k)}.png" for k in range(len(self.cameras)))

    @property
    def frames(self) -> dict[str, int]:
        """Number of each frame by the stem of its picture."""
        return {Path(name).stem: frame for frame, name in enumerate(self.file_names)}

    def masks(self, frame: int) -> tuple[np.ndarray, np.ndarray]:
        """Semantics and instances of a frame, both (H, W) uint8."""
        name = f"{frame_name(frame)}.png"
        return (
            np.asarray(Image.open(self.path / "semantics" / name)),
            np.asarray(Image.open(self.path / "instances" / name)),
        )

    def instances(self, frame: int) -> Int[Tensor, "h w"]:
        """Number of the thing at each pixel's centre of a frame, 0 for none, int64."""
        return torch.from_numpy(self.masks(frame)[1].astype(np.int64))

    def depth(self, frame: int) -> np.ndarray:
        """(H, W) float32 distance along the ray through each pixel's centre, in decimetres."""
        return np.load(self.path / "depth" / f"{frame_name(frame)}.npy")


def frame_name(frame: int) -> str:
    """The stem that a frame's files share."""
    return f"frame_{frame:04d}"


def write_scene(
    path: Path,
    seed: int = 0,
    *,
    num_objects: int = 8,
    num_train: int = 40,
    num_eval: int = 8,
    width: int = 192,
    height: int = 144,
    progress: Callable[[int, int], None] | None = None,
) -> SceneTruth:
    """Generates a scene into a folder; see the top of the module for what lies there afterwards.

    A scene that is already there, whole and with the same settings, is left as it is.

    Args:
        path: the folder; made if it is not there.
        seed, num_objects, num_train, num_eval, width, height: see `SceneSettings`.
        progress: called with (frames done, frames in all).

    Raises:
        DffError: for settings out of range.
    """
    settings = SceneSettings(seed, num_objects, num_train, num_eval, width, height)
    truth = plan_scene(path, settings)
    if is_written(path, settings):
        return truth
    for folder in ("images", "depth", "semantics", "instances"):
        (path / folder).mkdir(parents=True, exist_ok=True)
    (path / "transforms.json").unlink(missing_ok=True)
    views = render_views(truth.description, truth.cameras, progress=progress)
    for k, view in enumerate(views):
        _write_view(path, frame_name(k), view)
    _write_json(path / "labels.json", _labels(truth))
    _write_json(path / "transforms.json", _transforms(truth))
    return truth


def plan_scene(path: Path, settings: SceneSettings) -> SceneTruth:
    """The truth of the scene that these settings make, whether or not it has been written.

    Raises:
        DffError: for settings out of range.
    """
    if settings.num_train < 2 or settings.num_eval < 0:
        raise DffError("a generated scene needs at least 2 training cameras and 0 held-out ones")
    if min(settings.width, settings.height) < 8:
        raise DffError(
            f"pictures of {settings.width}x{settings.height} are too small; take 8 pixels or more"
        )
    description = describe_scene(settings.seed, settings.num_objects)
    count = settings.num_train + settings.num_eval
    rng = np.random.default_rng([settings.seed, 1])
    cameras = orbit(count, rng, width=settings.width, height=settings.height)
    # Held-out cameras lie evenly along the walk.
    out = {int((k + 0.5) * count / settings.num_eval) for k in range(settings.num_eval)}
    return SceneTruth(
        Path(path), settings, description, tuple(cameras), tuple(k in out for k in range(count))
    )


def is_written(path: Path, settings: SceneSettings) -> bool:
    """Whether the folder holds the whole scene of these settings."""
    try:
        labels = json.loads((path / "labels.json").read_text())
    except (OSError, ValueError):
        return False
    wanted = {"version": FORMAT_VERSION, **asdict(settings)}
    return labels.get("generator") == wanted and (path / "transforms.json").is_file()


def load_truth(path: Path) -> SceneTruth:
    """The truth of a generated scene on disk.

    Raises:
        DffError: if the folder holds no whole generated scene.
    """
    path = Path(path)
    try:
        made_from = dict(json.loads((path / "labels.json").read_text())["generator"])
        version = made_from.pop("version")
        settings = SceneSettings(**made_from)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DffError(
            f"{path} is not a generated scene: its labels.json cannot be read ({error})"
        ) from error
    if version != FORMAT_VERSION or not is_written(path, settings):
        raise DffError(
            f"the generated scene in {path} is incomplete or of another version; generate it again"
        )
    return plan_scene(path, settings)


def _write_view(path: Path, stem: str, view: View) -> None:
    Image.fromarray(view.image).save(path / "images" / f"{stem}.png", optimize=False)
    np.save(path / "depth" / f"{stem}.npy", view.depth)
    Image.fromarray(view.semantics).save(path / "semantics" / f"{stem}.png")
    Image.fromarray(view.instances).save(path / "instances" / f"{stem}.png")


def _write_json(path: Path, content: dict[str, Any]) -> None:
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    part.write_text(json.dumps(content, indent=1) + "\n")
    part.replace(path)


def _transforms(truth: SceneTruth) -> dict[str, Any]:
    """nerfstudio's transforms.json: OpenGL camera-to-world, focal lengths in pixels."""
    camera = truth.cameras[0]
    split: dict[str, list[str]] = {"train": [], "held_out": []}
    for name, out in zip(truth.file_names, truth.held_out, strict=True):
        split["held_out" if out else "train"].append(name)
    held_out = split["held_out"] or split["train"]
    return {
        "camera_model": "OPENCV",
        "w": camera.width,
        "h": camera.height,
        "fl_x": camera.focal,
        "fl_y": camera.focal,
        "cx": camera.width / 2,
        "cy": camera.height / 2,
        "k1": 0.0,
        "k2": 0.0,
        "p1": 0.0,
        "p2": 0.0,
        "frames": [
            {"file_path": name, "transform_matrix": [list(row) for row in view.pose]}
            for name, view in zip(truth.file_names, truth.cameras, strict=True)
        ],
        "train_filenames": split["train"],
        "val_filenames": held_out,
        "test_filenames": held_out,
    }


def _labels(truth: SceneTruth) -> dict[str, Any]:
    instances = {}
    for thing in truth.description.objects:
        points = thing.geometry().vertices
        low, high = points.min(0), points.max(0)
        instances[str(thing.instance)] = {
            "name": thing.name,
            "colour": thing.look.colour,
            "phrase": thing.phrase,
            "centre": ((low + high) / 2).tolist(),
            "bounds": [low.tolist(), high.tolist()],
        }
    return {
        "generator": {"version": FORMAT_VERSION, **asdict(truth.settings)},
        "unit": "decimetre",
        "depth": "distance along the ray through the pixel's centre",
        "classes": {str(k): name for k, name in enumerate(class_names())},
        "instances": instances,
    }
