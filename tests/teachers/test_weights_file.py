"""Weights files: what is read, what is refused and how it is said, and fingerprints."""

from __future__ import annotations

import argparse
import os
import pickle
from collections import OrderedDict
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from dff.errors import DffError
from dff.teachers.weights_file import fingerprint, load_strictly, read_weights


def tensors() -> dict[str, torch.Tensor]:
    return {"weight": torch.arange(6.0).reshape(2, 3), "bias": torch.tensor([1.0, -2.0]).half()}


def same(one, other) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_safetensors(tmp_path) -> None:
    save_file(tensors(), tmp_path / "w.safetensors")
    assert same(read_weights(tmp_path / "w.safetensors", "clip"), tensors())


@pytest.mark.parametrize("name", ["w.pt", "w.pth", "w.ckpt", "w.bin", "w"])
@pytest.mark.parametrize("zipped", [True, False])
def test_torchs_checkpoints_by_any_ending(tmp_path, name, zipped) -> None:
    torch.save(tensors(), tmp_path / name, _use_new_zipfile_serialization=zipped)
    assert same(read_weights(tmp_path / name, "clip"), tensors())


@pytest.mark.parametrize(
    "wrap",
    [
        lambda t: {"state_dict": t, "epoch": 3},
        lambda t: {"model": t, "optimizer": {"lr": 1.0}},
        lambda t: {"teacher": t, "student": {"weight": torch.zeros(1)}},
        lambda t: {"state_dict": {"model": t}},
        lambda t: {"model": {"module": t}},
        lambda t: OrderedDict(t, epoch=3, name="x"),
    ],
)
def test_the_tensors_are_found_inside_of_a_training_checkpoint(tmp_path, wrap) -> None:
    torch.save(wrap(tensors()), tmp_path / "w.ckpt")
    assert same(read_weights(tmp_path / "w.ckpt", "lseg"), tensors())


def test_missing_files_and_folders(tmp_path) -> None:
    with pytest.raises(DffError, match=r"teacher 'dino' wants weights at .*no\.pt"):
        read_weights(tmp_path / "no.pt", "dino")
    with pytest.raises(DffError, match="is a folder: give teacher 'dino' the weights file in it"):
        read_weights(tmp_path, "dino")


@pytest.mark.parametrize("name", ["w.safetensors", "w.pt", "old.pt"])
@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.99])
def test_truncated_files_are_refused_in_one_line(tmp_path, name, share) -> None:
    content = {"weight": torch.randn(500, 20)}
    if name.endswith(".safetensors"):
        save_file(content, tmp_path / name)
    else:
        torch.save(content, tmp_path / name, _use_new_zipfile_serialization=name == "w.pt")
    whole = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(DffError, match=f"{name} is damaged") as caught:
        read_weights(tmp_path / name, "clip")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "content", [b"", b"not a weights file", b"\x80\x04garbage", b"PK\x03\x04", b"junk"]
)
@pytest.mark.parametrize("name", ["w.pt", "w.safetensors"])
def test_other_files_are_refused_in_one_line(tmp_path, name, content) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DffError, match="damaged") as caught:
        read_weights(tmp_path / name, "clip")
    assert "\n" not in str(caught.value)


class Trap:
    """Leaves a file behind when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return (os.mkdir, (str(self.path),))


@pytest.mark.parametrize("how", ["torch", "torch-nested", "pickle"])
def test_code_in_a_checkpoint_is_never_run(tmp_path, how) -> None:
    trap = Trap(tmp_path / "sprung")
    if how == "pickle":
        (tmp_path / "w.pt").write_bytes(pickle.dumps(trap))
    elif how == "torch":
        torch.save(trap, tmp_path / "w.pt")
    else:
        torch.save({"state_dict": tensors(), "hyper": trap}, tmp_path / "w.pt")
    with pytest.raises(DffError, match="holds more than plain tensors") as caught:
        read_weights(tmp_path / "w.pt", "clip")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "sprung").exists()


def test_settings_beside_the_weights_are_passed_over(tmp_path) -> None:
    """DINO's training keeps the arguments of its command line in the checkpoint."""
    settings = argparse.Namespace(arch="vit_small", patch_size=8)
    torch.save({"teacher": tensors(), "args": settings, "epoch": 3}, tmp_path / "w.pt")
    found = read_weights(tmp_path / "w.pt", "dino")
    assert list(found) == list(tensors())
    assert all(isinstance(value, torch.Tensor) for value in found.values())


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (torch.zeros(3), "no weights by name, but a Tensor"),
        ([torch.zeros(3)], "no weights by name, but a list"),
        ({"epoch": 3}, "no tensors"),
        ({}, "no tensors"),
        ({"state_dict": {}}, "no tensors"),
    ],
)
def test_files_without_named_tensors(tmp_path, content, message) -> None:
    torch.save(content, tmp_path / "w.pt")
    with pytest.raises(DffError, match=message):
        read_weights(tmp_path / "w.pt", "clip")


def test_an_empty_safetensors_file(tmp_path) -> None:
    save_file({}, tmp_path / "w.safetensors")
    with pytest.raises(DffError, match="no tensors"):
        read_weights(tmp_path / "w.safetensors", "clip")


def network() -> nn.Module:
    return nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))


def test_every_tensor_is_loaded(tmp_path) -> None:
    given = {name: torch.rand_like(value.float()) for name, value in network().state_dict().items()}
    given["1.num_batches_tracked"] = torch.tensor(7)
    module = network()
    load_strictly(module, given, "file")
    assert same(module.state_dict(), given)


def test_tensors_are_taken_over_by_a_module_without_memory() -> None:
    with torch.device("meta"):
        module = nn.Linear(3, 2)
    given = {"weight": torch.rand(2, 3), "bias": torch.rand(2)}
    load_strictly(module, given, "file", assign=True)
    assert module.weight.data_ptr() == given["weight"].data_ptr()
    assert same(module.state_dict(), given)


def test_half_precision_goes_into_single(tmp_path) -> None:
    module = nn.Linear(3, 2)
    load_strictly(module, {"weight": torch.ones(2, 3).half(), "bias": torch.zeros(2)}, "file")
    assert module.weight.dtype == torch.float32
    assert torch.equal(module.weight, torch.ones(2, 3))


def test_each_problem_is_counted_and_its_first_name_given() -> None:
    given = dict(network().state_dict())
    del given["0.weight"], given["1.bias"]
    given["1.running_mean"] = torch.zeros(5)
    given |= {"head.weight": torch.zeros(1), "head.bias": torch.zeros(1)}
    module = network()
    before = {name: value.clone() for name, value in module.state_dict().items()}
    with pytest.raises(DffError) as caught:
        load_strictly(module, given, Path("some") / "w.pt")
    message = str(caught.value)
    assert "w.pt does not fit this architecture" in message
    assert "2 missing (first '0.weight')" in message
    assert "2 unexpected (first 'head.weight')" in message
    assert "1 of another shape (first '1.running_mean': (5,), not (2,))" in message
    assert "\n" not in message
    assert same(module.state_dict(), before)


def test_what_may_be_left_out_is_named_exactly_or_by_its_beginning() -> None:
    module = nn.Linear(3, 2)
    given = dict(module.state_dict())
    extra = {"head.weight": torch.zeros(1), "head.a.b": torch.zeros(1), "mask": torch.zeros(1)}
    load_strictly(module, given | extra, "file", unused=("head.", "mask"))
    with pytest.raises(DffError, match=r"1 unexpected \(first 'mask'\)"):
        load_strictly(module, given | extra, "file", unused=("head.",))
    with pytest.raises(DffError, match=r"1 unexpected \(first 'header'\)"):
        load_strictly(module, given | {"header": torch.zeros(1)}, "file", unused=("head.", "head"))
    with pytest.raises(DffError, match=r"1 missing \(first 'bias'\)"):
        load_strictly(module, {"weight": given["weight"]}, "file", unused=("bias",))


def test_a_name_that_is_wanted_is_never_left_out() -> None:
    module = nn.ModuleDict({"head": nn.Linear(1, 1)})
    load_strictly(
        module,
        {"head.weight": torch.full((1, 1), 5.0), "head.bias": torch.ones(1)},
        "f",
        ("head.",),
    )
    assert module["head"].weight.item() == 5


def test_fingerprints_tell_apart_whatever_matters() -> None:
    base = {"a": torch.arange(6.0).reshape(2, 3), "b": torch.zeros(2)}
    nudged = base["a"].clone()
    nudged[1, 2] += 1e-6
    others = [
        (base, "other preprocessing"),
        ({**base, "a": nudged}, "p"),
        ({**base, "a": base["a"].reshape(3, 2)}, "p"),
        ({**base, "b": torch.zeros(2).half()}, "p"),
        ({"a": base["a"], "c": base["b"]}, "p"),
        ({"a": base["a"]}, "p"),
        ({**base, "c": torch.zeros(0)}, "p"),
    ]
    prints = [fingerprint(base, "p"), *(fingerprint(*each) for each in others)]
    assert len(set(prints)) == len(prints)
    assert all(len(each) == 64 and int(each, 16) >= 0 for each in prints)


def test_fingerprints_do_not_depend_on_order_or_on_how_a_tensor_lies_in_memory() -> None:
    a, b = torch.randn(3, 4), torch.randn(5)
    strided = torch.randn(4, 6).T[:3]
    strided.copy_(a)
    assert not strided.is_contiguous()
    assert fingerprint({"a": a, "b": b}, "p") == fingerprint({"b": b, "a": strided}, "p")


def test_fingerprints_of_all_types() -> None:
    for kind in (torch.bfloat16, torch.float16, torch.float64, torch.int64, torch.bool):
        values = torch.tensor([0, 1, 1]).to(kind)
        assert fingerprint({"a": values}, "p") != fingerprint({"a": 1 - values.float()}, "p")
    assert fingerprint({"a": torch.tensor(3)}, "p") != fingerprint({"a": torch.tensor(4)}, "p")
