"""Tiny scenes in the layouts in which benchmarks were published."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image

HEIGHT, WIDTH = 12, 16


def save(path: Path, values: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values).save(path)


def blob(value: int = 255, channels: int = 0) -> np.ndarray:
    """A rectangle, rows 3 to 8 and columns 4 to 11."""
    mask = np.zeros((HEIGHT, WIDTH, channels) if channels else (HEIGHT, WIDTH), np.uint8)
    mask[3:9, 4:12] = value
    return mask


BLOB = torch.from_numpy(blob() > 0)


def write_labels(root: Path) -> Path:
    save(root / "IMG_1.png", blob(1))
    values = blob(2)
    values[0, 0] = 255
    save(root / "IMG_2.png", values)
    classes = {"classes": {"0": "background", "1": "apple", "2": "banana"}}
    (root / "labels.json").write_text(json.dumps(classes))
    return root


def write_lerf(root: Path) -> Path:
    folder = root / "label" / "figurines"
    save(folder / "frame_00041.jpg", np.zeros((HEIGHT, WIDTH, 3), np.uint8))
    corners = [[4, 3], [11, 3], [11, 8], [4, 8]]
    objects = [
        {"category": "green apple", "bbox": [4, 3, 11, 8], "segmentation": corners},
        {
            "category": "green apple",
            "bbox": [15, 1, 13, 0],
            "segmentation": [[13, 0], [15, 0], [15, 1], [13, 1]],
        },
        {"category": "toy", "bbox": [4, 3, 11, 8], "segmentation": corners},
    ]
    info = {"name": "frame_00041.jpg", "width": WIDTH, "height": HEIGHT}
    content = {"info": info, "objects": objects}
    (folder / "frame_00041.json").write_text(json.dumps(content))
    return folder


def write_ovs(root: Path) -> Path:
    for image in ("00", "07"):
        save(root / "segmentations" / image / "banana.png", blob())
        save(root / "segmentations" / image / "white sheet.png", 255 - blob())
    (root / "segmentations" / "classes.txt").write_text("white sheet\nbanana\n\n")
    return root


def write_replica(root: Path) -> Path:
    folder = root / "room_0" / "Sequence_1"
    for number in (0, 2, 10):
        save(folder / "rgb" / f"rgb_{number}.png", np.zeros((HEIGHT, WIDTH, 3), np.uint8))
        save(folder / "semantic_class" / f"semantic_class_{number}.png", blob(20))
        save(folder / "semantic_class" / f"vis_sem_class_{number}.png", blob(9, 3))
    poses = np.stack([np.eye(4)] * 11)
    poses[:, 0, 3] = np.arange(11)
    np.savetxt(folder / "traj_w_c.txt", poses.reshape(11, 16))
    classes = {"classes": [{"id": 20, "name": "chair"}, {"id": 93, "name": "window"}]}
    (root / "room_0" / "info_semantic.json").write_text(json.dumps(classes))
    return folder


def write_nvos(root: Path) -> Path:
    save(root / "masks" / "fern" / "IMG_4027_mask.png", blob())
    save(root / "masks" / "fern" / "IMG_4027.JPG", blob(90, 3))
    save(root / "reference_image" / "fern" / "IMG_4038.JPG", blob(90, 3))
    strokes = np.zeros((HEIGHT, WIDTH), np.uint8)
    strokes[4:7, 4:11] = 255
    save(root / "scribbles" / "fern" / "pos_0_fern.png", strokes)
    save(root / "scribbles" / "fern" / "neg_0_fern.png", np.roll(strokes, 6, axis=0))
    return root / "masks" / "fern"


def write_spin(root: Path) -> Path:
    for name in ("image000", "image003"):
        save(root / "fortress" / f"{name}.png", blob())
        save(root / "fortress" / f"{name}_cutout.png", blob(90, 3))
        save(root / "fortress" / f"{name}_pseudo.png", blob())
    return root / "fortress"


def write_spin_capture(root: Path) -> Path:
    # Of their own captures the masks hold 0 and 1.
    save(root / "10" / "images_4" / "label" / "20220823_095135.png", blob(1))
    return root / "10"


def write_nvos_unprompted(root: Path) -> Path:
    folder = write_nvos(root)
    shutil.rmtree(root / "scribbles")
    return folder


def write_llff(root: Path) -> Path:
    save(root / "masks" / "IMG_5.png", blob())
    np.save(root / "poses_bounds.npy", np.zeros((1, 17)))
    return root


# What is written, the format it is told to be, its images, its classes.
FORMATS: dict[str, tuple[Callable[[Path], Path], str, tuple[str, ...], set[str]]] = {
    "labels": (write_labels, "labels", ("IMG_1", "IMG_2"), {"background", "apple", "banana"}),
    "lerf": (write_lerf, "lerf-ovs", ("frame_00041",), {"green apple", "toy"}),
    "3d-ovs": (write_ovs, "3d-ovs", ("00", "07"), {"banana", "white sheet"}),
    "replica": (write_replica, "replica", ("rgb_0", "rgb_2", "rgb_10"), {"chair", "window"}),
    "nvos": (write_nvos, "nvos", ("IMG_4027",), {"object"}),
    "spin": (write_spin, "spin-nerf", ("image000", "image003"), {"object"}),
    "spin capture": (write_spin_capture, "spin-nerf", ("20220823_095135",), {"object"}),
    "llff": (write_llff, "llff-masks", ("IMG_5",), {"object"}),
}

EMPTY = np.zeros((HEIGHT, WIDTH), np.uint8)
