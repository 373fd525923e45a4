"""The teacher `dino`: names, weights, images, and everything that may be wrong with them."""

from __future__ import annotations

import time

import pytest
import timm
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from timm.models.vision_transformer import VisionTransformer

from dff.errors import DffError
from dff.teachers import TeacherOptions, get_teacher
from dff.teachers.dino import IMAGENET_MEAN, IMAGENET_STD, DinoTeacher
from dff.teachers.options import DinoOptions
from dff.teachers.vit_features import VitFeatures
from dff.teachers.vit_weights import installed_name

TINY = "vit_tiny_patch16_224"  # the smallest that timm has by name
NEW = pytest.mark.skipif(timm.__version__ < "1", reason="timm 0.6 has no such network")


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """Random weights of a real model, in timm's own names."""
    torch.manual_seed(3)
    path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    save_file(timm.create_model(TINY, pretrained=False).state_dict(), str(path))
    return path


def tiny(weights, **more) -> DinoTeacher:
    return DinoTeacher.load(DinoOptions(checkpoint=weights, model=TINY, long_side=64, **more))


def test_an_image_becomes_what_timm_makes_of_it(weights):
    """At 224 pixels timm needs no resampling: the whole way is a few lines."""
    teacher = DinoTeacher.load(DinoOptions(checkpoint=weights, model=TINY, long_side=224))
    network = timm.create_model(TINY, pretrained=False, num_classes=0).eval()
    network.load_state_dict(
        {n: t for n, t in timm_state(weights).items() if not n.startswith("head.")}
    )
    image = torch.rand(224, 224, 3)
    mean, std = (torch.tensor(network.default_cfg[n]).view(3, 1, 1) for n in ("mean", "std"))
    with torch.no_grad():
        tokens = network.forward_features((image.permute(2, 0, 1) - mean)[None] / std)[:, 1:]
    expected = F.normalize(tokens.reshape(14, 14, 192), dim=-1)
    assert float((teacher.encode_image(image) - expected).abs().max()) < 1e-4


def timm_state(path):
    from safetensors.torch import load_file

    return load_file(str(path))


@pytest.mark.parametrize(
    ("height", "width", "grid"),
    [(60, 80, (3, 4)), (806, 605, (4, 3)), (33, 900, (1, 4)), (1, 1, (4, 4))],
)
def test_any_photo_gets_unit_features_on_the_grid_it_was_promised(weights, height, width, grid):
    teacher = tiny(weights)
    found = teacher.encode_image(torch.rand(height, width, 3))
    assert teacher.grid_shape(height, width) == grid
    assert found.shape == (*grid, teacher.dim)
    torch.testing.assert_close(found.norm(dim=-1), torch.ones(grid))


def test_a_smaller_stride_gives_a_finer_map(weights):
    teacher = tiny(weights, stride=8)
    assert teacher.encode_image(torch.rand(60, 80, 3)).shape == (6, 8, 192)
    assert teacher.grid_shape(60, 80) == (6, 8)


def test_it_understands_no_text_and_says_what_to_do(weights):
    teacher = tiny(weights)
    assert not teacher.has_text
    with pytest.raises(DffError, match="click or patch"):
        teacher.encode_text(["apple"])


def test_other_options_and_weights_are_other_features(weights, tmp_path):
    prints = [
        tiny(weights, **more).fingerprint
        for more in ({}, {"layer": 5}, {"facet": "key"}, {"stride": 8})
    ]
    state = timm_state(weights)
    state["cls_token"] = state["cls_token"] + 1e-3
    save_file(state, str(tmp_path / "other.safetensors"))
    prints.append(tiny(tmp_path / "other.safetensors").fingerprint)
    assert len(set(prints)) == 5
    copy = tmp_path / "copy.safetensors"
    copy.write_bytes(weights.read_bytes())
    assert tiny(copy).fingerprint == prints[0]


def test_options_that_come_to_the_same_have_one_fingerprint(weights):
    """Layer 11 is the last of 12, and 16 pixels are the patch."""
    default = tiny(weights)
    same = ({"layer": 11}, {"stride": 16}, {"layer": -1, "stride": 16, "facet": "token"})
    assert {tiny(weights, **more).fingerprint for more in same} == {default.fingerprint}
    assert tiny(weights, layer=-12).fingerprint == tiny(weights, layer=0).fingerprint
    others = ({"layer": 10}, {"layer": 0}, {"stride": 15})
    prints = {tiny(weights, **more).fingerprint for more in others}
    assert len(prints | {default.fingerprint}) == 4
    tagged = "vit_tiny_patch16_224.augreg_in21k_ft_in1k"
    if timm.__version__ >= "1":
        given = DinoOptions(checkpoint=weights, model=tagged, long_side=64)
        assert DinoTeacher.load(given).fingerprint == default.fingerprint
    assert len(default.fingerprint) == 64
    assert int(default.fingerprint, 16)


def test_the_authors_wrapping_is_undone(weights, tmp_path):
    state = timm_state(weights)
    backbone = {f"backbone.{n}": t for n, t in state.items() if not n.startswith("head.")}
    whole = {
        "teacher": {**backbone, "head.mlp.0.weight": torch.zeros(3, 3)},
        "student": {},
        "epoch": 7,
    }
    torch.save(whole, tmp_path / "whole.pth")
    assert tiny(tmp_path / "whole.pth").fingerprint == tiny(weights).fingerprint
    torch.save({f"module.{n}": t for n, t in backbone.items()}, tmp_path / "ddp.pth")
    assert tiny(tmp_path / "ddp.pth").fingerprint == tiny(weights).fingerprint


def test_wrong_files_are_one_line_each(weights, tmp_path):
    (tmp_path / "cut.safetensors").write_bytes(weights.read_bytes()[:1000])
    state = timm_state(weights)
    del state["blocks.3.norm1.weight"]
    save_file(state, str(tmp_path / "missing.safetensors"))
    other = {**timm_state(weights), "patch_embed.proj.weight": torch.zeros(192, 3, 8, 8)}
    save_file(other, str(tmp_path / "patches.safetensors"))
    save_file({**state, "more": torch.zeros(2)}, str(tmp_path / "more.safetensors"))
    for path, model, says in (
        (tmp_path / "none.safetensors", TINY, "no such file"),
        (tmp_path / "cut.safetensors", TINY, "damaged"),
        (tmp_path / "missing.safetensors", TINY, r"missing \(first 'blocks\.3\.norm1\.weight'"),
        (tmp_path / "more.safetensors", TINY, r"unexpected \(first 'more'"),
        (weights, "vit_small_patch16_224", "another shape"),
        (weights, "resnet18", "no vision transformer"),
        (weights, "vit_tinny_patch16_224", "has no model .*did you mean"),
        (weights, "vit_tiny_patch16_224.dinoo", "has no model"),
        (weights, "vit_tiny_patch16_384", "does not fit"),
        (tmp_path / "patches.safetensors", TINY, "does not fit"),
    ):
        with pytest.raises(DffError, match=says) as raised:
            DinoTeacher.load(DinoOptions(checkpoint=path, model=model))
        assert "\n" not in str(raised.value)


def test_without_weights_and_network_one_line_comes_soon(monkeypatch, tmp_path):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    start = time.monotonic()
    with pytest.raises(
        DffError, match=r"vit_small_patch8_224.dino.*--teacher\.checkpoint"
    ) as raised:
        get_teacher("dino", "cpu", TeacherOptions())
    assert "\n" not in str(raised.value)
    assert time.monotonic() - start < 5


def test_both_spellings_of_a_name_are_understood():
    if timm.__version__ < "1":
        assert installed_name("vit_small_patch8_224.dino") == "vit_small_patch8_224_dino"
        with pytest.raises(DffError, match=r"timm 1\.0"):
            installed_name("vit_small_patch14_dinov2.lvd142m")
    else:
        assert installed_name("vit_small_patch8_224_dino") == "vit_small_patch8_224.dino"
        for name in (
            "vit_base_patch16_224.dino",
            "vit_small_patch14_dinov2.lvd142m",
            "vit_small_patch14_reg4_dinov2.lvd142m",
            "vit_small_patch16_dinov3.lvd1689m",
        ):
            assert installed_name(name) == name


def test_a_picture_that_is_none_is_refused(weights):
    teacher = tiny(weights)
    for shape in ((4, 4), (4, 4, 4), (0, 4, 3)):
        with pytest.raises(DffError, match="shape"):
            teacher.encode_image(torch.zeros(shape))
    with pytest.raises(DffError, match="patch size"):
        DinoTeacher.load(DinoOptions(checkpoint=weights, model=TINY, long_side=8))


def test_the_mean_and_deviation_of_imagenet_are_the_default():
    network = VisionTransformer(
        img_size=16, patch_size=8, embed_dim=12, depth=1, num_heads=2, num_classes=0
    )
    teacher = DinoTeacher(VitFeatures(network), DinoOptions(long_side=16))
    image = torch.tensor(IMAGENET_MEAN).expand(16, 16, 3)
    with torch.no_grad():
        expected = VitFeatures(network.eval())(torch.zeros(1, 3, 16, 16))[0]
    torch.testing.assert_close(
        teacher.encode_image(image), F.normalize(expected, dim=-1), rtol=1e-4, atol=1e-5
    )
    assert len(IMAGENET_STD) == 3
