"""Broken benchmarks in the published layouts: whatever is wrong is one clear line."""

from __future__ import annotations

import json
import math
import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from dff.errors import DffError
from dff.evaluate.benchmarks import read_benchmark

sys.path.insert(0, str(Path(__file__).parent))

from tiny_benchmarks import (
    EMPTY,
    FORMATS,
    blob,
    save,
    write_lerf,
    write_nvos_unprompted,
)


def broken(name: str, change: Callable[[Path], None]) -> Callable[[Path], Path]:
    def write(root: Path) -> Path:
        folder = FORMATS[name][0](root)
        change(folder)
        return folder

    return write


def overwrite(inner: str, text: str) -> Callable[[Path], None]:
    return lambda folder: (folder / inner).write_text(text) and None


def spoilt_object(key: str, *value: object) -> Callable[[Path], Path]:
    """LERF-OVS whose second object has another value of a key, or none at all."""

    def change(folder: Path) -> None:
        path = folder / "frame_00041.json"
        content = json.loads(path.read_text())
        del content["objects"][1][key]
        for each in value:
            content["objects"][1][key] = each
        path.write_text(json.dumps(content))

    return broken("lerf", change)


BROKEN = {
    "no such folder": (lambda root: root / "nowhere", "no such folder"),
    "nothing in it": (lambda root: root, "none of the formats"),
    "no names": (broken("labels", lambda f: (f / "labels.json").unlink()), "--names background"),
    "damaged names": (broken("labels", overwrite("labels.json", "{")), "cannot read"),
    "names of another kind": (broken("labels", overwrite("labels.json", "[1]")), "must hold"),
    "a value without name": (
        broken("labels", lambda f: save(f / "IMG_1.png", blob(7))),
        "has the value 7, which has no class",
    ),
    "colours for numbers": (
        broken("labels", lambda f: save(f / "IMG_1.png", blob(1, 3))),
        "class numbers need one channel",
    ),
    "nothing labelled": (
        broken("labels", lambda f: save(f / "IMG_1.png", EMPTY + 255)),
        "none of its pixels has a class",
    ),
    "half a mask": (
        broken("labels", lambda f: (f / "IMG_1.png").write_bytes(b"\x89PNG\r\n\x1a\nhalf")),
        "cannot read",
    ),
    "half a label file": (broken("lerf", overwrite("frame_00041.json", '{"info"')), "cannot read"),
    "no objects": (
        broken(
            "lerf",
            overwrite("frame_00041.json", '{"info": {"width": 9, "height": 9}, "objects": []}'),
        ),
        "has no objects",
    ),
    "no info": (broken("lerf", overwrite("frame_00041.json", "{}")), "no LERF-OVS label file"),
    "a class without mask": (
        broken("3d-ovs", lambda f: (f / "segmentations" / "00" / "banana.png").unlink()),
        "no mask of 'banana'",
    ),
    "an empty mask": (
        broken("3d-ovs", lambda f: save(f / "segmentations" / "00" / "banana.png", EMPTY)),
        "is empty",
    ),
    "too few cameras": (
        broken("replica", overwrite("traj_w_c.txt", " ".join(["1"] * 16))),
        "has 1 cameras, but there is a label image semantic_class_2.png",
    ),
    "a trajectory of words": (
        broken("replica", overwrite("traj_w_c.txt", "no numbers")),
        "16 numbers",
    ),
    "no class names": (
        broken("replica", lambda f: (f.parent / "info_semantic.json").unlink()),
        "no info_semantic.json",
    ),
    "no word for a category": (spoilt_object("category", None), "objects[1] must be corrected"),
    "no category": (spoilt_object("category"), "objects[1] has no 'category'"),
    "an empty polygon": (spoilt_object("segmentation", [[]]), "a polygon needs three corners"),
    "an empty polygon of two": (
        spoilt_object("segmentation", [[], [[0, 0], [4, 0], [0, 4]]]),
        "a polygon needs three corners",
    ),
    "a corner nowhere": (
        spoilt_object("segmentation", [[0, 0], [4, 0], [0, math.nan]]),
        "a corner of its polygon is not finite",
    ),
    "a box without end": (
        spoilt_object("bbox", [0, 0, math.inf, 4]),
        "its bbox is not four finite numbers",
    ),
    "a size without end": (
        broken(
            "lerf",
            overwrite(
                "frame_00041.json", '{"info": {"width": Infinity, "height": 9}, "objects": []}'
            ),
        ),
        "no LERF-OVS label file",
    ),
    "no classes": (
        broken("labels", overwrite("labels.json", '{"classes": {}}')),
        "labels.json names no class",
    ),
    "a word for a list": (
        broken(
            "labels",
            overwrite(
                "labels.json", '{"classes": {"0": "background"}, "background": "background"}'
            ),
        ),
        "labels.json: background must be a list of classes",
    ),
    "no prompt": (write_nvos_unprompted, "scribbles/fern (scribbles should be there)"),
    "no scribbles": (
        broken("nvos", lambda f: (f.parents[1] / "scribbles/fern/pos_0_fern.png").unlink()),
        "no pos_*.png",
    ),
    "no reference": (
        broken("nvos", lambda f: shutil.rmtree(f.parents[1] / "reference_image")),
        "no such folder",
    ),
    "an empty object": (
        broken("llff", lambda f: save(f / "masks" / "IMG_5.png", EMPTY)),
        "is empty",
    ),
}


def read_all(folder: Path) -> None:
    benchmark = read_benchmark(folder)
    for image in benchmark.images:
        benchmark.read(image)


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_broken_is_one_clear_line(name, tmp_path):
    write, says = BROKEN[name]
    folder = write(tmp_path)
    with pytest.raises(DffError, match=re.escape(says)) as caught:
        read_all(folder)
    assert "\n" not in str(caught.value)


def test_names_are_refused_where_the_labels_have_their_own(tmp_path):
    with pytest.raises(DffError, match="leave out --names"):
        read_benchmark(write_lerf(tmp_path), names=("toy",))
    with pytest.raises(DffError, match="no format"):
        read_benchmark(tmp_path, "coco")
