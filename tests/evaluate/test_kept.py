"""What an evaluation kept is of the labels as they lie there, wherever they were read from."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dff.evaluate.kept import identity_of
from dff.evaluate.run import EvalOptions

DATA = "scenes/masks/fern"
READ = (
    f"{DATA}/IMG_1_mask.png",
    f"{DATA}/masks/IMG_1.jpg",
    f"{DATA}/masks/IMG_2.JPEG",
    f"{DATA}/segmentations/00/banana.PNG",
    f"{DATA}/labels.json",
    f"{DATA}/segmentations/classes.txt",
    f"{DATA}/depth/frame_0001.npy",
    "scenes/scribbles/fern/pos_0_fern.png",
    "scenes/reference_image/fern/IMG_4038.JPG",
    "scenes/masks/info_semantic.json",
    "scenes/masks/habitat/info_semantic.json",
)


@pytest.fixture
def root(tmp_path) -> Path:
    for inner in READ:
        (tmp_path / inner).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / inner).write_bytes(b"as it was")
    return tmp_path


def identity(scene, root: Path, output: str = "out") -> str:
    data = root / DATA
    return identity_of(scene, EvalOptions(root / "config.yml", root / output, data), data)


@pytest.mark.parametrize("inner", READ)
def test_other_labels_are_another_identity(inner, root, scene):
    before = identity(scene, root)
    assert identity(scene, root) == before
    (root / inner).write_bytes(b"of another size")
    changed = identity(scene, root)
    assert changed != before
    os.utime(root / inner, ns=(1, 1))
    assert identity(scene, root) not in (before, changed)
    (root / inner).unlink()
    assert identity(scene, root) not in (before, changed)


def test_labels_behind_a_link_are_seen(root, scene):
    (root / DATA / "masks").rename(root / "elsewhere")
    (root / DATA / "masks").symlink_to(root / "elsewhere")
    before = identity(scene, root)
    Image.fromarray(np.zeros((4, 4), np.uint8)).save(root / "elsewhere" / "IMG_1.jpg")
    assert identity(scene, root) != before


def test_other_scenes_and_what_is_written_do_not_matter(root, scene):
    output = f"{DATA}/out"
    before = identity(scene, root, output)
    others = (
        f"{output}/metrics.json",
        f"{output}/pictures/a.png",
        "scenes/scribbles/b/pos_0_b.png",
    )
    for inner in others:
        (root / inner).parent.mkdir(parents=True, exist_ok=True)
        (root / inner).write_bytes(b"new")
    assert identity(scene, root, output) == before
