"""Every test starts from the same seeds; hypothesis draws the same examples each time.

Here too: a tiny capture whose truth is known in closed form, a teacher that needs no weights, and
one scene trained on them, which the tests of everything above the fields share.
"""

from __future__ import annotations

import json
import math
import os
import random
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import HealthCheck, settings
from PIL import Image

import dff.teachers.registry
from dff.errors import DffError
from dff.teachers import Teacher

torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "2")))

settings.register_profile(
    "dff",
    max_examples=50,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
settings.load_profile("dff")


@pytest.fixture(autouse=True)
def _seeded() -> None:
    random.seed(0)
    np.random.seed(0)  # noqa: NPY002  (third-party code still reads the global generator)
    torch.manual_seed(0)


class ColourTeacher(Teacher):
    """The mean colour of each 2x2 pixels and two constants, normalised; words name colours."""

    name, dim, fingerprint, logit_scale = "colour", 5, "c0", 40.0
    words = MappingProxyType(
        {
            "red": (0.8, 0.1, 0.1),
            "green": (0.1, 0.7, 0.1),
            "blue": (0.1, 0.1, 0.9),
            "table": (0.5, 0.5, 0.5),
            "sky": (0.8, 0.9, 1.0),
            "object": (0.5, 0.5, 0.5),
            "things": (0.6, 0.5, 0.5),
            "stuff": (0.5, 0.6, 0.5),
            "texture": (0.5, 0.5, 0.6),
        }
    )

    @property
    def has_text(self) -> bool:
        return True

    def grid_shape(self, height: int, width: int) -> tuple[int, int]:
        return height // 2, width // 2

    def encode_image(self, image: torch.Tensor) -> torch.Tensor:
        small = F.avg_pool2d(image.movedim(-1, 0)[None], 2)[0].movedim(0, -1)
        return self._unit(small)

    def encode_text(self, phrases: Sequence[str]) -> torch.Tensor:
        unknown = [phrase for phrase in phrases if phrase not in self.words]
        if unknown:
            raise DffError(f"unknown word '{unknown[0]}'; known: {', '.join(self.words)}")
        return self._unit(torch.tensor([self.words[phrase] for phrase in phrases]))

    @staticmethod
    def _unit(colours: torch.Tensor) -> torch.Tensor:
        constants = torch.tensor([0.2, 0.1]).expand(*colours.shape[:-1], 2)
        return F.normalize(torch.cat([colours, constants], dim=-1), dim=-1)


class EdgeTeacher(Teacher):
    """Features of its own length, finer than the colours, and no text."""

    name, dim, fingerprint, logit_scale = "edges", 7, "e0", 1.0
    has_text = False

    def grid_shape(self, height: int, width: int) -> tuple[int, int]:
        return height, width

    def encode_image(self, image: torch.Tensor) -> torch.Tensor:
        constants = torch.tensor([0.3]).expand(*image.shape[:-1], 1)
        return F.normalize(torch.cat([image, 1 - image, constants], dim=-1), dim=-1)

    def encode_text(self, phrases: Sequence[str]) -> torch.Tensor:
        raise DffError("teacher 'edges' understands no text")


def known_teachers() -> MappingProxyType:
    return MappingProxyType(
        {
            "mini": lambda device, options: None,
            "colour": lambda device, options: ColourTeacher(),
            "edges": lambda device, options: EdgeTeacher(),
        }
    )


@pytest.fixture
def colour_teacher(monkeypatch) -> ColourTeacher:
    """The registry holds the colour teacher, under the name ``colour``."""
    monkeypatch.setattr(dff.teachers.registry, "_TEACHERS", known_teachers())
    return ColourTeacher()


WIDTH, HEIGHT, FOCAL = 24, 18, 26.0
# Centre, radius, colour: two balls on a grey table under a pale sky.
BALLS = (((0.5, 0.0, 0.35), 0.35, (0.8, 0.1, 0.1)), ((-0.5, 0.0, 0.35), 0.35, (0.1, 0.7, 0.1)))


def tiny_pose(angle: float) -> np.ndarray:
    """Camera to world, OpenGL, on a ring around the origin, looking at it from above."""
    origin = np.array([2.2 * math.cos(angle), 2.2 * math.sin(angle), 1.2])
    back = (origin - np.array([0.0, 0.0, 0.2])) / np.linalg.norm(origin - [0.0, 0.0, 0.2])
    right = np.cross([0.0, 0.0, 1.0], back)
    right /= np.linalg.norm(right)
    pose = np.eye(4)
    pose[:3] = np.stack([right, np.cross(back, right), back, origin], axis=1)
    return pose


def tiny_picture(pose: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Colours (h, w, 3) in [0, 1] and labels (h, w): 0 sky, 1 table, 2 red ball, 3 green ball."""
    y, x = np.mgrid[:HEIGHT, :WIDTH] + 0.5
    local = np.stack(
        [(x - WIDTH / 2) / FOCAL, -(y - HEIGHT / 2) / FOCAL, -np.ones_like(x)], axis=-1
    )
    ray = local @ pose[:3, :3].T
    ray /= np.linalg.norm(ray, axis=-1, keepdims=True)
    origin = pose[:3, 3]
    colour = np.broadcast_to([0.8, 0.9, 1.0], ray.shape).copy()
    label = np.zeros(ray.shape[:2], dtype=int)
    nearest = np.full(label.shape, np.inf)
    with np.errstate(divide="ignore"):
        ground = -origin[2] / ray[..., 2]
    place = origin + ground[..., None] * ray
    hit = (ground > 0) & (np.hypot(place[..., 0], place[..., 1]) < 1.3)
    colour[hit], label[hit], nearest[hit] = (0.5, 0.5, 0.5), 1, ground[hit]
    for number, (centre, radius, paint) in enumerate(BALLS, 2):
        towards = np.asarray(centre) - origin
        along = ray @ towards
        miss = (towards @ towards) - along**2
        distance = along - np.sqrt(np.clip(radius**2 - miss, 0, None))
        hit = (miss < radius**2) & (distance > 0) & (distance < nearest)
        normal = (origin + distance[..., None] * ray - np.asarray(centre)) / radius
        shade = 0.7 + 0.3 * normal[..., 2:]
        colour[hit], label[hit], nearest[hit] = (shade * paint)[hit], number, distance[hit]
    return colour, label


def write_capture(folder: Path, images: int = 12) -> Path:
    """Photos ``images/IMG_00.png`` ... and their poses, as nerfstudio keeps them."""
    (folder / "images").mkdir(parents=True)
    frames = []
    for index in range(images):
        pose = tiny_pose(2 * math.pi * index / images)
        name = f"images/IMG_{index:02d}.png"
        pixels = (tiny_picture(pose)[0] * 255 + 0.5).astype(np.uint8)
        Image.fromarray(pixels).save(folder / name)
        frames.append({"file_path": name, "transform_matrix": pose.tolist()})
    meta = {
        "fl_x": FOCAL,
        "fl_y": FOCAL,
        "cx": WIDTH / 2,
        "cy": HEIGHT / 2,
        "w": WIDTH,
        "h": HEIGHT,
    }
    (folder / "transforms.json").write_text(json.dumps({**meta, "frames": frames}))
    return folder


@pytest.fixture
def capture(tmp_path) -> Path:
    """A capture of one's own, to break."""
    return write_capture(tmp_path / "capture")


@pytest.fixture(scope="session")
def shared_capture(tmp_path_factory) -> Path:
    """The same capture, to read only."""
    return write_capture(tmp_path_factory.mktemp("shared") / "capture")


@pytest.fixture(scope="session")
def truth() -> Callable[[str], np.ndarray]:
    """Labels (18, 24) of an image of the tiny capture by its stem: see `tiny_picture`."""
    return lambda stem: tiny_picture(tiny_pose(2 * math.pi * int(stem[-2:]) / 12))[1]


def small_settings(cache: Path, teachers: str = "colour") -> Callable:
    """Makes a training configuration so small that a step takes milliseconds."""

    def configure(config) -> None:
        config.pipeline.teachers = teachers
        manager, model = config.pipeline.datamanager, config.pipeline.model
        manager.feature_cache = cache
        manager.train_num_rays_per_batch = 256
        model.num_levels, model.max_res, model.log2_hashmap_size = 5, 64, 14
        model.feature_num_levels, model.feature_features_per_level = 4, 4
        model.feature_max_res, model.feature_log2_hashmap_size = 64, 12
        model.feature_hidden_dim = 16
        model.num_proposal_samples_per_ray, model.num_nerf_samples_per_ray = (32,), 12
        model.proposal_net_args_list = [
            {"hidden_dim": 16, "log2_hashmap_size": 12, "num_levels": 3, "max_res": 64}
        ]
        model.opacity_loss_mult = 0.0  # a dozen photos: fog would explain them
        model.implementation = "torch"
        for name in ("fields", "proposal_networks", "feature_field"):
            config.optimizers[name]["scheduler"].lr_final = 3e-3
        config.machine.device_type = "cpu"

    return configure


@pytest.fixture
def small(tmp_path) -> Callable:
    """For `dff.training.train_scene`'s ``configure``, with a feature cache of its own."""
    return small_settings(tmp_path / "cache")


@pytest.fixture(scope="session")
def train_small() -> Callable[..., Path]:
    """Train a capture in a folder for some steps, and get the ``config.yml``."""

    def train(
        capture: Path, folder: Path, iterations: int, teachers: str = "colour", **manager
    ) -> Path:
        from dff.training import train_scene

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(dff.teachers.registry, "_TEACHERS", known_teachers())
            small = small_settings(folder / "cache", teachers)

            def configure(config) -> None:
                small(config)
                for name, value in manager.items():
                    setattr(config.pipeline.datamanager, name, value)

            return train_scene(
                capture, folder / "scene", iterations=iterations, configure=configure
            )

    return train


@pytest.fixture(scope="session")
def _trained(tmp_path_factory, shared_capture, train_small) -> Path:
    return train_small(shared_capture, tmp_path_factory.mktemp("trained"), 250)


@pytest.fixture
def trained(_trained, colour_teacher, monkeypatch) -> Path:
    """The ``config.yml`` of a scene trained on the tiny capture; only to read."""
    # The photos have 5,000 pixels in all.
    monkeypatch.setattr("dff.scene.BAKED_RAYS", 3000)
    return _trained


@pytest.fixture(scope="session")
def _both(tmp_path_factory, shared_capture, train_small) -> Path:
    folder = tmp_path_factory.mktemp("both")
    return train_small(shared_capture, folder, 250, teachers="edges,colour")


@pytest.fixture
def both(_both, colour_teacher, monkeypatch) -> Path:
    """The same of one that was distilled from the colours and the edges."""
    monkeypatch.setattr("dff.scene.BAKED_RAYS", 3000)
    return _both


@pytest.fixture(scope="session")
def _scene(_trained):
    from dff.scene import load

    return load(_trained, device="cpu")


@pytest.fixture
def scene(trained, _scene):
    """The trained scene, loaded; its parameters must not be changed."""
    return _scene


@pytest.fixture
def other(trained, tmp_path) -> Path:
    """The same scene's folder under another name: another checkpoint, byte for byte not equal."""
    folder = tmp_path / "other"
    shutil.copytree(trained.parent, folder, ignore=shutil.ignore_patterns("surface.*"))
    for path in folder.rglob("*.ckpt"):
        state = torch.load(path, weights_only=True)
        state["step"] += 1
        torch.save(state, path)
    return folder / "config.yml"
