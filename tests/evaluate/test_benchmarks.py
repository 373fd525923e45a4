"""Benchmark formats: tiny scenes in the published layouts, and what is read of them."""

from __future__ import annotations

import json
import sys
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

sys.path.insert(0, str(Path(__file__).parent))

from tiny_benchmarks import (
    BLOB,
    EMPTY,
    FORMATS,
    HEIGHT,
    WIDTH,
    blob,
    save,
    write_labels,
    write_lerf,
    write_llff,
    write_nvos,
    write_nvos_unprompted,
    write_replica,
    write_spin,
)


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


def test_nvos_is_told_by_its_masks_alone(tmp_path):
    assert detect(write_nvos_unprompted(tmp_path)) == "nvos"


@pytest.mark.parametrize("quality", [10, 50, 75])
def test_what_compression_left_around_a_thing_is_not_of_it(quality, tmp_path):
    """JPEG rings: beside a white thing, black becomes values of 1 and more."""
    folder = write_llff(tmp_path)
    (folder / "masks" / "IMG_5.png").unlink()
    path = folder / "masks" / "IMG_5.jpg"
    Image.fromarray(blob()).save(path, quality=quality)
    assert not np.array_equal(np.asarray(Image.open(path)) >= 1, BLOB.numpy())
    assert torch.equal(read_benchmark(folder).read("IMG_5").mask("object"), BLOB)
    # An image of one that is called a PNG is no less lossy; what is stored exactly is taken so.
    path.rename(folder / "masks" / "IMG_5.png")
    assert torch.equal(read_benchmark(folder).read("IMG_5").mask("object"), BLOB)
    save(folder / "masks" / "IMG_5.png", blob(1))
    assert torch.equal(read_benchmark(folder).read("IMG_5").mask("object"), BLOB)


@pytest.mark.parametrize("name", ["3d-ovs", "llff"])
def test_what_an_empty_mask_says_helps(name, tmp_path):
    inner, image = {
        "3d-ovs": ("segmentations/00/banana.png", "00"),
        "llff": ("masks/IMG_5.png", "IMG_5"),
    }[name]
    folder = FORMATS[name][0](tmp_path)
    save(folder / inner, EMPTY)
    benchmark = read_benchmark(folder)
    with pytest.raises(DffError, match=f"--leave-out {image}$"):
        benchmark.read(image)
    for other in set(benchmark.images) - {image}:
        benchmark.read(other)


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
