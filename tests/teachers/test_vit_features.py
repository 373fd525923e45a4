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


def test_position_embeddings_between_the_trained_ones_are_bicubic_and_antialiased():
    """Written out, so that it holds on a timm that cannot take other sizes itself."""
    network = dino_v1()
    image = torch.randn(1, 3, 24, 48)
    table = network.pos_embed[:, 1:].reshape(1, 4, 4, 48).permute(0, 3, 1, 2)
    table = F.interpolate(table, (3, 6), mode="bicubic", antialias=True)
    places = torch.cat([network.pos_embed[:, :1], table.flatten(2).transpose(1, 2)], dim=1)
    with torch.no_grad():
        x = network.patch_embed.proj(image).flatten(2).transpose(1, 2)
        x = torch.cat([network.cls_token, x], dim=1) + places
        expected = network.norm(network.blocks(x))[:, 1:].reshape(1, 3, 6, 48)
        found = VitFeatures(network)(image)
    assert float((found - expected).abs().max()) < 1e-4


@NEW
@pytest.mark.parametrize(
    ("name", "trained", "patch"),
    [
        ("vit_small_patch8_224", 32, 8),
        ("vit_small_patch14_dinov2", 56, 14),
        ("vit_small_patch14_reg4_dinov2", 56, 14),
        ("vit_small_patch16_dinov3", 64, 16),
        ("vit_small_patch16_dinov3_qkvb", 64, 16),
        ("eva02_small_patch14_224", 56, 14),
        ("vit_small_patch16_rope_mixed_224", 64, 16),
        ("vit_small_patch16_rope_mixed_ape_224", 64, 16),
    ],
)
@pytest.mark.parametrize("grid", [(3, 7), (2, 8), (6, 5), (4, 4)])
def test_on_any_grid_tokens_are_those_that_timm_computes(name, trained, patch, grid):
    """(2, 8) has as many cells as the trained grid, (4, 4): a mix-up would not change shapes."""
    network = timm.create_model(name, img_size=trained, dynamic_img_size=True, **SMALL)
    random_weights(network)
    image = torch.randn(2, 3, grid[0] * patch, grid[1] * patch)
    with torch.no_grad():
        found = VitFeatures(network)(image)
        expected = network.forward_features(image)[:, network.num_prefix_tokens :]
    assert found.shape == (2, *grid, 48)
    assert float((found.flatten(1, 2) - expected).abs().max()) < 1e-4
    assert float(expected.std()) > 0.1


def only_patches(patch: int) -> torch.nn.Module:
    """A network that gives its patches as they are: attention would mix them."""
    network = random_weights(VisionTransformer(img_size=4 * patch, patch_size=patch, **SMALL))
    network.blocks = network.blocks[:0]
    network.blocks.append(torch.nn.Identity())
    network.norm = torch.nn.Identity()
    torch.nn.init.zeros_(network.pos_embed)
    return network


@pytest.mark.parametrize("stride", [2, 4])
def test_overlapping_patches_are_shifted_windows(stride):
    network = only_patches(8)
    image = torch.rand(1, 3, 16, 24)
    with torch.no_grad():
        found = VitFeatures(network, stride=stride)(image)[0]
    assert found.shape == (16 // stride, 24 // stride, 48)
    edge = (8 - stride) // 2
    wide = F.pad(image, (edge,) * 4, mode="replicate")[0]
    weight, bias = network.patch_embed.proj.weight, network.patch_embed.proj.bias
    for i in range(16 // stride):
        for j in range(24 // stride):
            window = wide[:, i * stride : i * stride + 8, j * stride : j * stride + 8]
            expected = (weight * window).sum((1, 2, 3)) + bias
            torch.testing.assert_close(found[i, j], expected, rtol=1e-4, atol=1e-4)


# Patch and stride: those of the literature (8 and 4 or 2, 14 and 7, 16 and 8), and odd ones.
STRIDES = [(8, 4), (8, 2), (14, 7), (16, 8), (14, 14), (8, 1), (8, 3), (8, 5), (14, 13), (7, 2)]


@pytest.mark.parametrize(("patch", "stride"), STRIDES)
def test_every_patch_is_centred_on_its_cell(patch, stride):
    """The mean of a window of a ramp is the ramp at the window's centre."""
    network = only_patches(patch)
    torch.nn.init.constant_(network.patch_embed.proj.weight, 1 / (3 * patch**2))
    torch.nn.init.zeros_(network.patch_embed.proj.bias)
    grid = (-(-6 * patch // stride), -(-5 * patch // stride))
    y = (torch.arange(grid[0] * stride) + 0.5).view(-1, 1)
    x = (torch.arange(grid[1] * stride) + 0.5).view(1, -1)
    image = (3 * y + 7 * x).expand(1, 3, -1, -1) / 100
    with torch.no_grad():
        found = VitFeatures(network, stride=stride)(image)[0, :, :, 0]
    i = (torch.arange(grid[0]) + 0.5).view(-1, 1) * stride
    j = (torch.arange(grid[1]) + 0.5).view(1, -1) * stride
    expected = (3 * i + 7 * j) / 100
    inside = -(-patch // stride)  # further out the border pixels are repeated
    inner = (slice(inside, -inside),) * 2
    assert found[inner].numel() > 0
    torch.testing.assert_close(found[inner], expected[inner], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("patch", "stride"), STRIDES)
def test_an_image_turned_round_gives_the_map_turned_round(patch, stride):
    """With its filters turned too; at the borders as well, where an offset would show."""
    network = only_patches(patch)
    image = torch.rand(1, 3, 8 * stride, 11 * stride)
    with torch.no_grad():
        found = VitFeatures(network, stride=stride)(image)
        weight = network.patch_embed.proj.weight
        weight.copy_(weight.flip(2, 3).clone())
        turned = VitFeatures(network, stride=stride)(image.flip(2, 3))
    torch.testing.assert_close(turned.flip(1, 2), found, rtol=1e-4, atol=1e-4)


@NEW
@pytest.mark.parametrize(
    ("name", "patch", "stride"),
    [
        ("vit_small_patch8_224", 8, 4),
        ("vit_small_patch8_224", 8, 3),
        ("vit_small_patch14_dinov2", 14, 7),
        ("vit_small_patch14_reg4_dinov2", 14, 7),
        ("vit_small_patch16_dinov3", 16, 8),
    ],
)
def test_overlapping_patches_are_those_of_timm_told_to_step_less(name, patch, stride):
    """The literature's way: change the step of timm's own convolution, then let timm run."""
    network = timm.create_model(name, img_size=4 * patch, dynamic_img_size=True, **SMALL)
    random_weights(network)
    image = torch.randn(1, 3, 9 * stride, 17 * stride)
    with torch.no_grad():
        found = VitFeatures(network, stride=stride)(image)
        entering = image
        if (patch - stride) % 2:
            row = torch.tensor([-1.0, 9.0, 9.0, -1.0]) / 16
            kernel = row.outer(row).expand(3, 1, 4, 4)
            entering = F.conv2d(F.pad(image, (2,) * 4, mode="replicate"), kernel, groups=3)
        entering = F.pad(entering, ((patch - stride) // 2,) * 4, mode="replicate")
        network.patch_embed.proj.stride = (stride, stride)
        expected = network.forward_features(entering)[:, network.num_prefix_tokens :]
    assert expected.shape == (1, 9 * 17, 48)
    assert float((found.flatten(1, 2) - expected).abs().max()) < 1e-4
    assert float(expected.std()) > 0.1


@NEW
def test_dinov3_finds_overlapping_patches_by_the_sides_of_the_image():
    """Cell (i, j) of an (h, w) map lies at (2i + 1) / h - 1, whatever the stride."""
    features = VitFeatures(dino_v3(), stride=8)
    rope = features.vit.rope
    periods = 100.0 ** (torch.arange(3) / 3)  # 12 per head: two axes, sine and cosine
    y = (2 * torch.arange(6) + 1) / 6 - 1
    x = (2 * torch.arange(4) + 1) / 4 - 1
    angles = torch.cat(
        [
            (2 * torch.pi * y[:, None, None] / periods).expand(6, 4, 3),
            (2 * torch.pi * x[None, :, None] / periods).expand(6, 4, 3),
        ],
        dim=-1,
    ).reshape(24, 6)
    angles = torch.cat([angles, angles], dim=-1)
    seen = []
    get_embed = rope.get_embed
    rope.get_embed = lambda *a, **more: seen.append(get_embed(*a, **more)) or seen[-1]
    with torch.no_grad():
        features(torch.randn(1, 3, 48, 32))
    expected = torch.cat([angles.sin(), angles.cos()], dim=-1)
    torch.testing.assert_close(seen[0], expected, rtol=1e-4, atol=1e-5)


@NEW
@pytest.mark.parametrize("name", ["eva02_small_patch14_224", "vit_small_patch16_rope_mixed_224"])
def test_positions_counted_in_patches_refuse_overlap(name):
    network = timm.create_model(name, dynamic_img_size=True, **SMALL)
    patch = network.patch_embed.patch_size[0]
    assert VitFeatures(network, stride=patch).stride == patch
    with pytest.raises(DffError, match=f"leave the stride at the patch size {patch}") as raised:
        VitFeatures(network, stride=patch // 2)
    assert "\n" not in str(raised.value)


@NEW
def test_positions_kept_for_one_grid_are_refused():
    with pytest.raises(DffError, match="dynamic_img_size=True"):
        VitFeatures(timm.create_model("eva02_small_patch14_224", **SMALL))


@NEW
@pytest.mark.parametrize(("facet", "dim"), [("token", 48), ("query", 48), ("key", 24)])
def test_the_length_of_a_feature_is_that_of_its_facet(facet, dim):
    """Keys shared by heads are fewer."""
    network = dino_v3()
    attention = network.blocks[1].attn
    attention.qkv, attention.q_proj = None, torch.nn.Linear(48, 48)
    attention.k_proj = torch.nn.Linear(48, 24)
    features = VitFeatures(network, 1, facet)
    assert features.dim == dim


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
