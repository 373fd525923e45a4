"""The LSeg teacher: what it reads, what it refuses, and the maps and embeddings it gives."""

from __future__ import annotations

import argparse
import builtins
import sys
import types
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from dff.errors import DffError
from dff.teachers import lseg_multi_scale
from dff.teachers.lseg import LSegTeacher
from dff.teachers.lseg_multi_scale import windows
from dff.teachers.options import LSegOptions, TeacherOptions
from dff.teachers.registry import get_teacher

sys.path.insert(0, str(Path(__file__).parent))

from lseg_support import (
    SMALL,
    SMALL_SHAPE,
    area_average,
    double,
    features,
    multi_scale,
    random_tensors,
    text,
)

OPTIONS = LSegOptions(long_side=96, grid=10)


@pytest.fixture(scope="module")
def tensors() -> dict[str, Tensor]:
    return random_tensors(SMALL)


@pytest.fixture(scope="module")
def checkpoint(tensors, tmp_path_factory) -> Path:
    """As Lightning writes it, with entries of the training around the network's."""
    path = tmp_path_factory.mktemp("lseg") / "demo_e200.ckpt"
    return write(path, {**tensors, "criterion.weight": torch.ones(3)})


@pytest.fixture(scope="module")
def teacher(checkpoint) -> LSegTeacher:
    return load(checkpoint)


def write(path: Path, tensors: dict[str, Tensor], **more: object) -> Path:
    torch.save({"state_dict": tensors, "epoch": 200, "hyper_parameters": {"aux": 0}, **more}, path)
    return path


def load(path: Path | None, **changes: object) -> LSegTeacher:
    return LSegTeacher.load(replace(OPTIONS, checkpoint=path, **changes), shape=SMALL_SHAPE)


def refusal(call: Callable[[], object]) -> str:
    """The one line that it is refused with."""
    with pytest.raises(DffError) as caught:
        call()
    message = str(caught.value)
    assert "\n" not in message
    return message


def unit_map(picture: Tensor, grid: tuple[int, int]) -> Tensor:
    return F.normalize(area_average(picture, grid), dim=0).permute(1, 2, 0).float()


@pytest.mark.parametrize(
    ("size", "inner", "grid"),
    [
        ((60, 81), (64, 96), (7, 10)),
        ((81, 60), (96, 64), (10, 7)),
        ((96, 96), (96, 96), (10, 10)),
        ((300, 10), (96, 32), (10, 1)),
        ((9, 8), (96, 96), (10, 9)),
    ],
)
def test_a_map_is_the_averaged_output_of_the_published_network(
    teacher, tensors, size, inner, grid
) -> None:
    image = torch.rand(*size, 3)
    small = F.interpolate(
        image.permute(2, 0, 1)[None], inner, mode="bilinear", antialias=True, align_corners=False
    )
    output = features(double(tensors), small.double() * 2 - 1, SMALL_SHAPE.taps, SMALL_SHAPE.heads)
    theirs = unit_map(output[0], grid)
    ours = teacher.encode_image(image)
    assert teacher.grid_shape(*size) == grid
    assert ours.shape == (*grid, 24)
    assert ours.dtype == torch.float32
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=0)
    # The map is of this picture: its cells differ.
    assert theirs.flatten(0, 1).std(dim=0).max() > 1e-3


@pytest.mark.parametrize(
    ("base", "crop"), [(104, 96), pytest.param(520, 480, marks=pytest.mark.slow)]
)
def test_multi_scale_is_the_published_evaluator(
    checkpoint, teacher, monkeypatch, base, crop
) -> None:
    if base != lseg_multi_scale.BASE:
        monkeypatch.setattr("dff.teachers.lseg.windows", partial(windows, base=base, crop=crop))
    image = torch.rand(40, 61, 3)
    theirs = multi_scale(teacher.network, image.permute(2, 0, 1)[None] * 2 - 1, base, crop)
    ours = load(checkpoint, multi_scale=True).encode_image(image)
    torch.testing.assert_close(ours, unit_map(theirs[0].double(), (7, 10)), atol=1e-5, rtol=0)
    assert (ours - teacher.encode_image(image)).abs().max() > 1e-3


def test_released_maps_stay_below_six_megabytes() -> None:
    teacher = object.__new__(LSegTeacher)
    teacher._options = LSegOptions()
    for size in [(605, 806), (806, 605), (480, 480), (4000, 3000), (10, 9000), (1, 1)]:
        h, w = teacher.grid_shape(*size)
        assert max(h, w) == 72
        assert h * w * 512 * 2 <= 6e6


def test_text_is_encoded_by_the_tower_in_the_checkpoint(teacher, tensors) -> None:
    assert teacher.has_text
    assert teacher.logit_scale == pytest.approx(1 / 0.07)
    ours = teacher.encode_text(["a photo", "Cat"])
    # Start, words, end, as in CLIP's vocabulary.
    tokens = torch.tensor([[49406, 320, 1125, 49407] + [0] * 8, [49406, 2368, 49407] + [0] * 9])
    theirs = F.normalize(text(double(tensors), tokens, SMALL_SHAPE.clip.heads), dim=1)
    torch.testing.assert_close(ours, theirs.float(), atol=1e-5, rtol=0)
    assert (ours[0] - ours[1]).abs().max() > 0.01


def test_templates_are_averaged(checkpoint, teacher) -> None:
    options = replace(OPTIONS, checkpoint=checkpoint)
    both = LSegTeacher.load(options, templates=("a {}", "the {}"), shape=SMALL_SHAPE).encode_text(
        ["cup"]
    )
    mean = teacher.encode_text(["a cup", "the cup"]).mean(dim=0, keepdim=True)
    torch.testing.assert_close(both, F.normalize(mean, dim=1), atol=1e-5, rtol=0)


def test_a_text_longer_than_the_tower_reads_is_refused(teacher) -> None:
    fits = " ".join(["cup"] * 10)
    assert teacher.encode_text([fits]).shape == (1, 24)
    message = refusal(lambda: teacher.encode_text([fits + " cup"]))
    assert "at most 10" in message
    assert "11 tokens" in message


def test_images_of_other_shapes_are_refused(teacher) -> None:
    for shape in [(3, 32, 32), (32, 32), (32, 32, 4), (0, 32, 3)]:
        assert "(height, width, 3)" in refusal(
            lambda shape=shape: teacher.encode_image(torch.zeros(shape))
        )


def test_without_weights_one_line_comes_before_any_work(monkeypatch, tmp_path) -> None:
    # Neither package may be asked for: they take seconds.
    monkeypatch.setitem(sys.modules, "dff.teachers.lseg_network", None)
    message = refusal(lambda: get_teacher("lseg"))
    for part in ("'lseg'", "demo_e200.ckpt", "--teacher.checkpoint", "--pipeline.teacher."):
        assert part in message
    absent = TeacherOptions(checkpoint=tmp_path / "absent.ckpt")
    assert "absent.ckpt" in refusal(lambda: get_teacher("lseg", "cpu", absent))


@pytest.mark.parametrize(("field", "value"), [("long_side", 0), ("grid", 0), ("long_side", -480)])
def test_options_that_make_no_sense_are_refused(checkpoint, field, value) -> None:
    message = refusal(lambda: load(checkpoint, **{field: value}))
    assert f"--teacher.lseg.{field}" in message


@pytest.mark.parametrize(
    "name",
    [
        "net.pretrained.model.blocks.3.attn.qkv.bias",
        "net.pretrained.model.head.weight",
        "net.pretrained.act_postprocess2.0.project.0.weight",
        "net.scratch.refinenet4.resConfUnit1.conv1.weight",
        "net.scratch.refinenet1.resConfUnit2.bn2.num_batches_tracked",
        "net.scratch.head1.bias",
        "net.clip_pretrained.visual.proj",
        "net.clip_pretrained.token_embedding.weight",
        "net.clip_pretrained.logit_scale",
    ],
)
def test_every_tensor_must_be_there_in_its_shape(tensors, tmp_path, name) -> None:
    path = tmp_path / "weights.ckpt"
    write(path, {key: value for key, value in tensors.items() if key != name})
    message = refusal(lambda: load(path))
    assert name in message
    assert "1 missing" in message

    write(path, {**tensors, name: torch.zeros(*tensors[name].shape, 2)})
    message = refusal(lambda: load(path))
    assert name in message
    assert "shape" in message


@pytest.mark.parametrize(
    "name",
    [
        "net.scratch.head_block.depthwise.weight",
        "net.logit_scale",
        "net.clip_pretrained.visual.extra",
        "net.pretrained.model.blocks.5.norm1.weight",
    ],
)
def test_no_other_tensor_may_be_there(tensors, tmp_path, name) -> None:
    path = write(tmp_path / "weights.ckpt", {**tensors, name: torch.zeros(2)})
    message = refusal(lambda: load(path))
    assert name in message
    assert "1 unexpected" in message


def test_half_precision_is_read_as_single(tensors, tmp_path) -> None:
    half = {
        name: tensor.half() if tensor.is_floating_point() else tensor
        for name, tensor in tensors.items()
    }
    loaded = load(write(tmp_path / "half.ckpt", half))
    kinds = {tensor.dtype for tensor in loaded.network.state_dict().values()}
    assert kinds == {torch.float32, torch.int64}
    theirs = load(
        write(
            tmp_path / "rounded.ckpt",
            {n: t.float() if t.is_floating_point() else t for n, t in half.items()},
        )
    )
    image = torch.rand(32, 32, 3)
    assert torch.equal(loaded.encode_image(image), theirs.encode_image(image))
    assert loaded.fingerprint == theirs.fingerprint


def test_the_fingerprint_is_that_of_the_features(checkpoint, teacher, tensors, tmp_path) -> None:
    prints = {
        teacher.fingerprint,
        load(checkpoint, grid=11).fingerprint,
        load(checkpoint, long_side=128).fingerprint,
        load(checkpoint, multi_scale=True).fingerprint,
    }
    path = tmp_path / "weights.ckpt"
    for name in ("net.scratch.head1.bias", "net.clip_pretrained.text_projection"):
        write(path, {**tensors, name: tensors[name] + 1})
        prints.add(load(path).fingerprint)
    assert len(prints) == 6
    assert all(len(digest) == 64 for digest in prints)
    # What is not used, or how the file is packed, changes nothing.
    unused = "net.clip_pretrained.visual.proj"
    write(path, {**tensors, unused: tensors[unused] + 1})
    assert load(path).fingerprint == teacher.fingerprint


def test_damaged_and_foreign_files_are_refused(checkpoint, tmp_path) -> None:
    path = tmp_path / "weights.ckpt"
    content = checkpoint.read_bytes()
    for part in (b"", content[: len(content) // 2], content[:-100], b"hello " * 1000):
        path.write_bytes(part)
        assert str(path) in refusal(lambda: load(path))
    torch.save({"blocks.0.attn.qkv.weight": torch.zeros(3, 3)}, path)
    assert "no LSeg network" in refusal(lambda: load(path))
    assert "folder" in refusal(lambda: load(tmp_path))
    # The right names in other sizes: the released network's shape is not this one's.
    message = refusal(lambda: LSegTeacher.load(LSegOptions(checkpoint=checkpoint)))
    assert "does not fit" in message


def test_objects_of_the_training_are_passed_over(tensors, tmp_path, monkeypatch) -> None:
    """Lightning pickles classes of its own; nobody needs Lightning to read past them."""
    module = types.ModuleType("pytorch_lightning_that_is_not_here")
    monkeypatch.setitem(sys.modules, module.__name__, module)

    class Callback:
        pass

    class Settings(dict):
        pass

    for kind in (Callback, Settings):
        kind.__module__, kind.__qualname__ = module.__name__, kind.__name__
        setattr(module, kind.__name__, kind)
    callback = Callback()
    callback.best = torch.tensor(0.5)
    path = write(
        tmp_path / "lightning.ckpt",
        tensors,
        callbacks={Callback: {"score": torch.tensor(1.0).numpy()[()]}, "kept": callback},
        settings=Settings(aux=0),
        arguments=argparse.Namespace(lr=0.1),
    )
    monkeypatch.delitem(sys.modules, module.__name__)
    before = set(torch.serialization.get_safe_globals())
    assert load(path).encode_text(["cup"]).shape == (1, 24)
    assert set(torch.serialization.get_safe_globals()) == before


@pytest.mark.parametrize("how", ["open", "system"])
def test_nothing_in_a_checkpoint_is_run(tensors, tmp_path, how) -> None:
    mark = tmp_path / "mark"

    class Bomb:
        def __reduce__(self):
            if how == "open":
                return builtins.open, (str(mark), "w")
            import os

            return os.system, (f"touch {mark}",)

    path = write(tmp_path / "bomb.ckpt", tensors, callbacks=Bomb())
    if how == "open":
        load(path)
    else:
        assert "plain tensors" in refusal(lambda: load(path))
    assert not mark.exists()
