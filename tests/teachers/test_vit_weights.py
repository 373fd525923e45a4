"""Names, weights files and caches of ViTs; the authors' own files against timm's."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import save_file

from dff.errors import DffError
from dff.teachers.dino import DinoTeacher
from dff.teachers.options import DinoOptions
from dff.teachers.vit_weights import (
    VitSource,
    build,
    fill,
    find_source,
    installed_name,
    weights_path,
)

NEW = pytest.mark.skipif(timm.__version__ < "1", reason="timm 0.6 has no such network")
SMALL = {"embed_dim": 48, "depth": 2, "num_heads": 4, "num_classes": 0}
TINY = "vit_tiny_patch16_224"


def small(name: str, seed: int) -> torch.nn.Module:
    """A scaled-down network of timm, every parameter random."""
    torch.manual_seed(seed)
    network = timm.create_model(name, img_size=64 if "16" in name else 56, **SMALL)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(0.3 * torch.randn_like(parameter))
    return network.eval()


def authors_dinov2(network: torch.nn.Module) -> dict[str, torch.Tensor]:
    """As facebookresearch/dinov2 names them: the class token has a place, registers none."""
    state = dict(network.state_dict())
    state["mask_token"] = torch.zeros(1, 48)
    if "reg_token" in state:
        place = torch.randn(1, 1, 48)
        state["register_tokens"] = state.pop("reg_token")
        state["cls_token"] = state["cls_token"] - place[:, 0]
        state["pos_embed"] = torch.cat([place, state["pos_embed"]], dim=1)
    if type(network.blocks[0].mlp).__name__ != "Mlp":
        state = {
            name.replace("mlp.fc1.", "mlp.w12.").replace("mlp.fc2.", "mlp.w3."): value
            for name, value in state.items()
        }
    return state


def authors_dinov3(network: torch.nn.Module, key_bias: float = 0.0) -> dict[str, torch.Tensor]:
    """As facebookresearch/dinov3 names them: a bias and its mask for q, k and v together."""
    state = {}
    for name, value in network.state_dict().items():
        if name.endswith("q_bias"):
            whole = name.replace("q_bias", "qkv.bias")
            values = network.state_dict()[name.replace("q_bias", "v_bias")]
            state[whole] = torch.cat([value, torch.full_like(value, key_bias), values])
            mask = torch.ones(3, len(value))
            mask[1] = 0
            state[whole + "_mask"] = mask.flatten()
        elif not name.endswith("v_bias"):
            for own, theirs in (
                ("reg_token", "storage_tokens"),
                ("gamma_1", "ls1.gamma"),
                ("gamma_2", "ls2.gamma"),
                ("mlp.fc1_g.", "mlp.w1."),
                ("mlp.fc1_x.", "mlp.w2."),
            ):
                name = name.replace(own, theirs)
            state[name] = value
    if any(".mlp.w1." in name for name in state):
        state = {name.replace("mlp.fc2.", "mlp.w3."): value for name, value in state.items()}
    state["mask_token"] = torch.zeros(1, 48)
    state["rope_embed.periods"] = torch.ones(3)
    return state


def written(state: dict[str, torch.Tensor], path: Path) -> Path:
    torch.save(state, path)
    return path


def the_same(one: torch.nn.Module, other: torch.nn.Module) -> None:
    first, second = one.state_dict(), other.state_dict()
    assert first.keys() == second.keys()
    for name in first:
        torch.testing.assert_close(first[name], second[name], rtol=1e-6, atol=1e-6)
    image = torch.randn(1, 3, *one.patch_embed.img_size)
    with torch.no_grad():
        difference = one.forward_features(image) - other.forward_features(image)
    assert float(difference.abs().max()) < 1e-4


@NEW
@pytest.mark.parametrize(
    "name",
    [
        "vit_small_patch14_dinov2",
        "vit_small_patch14_reg4_dinov2",
        "vit_giant_patch14_reg4_dinov2",
    ],
)
def test_the_authors_dinov2_is_that_of_timm(name, tmp_path):
    network, other = small(name, 1), small(name, 2)
    path = written(authors_dinov2(network), tmp_path / "theirs.pth")
    fill(other, VitSource(name, {}), path)
    the_same(network, other)


@NEW
@pytest.mark.parametrize(
    "name",
    [
        "vit_small_patch16_dinov3",
        "vit_small_patch16_dinov3_qkvb",
        "vit_small_plus_patch16_dinov3",
        "vit_small_plus_patch16_dinov3_qkvb",
    ],
)
def test_the_authors_dinov3_is_that_of_timm(name, tmp_path):
    """The bias of keys does not count, whatever the file has there: its mask is 0."""
    network, other = small(name, 1), small(name, 2)
    state = authors_dinov3(network, key_bias=5.0)
    assert ("blocks.0.attn.qkv.bias" in state) == name.endswith("qkvb")
    fill(other, VitSource(name, {}), written(state, tmp_path / "theirs.pth"))
    the_same(network, other)


@NEW
def test_biases_that_a_network_has_no_place_for_are_never_dropped(tmp_path, capsys):
    plain, biased = "vit_small_patch16_dinov3", "vit_small_patch16_dinov3_qkvb"
    state = authors_dinov3(small(biased, 1))
    path = written(state, tmp_path / "biased.pth")
    with pytest.raises(DffError, match=r"biases .*blocks\.0\.attn\.qkv\.bias.*name .*_qkvb$"):
        fill(small(plain, 2), VitSource(f"{plain}.lvd1689m", {}), path)

    zeros = {n: 0 * t if n.endswith("qkv.bias") else t for n, t in state.items()}
    other = small(plain, 2)
    fill(other, VitSource(plain, {}), written(zeros, tmp_path / "zeros.pth"))
    torch.testing.assert_close(
        other.state_dict()["blocks.1.attn.qkv.weight"], state["blocks.1.attn.qkv.weight"]
    )

    state = authors_dinov3(small(biased, 1), key_bias=0.1)
    bare = {n: t for n, t in state.items() if not n.endswith("bias_mask")}
    path = written(bare, tmp_path / "keys.pth")
    with pytest.raises(DffError, match="not 0 for keys") as raised:
        fill(small(biased, 2), VitSource(biased, {}), path)
    assert "\n" not in str(raised.value)
    assert capsys.readouterr().out == ""


@NEW
def test_biases_in_a_file_without_them_are_missed(tmp_path):
    path = written(authors_dinov3(small("vit_small_patch16_dinov3", 1)), tmp_path / "plain.pth")
    name = "vit_small_patch16_dinov3_qkvb"
    with pytest.raises(DffError, match=r"missing \(first 'blocks\.0\.attn\.q_bias'"):
        fill(small(name, 2), VitSource(name, {}), path)


def in_cache(folder: Path, repository: str, name: str) -> Path:
    """Where the Hugging Face cache has a file, as huggingface_hub lays it out."""
    base = folder / f"models--{repository.replace('/', '--')}"
    (base / "refs").mkdir(parents=True)
    (base / "refs" / "main").write_text("c0ffee")
    (base / "snapshots" / "c0ffee").mkdir(parents=True)
    return base / "snapshots" / "c0ffee" / name


@pytest.fixture
def offline(tmp_path, monkeypatch) -> Path:
    """An empty Hugging Face cache, an empty one of torch, and no network."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    return tmp_path


@NEW
@pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.bin"])
def test_weights_in_the_cache_are_found_without_the_network(name, offline):
    given = DinoOptions(model=TINY, long_side=32)
    repository = "timm/vit_tiny_patch16_224.augreg_in21k_ft_in1k"
    with pytest.raises(DffError, match=f"get model.safetensors of .*{repository}"):
        DinoTeacher.load(given)
    path = in_cache(offline / "hub", repository, name)
    state = timm.create_model(TINY, pretrained=False).state_dict()
    if path.suffix == ".bin":
        torch.save(state, path)
    else:
        save_file(state, str(path))
    assert weights_path(find_source(TINY), None) == path
    assert DinoTeacher.load(given).encode_image(torch.rand(32, 32, 3)).shape == (2, 2, 192)


def test_weights_that_timm_has_by_address_are_found_in_the_cache_of_torch(offline):
    source = VitSource("some_vit", {"url": "https://example.invalid/a/some.pth"})
    with pytest.raises(DffError, match=r"some_vit.*example\.invalid.*--teacher\.checkpoint"):
        weights_path(source, None)
    path = offline / "torch" / "hub" / "checkpoints" / "some.pth"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"weights")
    assert weights_path(source, None) == path
    with pytest.raises(DffError, match="timm knows none"):
        weights_path(VitSource("some_vit", {}), None)


@NEW
def test_nothing_is_built_before_the_weights_are_found(offline, monkeypatch):
    """7 billion parameters would be 28 GB, in vain."""

    def refuse(*arguments, **more):
        raise AssertionError("a network was built")

    monkeypatch.setattr("timm.create_model", refuse)
    name = "vit_7b_patch16_dinov3.lvd1689m"
    start = time.monotonic()
    with pytest.raises(DffError) as raised:
        DinoTeacher.load(DinoOptions(model=name))
    assert time.monotonic() - start < 5
    for part in (name, "model.safetensors", f"timm/{name}", "--teacher.checkpoint", "HF_HOME"):
        assert part in str(raised.value)
    assert str(offline / "hub") in str(raised.value)
    with pytest.raises(DffError, match="no such file"):
        DinoTeacher.load(DinoOptions(model=name, checkpoint=offline / "none.pth"))
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("version", "asked", "says"),
    [
        ("0.6.7", "vit_small_patch16_dinov3.other", r"DINOv3 needs timm 1\.0\.20 or later"),
        ("1.0.19", "vit_small_patch16_dinov3.other", r"DINOv3 needs timm 1\.0\.20 or later"),
        ("0.9.8", "vit_small_patch14_reg4_dinov2.other", r"registers needs timm 0\.9\.9 or later"),
        ("0.6.7", "vit_small_patch14_dinov2.other", r"DINOv2 and DINOv3 need timm 1\.0 or later"),
        ("1.0.20", "vit_small_patch16_dinov3.other", None),
        ("0.9.9", "vit_small_patch14_reg4_dinov2.other", None),
        ("1.0.0", "vit_small_patch14_dinov2.other", None),
    ],
)
def test_an_old_timm_says_which_one_has_the_network(version, asked, says, monkeypatch):
    monkeypatch.setattr("timm.__version__", version)
    monkeypatch.setattr("timm.list_models", lambda **more: ["vit_small_patch16_224"])
    with pytest.raises(DffError, match=says or f"has no model '{asked}'") as raised:
        installed_name(asked)
    assert ("or later" in str(raised.value)) == (says is not None)


def test_an_architecture_has_one_name_in_every_timm():
    for name in (
        "vit_small_patch8_224.dino",
        "vit_small_patch8_224_dino",
        "vit_small_patch8_224.augreg_in21k",
    ):
        assert VitSource(name, {}).architecture == "vit_small_patch8_224"
    # Not whose weights they are, but another network.
    assert VitSource("vit_small_patch14_dinov2.lvd142m", {}).architecture.endswith("_dinov2")


@NEW
def test_rotations_are_made_for_any_grid():
    network = build(find_source("eva02_tiny_patch14_224"))
    assert network.rope.feat_shape is None
    assert not network.training


@pytest.mark.slow
@NEW
@pytest.mark.parametrize(
    ("name", "authors", "cell"),
    [
        ("vit_small_patch14_dinov2.lvd142m", authors_dinov2, 14),
        ("vit_small_patch16_dinov3.lvd1689m", authors_dinov3, 16),
    ],
)
def test_full_size_networks_are_those_of_timm(name, authors, cell, tmp_path):
    """From the name to the map, with the authors' names, at another aspect ratio."""
    torch.manual_seed(4)
    network = timm.create_model(name, pretrained=False, num_classes=0, dynamic_img_size=True)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.02 * torch.randn_like(parameter))
    network.eval()
    path = written(authors(network), tmp_path / "theirs.pth")
    long_side = 16 * cell
    teacher = DinoTeacher.load(DinoOptions(checkpoint=path, model=name, long_side=long_side))
    image = torch.rand(9 * cell, long_side, 3)
    mean, std = (torch.tensor(network.default_cfg[n]).view(3, 1, 1) for n in ("mean", "std"))
    with torch.no_grad():
        tokens = network.forward_features(((image.permute(2, 0, 1) - mean) / std)[None])
    expected = tokens[:, network.num_prefix_tokens :].reshape(9, 16, 384)
    expected = torch.nn.functional.normalize(expected, dim=-1)
    assert float((teacher.encode_image(image) - expected).abs().max()) < 1e-4
    assert float(expected.std()) > 0.01
    half = DinoOptions(checkpoint=path, model=name, long_side=long_side, stride=cell // 2)
    found = DinoTeacher.load(half).encode_image(image)
    assert found.shape == (18, 32, 384)
    torch.testing.assert_close(found.norm(dim=-1), torch.ones(18, 32))
