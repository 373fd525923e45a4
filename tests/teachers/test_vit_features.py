"""Features of timm's ViTs against forward hooks, and on every grid against brute force."""

from __future__ import annotations

import pytest
import timm
import torch
import torch.nn.functional as F
from timm.models.vision_transformer import VisionTransformer

from dff.errors import DffError
from dff.teachers.vit_features import VitFeatures

SMALL = {"embed_dim": 48, "depth": 3, "num_heads": 4, "num_classes": 0}
NEW = pytest.mark.skipif(timm.__version__ < "1", reason="timm 0.6 has no such network")


def random_weights(network: torch.nn.Module) -> torch.nn.Module:
    """Everything that is trained, LayerScale and biases too: nothing can be left out."""
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return network.eval()


def dino_v1() -> torch.nn.Module:
    return random_weights(VisionTransformer(img_size=32, patch_size=8, **SMALL))


def dino_v2() -> torch.nn.Module:
    name = "vit_small_patch14_reg4_dinov2"
    return random_weights(timm.create_model(name, img_size=56, **SMALL))


def dino_v3() -> torch.nn.Module:
    return random_weights(timm.create_model("vit_small_patch16_dinov3", img_size=64, **SMALL))


NETWORKS = [
    pytest.param(dino_v1, 32, 8, id="v1"),
    pytest.param(dino_v2, 56, 14, id="v2 with registers", marks=NEW),
    pytest.param(dino_v3, 64, 16, id="v3", marks=NEW),
]


def watched(network, module, image: torch.Tensor) -> torch.Tensor:
    """What a module of the network gives when timm runs it."""
    seen = []
    handle = module.register_forward_hook(lambda module, inputs, output: seen.append(output))
    with torch.no_grad():
        network.forward_features(image)
    handle.remove()
    return seen[0]


@pytest.mark.parametrize(("make", "side", "patch"), NETWORKS)
@pytest.mark.parametrize("layer", [0, 1, -1])
def test_tokens_are_those_that_timm_computes(make, side, patch, layer):
    network = make()
    image = torch.randn(2, 3, side, side)
    with torch.no_grad():
        found = VitFeatures(network, layer)(image)
        if layer == -1:
            expected = network.forward_features(image)
        else:
            expected = watched(network, network.blocks[layer], image)
    grid = side // patch
    expected = expected[:, network.num_prefix_tokens :].reshape(2, grid, grid, 48)
    assert float((found - expected).abs().max()) < 1e-4
    assert float(expected.std()) > 0.1


@pytest.mark.parametrize(("make", "side", "patch"), NETWORKS)
@pytest.mark.parametrize("facet", ["query", "key", "value"])
def test_facets_are_those_of_the_attention(make, side, patch, facet):
    network = make()
    image = torch.randn(1, 3, side, side)
    attention = network.blocks[1].attn
    third = watched(network, attention.qkv, image).chunk(3, dim=-1)
    expected = third[("query", "key", "value").index(facet)][:, network.num_prefix_tokens :]
    if getattr(attention, "q_bias", None) is not None:
        bias = {"query": attention.q_bias, "key": attention.k_bias, "value": attention.v_bias}
        normed = watched(network, network.blocks[1].norm1, image)
        index = ("query", "key", "value").index(facet)
        weight = attention.qkv.weight.chunk(3)[index]
        expected = F.linear(normed, weight, bias[facet])[:, network.num_prefix_tokens :]
    with torch.no_grad():
        found = VitFeatures(network, 1, facet)(image)
    assert float((found.flatten(1, 2) - expected).abs().max()) < 1e-4


@pytest.mark.parametrize(("make", "side", "patch"), NETWORKS)
def test_a_batch_is_its_images_one_by_one_and_any_aspect_ratio_goes(make, side, patch):
    features = VitFeatures(make())
    images = torch.randn(3, 3, 2 * patch, 5 * patch)
    with torch.no_grad():
        together = features(images)
        alone = torch.cat([features(image[None]) for image in images])
    assert together.shape == (3, 2, 5, 48)
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)


def test_position_embeddings_between_the_trained_ones_are_bicubic():
    network = dino_v1()
    image = torch.randn(1, 3, 24, 48)
    table = network.pos_embed[:, 1:].reshape(1, 4, 4, 48).permute(0, 3, 1, 2)
    table = F.interpolate(table, (3, 6), mode="bicubic", align_corners=False)
    places = torch.cat([network.pos_embed[:, :1], table.flatten(2).transpose(1, 2)], dim=1)
    with torch.no_grad():
        x = network.patch_embed.proj(image).flatten(2).transpose(1, 2)
        x = torch.cat([network.cls_token, x], dim=1) + places
        expected = network.norm(network.blocks(x))[:, 1:].reshape(1, 3, 6, 48)
        found = VitFeatures(network)(image)
    assert float((found - expected).abs().max()) < 1e-4


@pytest.mark.parametrize("stride", [2, 4])
def test_overlapping_patches_are_shifted_windows(stride):
    network = dino_v1()
    network.blocks = network.blocks[:0]  # only the patches: attention would mix them
    network.blocks.append(torch.nn.Identity())
    network.norm = torch.nn.Identity()
    torch.nn.init.zeros_(network.pos_embed)
    image = torch.rand(1, 3, 16, 24)
    with torch.no_grad():
        found = VitFeatures(network, stride=stride)(image)[0]
    assert found.shape == (16 // stride, 24 // stride, 48)
    edge = (8 - stride) // 2
    wide = F.pad(image, (edge, 8 - stride - edge) * 2, mode="replicate")[0]
    for i in range(16 // stride):
        for j in range(24 // stride):
            window = wide[:, i * stride : i * stride + 8, j * stride : j * stride + 8]
            weight, bias = network.patch_embed.proj.weight, network.patch_embed.proj.bias
            expected = (weight * window).sum((1, 2, 3)) + bias
            torch.testing.assert_close(found[i, j], expected, rtol=1e-4, atol=1e-4)


def test_what_is_out_of_range_is_one_line():
    network = dino_v1()
    for arguments, says in (
        ({"layer": 3}, "no layer 3"),
        ({"layer": -4}, "no layer -4"),
        ({"stride": 0}, "from 1 to the patch size 8"),
        ({"stride": 9}, "from 1 to the patch size 8"),
        ({"facet": "values"}, "no facet 'values'"),
    ):
        with pytest.raises(DffError, match=says) as raised:
            VitFeatures(network, **arguments)
        assert "\n" not in str(raised.value)
    with pytest.raises(DffError, match="no vision transformer"):
        VitFeatures(timm.create_model("resnet18", pretrained=False))
    with pytest.raises(DffError, match="no vision transformer"):
        VitFeatures(timm.create_model("vit_tiny_r_s16_p8_224", pretrained=False))
    network.blocks[2] = torch.nn.Identity()  # as timm's parallel blocks: no attention of its own
    with pytest.raises(DffError, match="use token"):
        VitFeatures(network, facet="key")
