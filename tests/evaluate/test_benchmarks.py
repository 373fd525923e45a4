"""Benchmark formats: tiny scenes in the published layouts, and the ways in which they break."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from nerfstudio.data.dataparsers.nerfstudio_dataparser import NerfstudioDataParserConfig
from PIL import Image

from dff.data.generated.scene import write_scene
from dff.errors import DffError
from dff.evaluate.benchmarks import detect, read_benchmark
from dff.evaluate.benchmarks.lerf_ovs import polygon_mask
from dff.evaluate.benchmarks.replica import transforms

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


@pytest.mark.parametrize("name", FORMATS)
def test_each_published_layout_is_told_and_read(name, tmp_path):
    write, kind, images, classes = FORMATS[name]
    folder = write(tmp_path)
    assert detect(folder) == kind
    benchmark = read_benchmark(folder)
    assert benchmark.format == kind
    assert benchmark.images == images
    assert set(benchmark.classes) == classes
    thing = {"replica": "chair", "labels": "apple", "lerf": "toy", "3d-ovs": "banana"}
    frame = benchmark.read(images[0])
    assert frame.size == (HEIGHT, WIDTH)
    assert torch.equal(frame.mask(thing.get(name, "object")), BLOB)
    assert not frame.mask("something else").any()


def test_our_own_labels_leave_255_out_and_average_over_things(tmp_path):
    benchmark = read_benchmark(write_labels(tmp_path))
    assert benchmark.asked == ("apple", "banana")
    assert benchmark.label_list
    frame = benchmark.read("IMG_2")
    assert not frame.known[0, 0]
    assert int(frame.known.sum()) == HEIGHT * WIDTH - 1
    covered = torch.stack(list(frame.masks.values())).sum(0)
    assert torch.equal(covered == 1, frame.known)


def test_labels_without_a_file_of_names_take_them_from_the_command(tmp_path):
    folder = write_labels(tmp_path)
    (folder / "labels.json").unlink()
    benchmark = read_benchmark(folder, names=("table", "apple", "pear"))
    assert benchmark.classes == ("table", "apple", "pear")
    assert benchmark.asked == ("apple", "pear")


def test_lerf_unites_masks_of_a_category_and_keeps_every_box(tmp_path):
    frame = read_benchmark(write_lerf(tmp_path)).read("frame_00041")
    assert frame.boxes["green apple"] == ((4, 3, 11, 8), (13, 0, 15, 1))
    united = BLOB.clone()
    united[0:2, 13:16] = True
    assert torch.equal(frame.mask("green apple"), united)


def test_a_polygon_is_filled_with_its_edge():
    triangle = polygon_mask([[0, 0], [4, 0], [0, 4]], (5, 5))
    rows, columns = np.mgrid[:5, :5]
    assert np.array_equal(triangle.numpy(), rows + columns <= 4)


def test_replica_becomes_a_capture_that_nerfstudio_reads(tmp_path):
    folder = write_replica(tmp_path)
    content = transforms(folder)
    (folder / "transforms.json").write_text(json.dumps(content))
    assert [frame["file_path"] for frame in content["frames"]] == [
        "rgb/rgb_0.png",
        "rgb/rgb_2.png",
        "rgb/rgb_10.png",
    ]
    # The camera of image 10 stands at x = 10, looks along +z with y down: OpenGL looks along -z.
    pose = np.array(content["frames"][2]["transform_matrix"])
    assert pose[0, 3] == 10
    assert np.array_equal(-pose[:3, 2], [0, 0, 1])
    assert np.array_equal(pose[:3, 1], [0, -1, 0])
    assert content["fl_x"] == pytest.approx(WIDTH / 2)
    config = NerfstudioDataParserConfig(data=folder, eval_mode="all")
    assert len(config.setup().get_dataparser_outputs("train").cameras) == 3


def test_nvos_scribbles_become_clicks_in_the_reference_image(tmp_path):
    scribbles = read_benchmark(write_nvos(tmp_path)).scribbles
    assert scribbles is not None
    assert scribbles.image == "IMG_4038"
    assert scribbles.size == (HEIGHT, WIDTH)
    ((x, y),) = scribbles.positives
    assert 4 <= x < 11
    assert y == 5.5
    assert len(scribbles.negatives) >= 1


def test_spin_nerf_is_prompted_in_its_first_image(tmp_path):
    benchmark = read_benchmark(write_spin(tmp_path))
    assert benchmark.prompt_images == ("image000",)
    assert not benchmark.named
    assert read_benchmark(tmp_path / "fortress", names=("fortress",)).named


def test_a_generated_scene_is_a_benchmark_of_its_held_out_frames(tmp_path):
    small = {"num_objects": 3, "num_train": 6, "num_eval": 2, "width": 32, "height": 24}
    truth = write_scene(tmp_path, 3, **small)
    benchmark = read_benchmark(tmp_path)
    assert benchmark.format == "generated"
    assert len(benchmark.images) == 2
    assert not set(benchmark.images) & set(benchmark.prompt_images)
    frame = benchmark.read(benchmark.images[0])
    instances = truth.masks(truth.frames[benchmark.images[0]])[1]
    for thing in truth.description.objects:
        name = f"{thing.instance} {thing.phrase}"
        assert np.array_equal(frame.thing(name).numpy(), instances == thing.instance)
    assert torch.equal(torch.stack(list(frame.masks.values())).sum(0) == 1, frame.known)


def broken(name: str, change: Callable[[Path], None]) -> Callable[[Path], Path]:
    def write(root: Path) -> Path:
        folder = FORMATS[name][0](root)
        change(folder)
        return folder

    return write


def overwrite(inner: str, text: str) -> Callable[[Path], None]:
    return lambda folder: (folder / inner).write_text(text) and None


EMPTY = np.zeros((HEIGHT, WIDTH), np.uint8)

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
