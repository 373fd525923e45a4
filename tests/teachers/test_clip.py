"""Dense CLIP features against open_clip's own network with the last block worked out by hand."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file

from dff.errors import DffError
from dff.teachers.clip import ClipTeacher
from dff.teachers.clip_attention import VARIANTS, Variant, neighbourhood, plain
from dff.teachers.clip_towers import ClassTokenTower, dense_tower, last_block, resized_positions
from dff.teachers.options import ClipOptions

sys.path.insert(0, str(Path(__file__).parent))

from clip_reference import (
    CLIP_MEAN,
    CLIP_STD,
    TINY,
    cubic_matrix,
    gaussian,
    normalised,
    random_model,
    reference_features,
    register,
    tiny_config,
)

PATCH = 8


@pytest.fixture(scope="module")
def model() -> torch.nn.Module:
    return random_model(tiny_config())


@pytest.fixture(scope="module")
def options(model, tmp_path_factory) -> ClipOptions:
    folder = tmp_path_factory.mktemp("clip")
    register(folder, TINY, tiny_config())
    save_file(model.state_dict(), folder / "tiny.safetensors")
    return ClipOptions(checkpoint=folder / "tiny.safetensors", model=TINY, long_side=48)


@pytest.fixture(scope="module")
def teacher(options) -> ClipTeacher:
    return ClipTeacher.load(options)


@pytest.mark.parametrize("size", [(32, 32), (48, 24), (16, 48)])
@pytest.mark.parametrize("variant", VARIANTS)
def test_features_are_those_of_the_network_with_its_last_block_replaced(
    model, options, variant, size
) -> None:
    teacher = ClipTeacher.load(replace(options, variant=variant, long_side=max(size)))
    image = torch.rand(*size, 3)
    features = teacher.encode_image(image)
    wanted = reference_features(model, tiny_config(), image, variant)
    assert features.dtype == torch.float32
    assert features.shape == (size[0] // PATCH, size[1] // PATCH, 24)
    assert np.abs(features.numpy() - wanted).max() < 1e-5


def test_variants_differ(options) -> None:
    image = torch.rand(48, 48, 3)
    maps = [ClipTeacher.load(replace(options, variant=v)).encode_image(image) for v in VARIANTS]
    for i, one in enumerate(maps):
        for other in maps[:i]:
            assert (one - other).abs().max() > 0.01


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("quick", {"quick_gelu": True}),
        ("scale", {"vision_cfg": {"ls_init_value": 0.3}}),
        ("average", {"vision_cfg": {"pool_type": "avg", "final_ln_after_pool": True}}),
    ],
)
@pytest.mark.parametrize("variant", ["maskclip", "sclip"])
def test_other_towers_of_open_clip(tmp_path, name, changes, variant) -> None:
    config = tiny_config(**changes)
    model = random_model(config)
    if name == "scale":
        # The reference knows no layer scale: fold it into what comes before it.
        block = model.visual.transformer.resblocks[-1]
        block.ls_1.gamma.copy_(torch.rand(48))
        block.ls_2.gamma.copy_(torch.rand(48))
    save_file(model.state_dict(), tmp_path / "w.safetensors")
    register(tmp_path, f"dff-{name}", config)
    given = ClipOptions(
        checkpoint=tmp_path / "w.safetensors", model=f"dff-{name}", variant=variant, long_side=32
    )
    image = torch.rand(32, 32, 3)
    features = ClipTeacher.load(given).encode_image(image)
    if name == "scale":
        for scale, linear in ((block.ls_1, block.attn.out_proj), (block.ls_2, block.mlp.c_proj)):
            linear.weight.mul_(scale.gamma[:, None])
            linear.bias.mul_(scale.gamma)
            scale.gamma.fill_(1)
        wanted = reference_features(model, config, image, variant)
    else:
        wanted = reference_features(model, config, image, variant)
    assert np.abs(features.numpy() - wanted).max() < 1e-5


def test_with_the_attention_it_was_trained_with_the_block_is_open_clips_own(model) -> None:
    images = normalised(torch.rand(32, 32, 3)).float()
    tower = ClassTokenTower(model.visual, VARIANTS["maskclip"])
    x, grid = tower._embed(images)
    blocks = list(model.visual.transformer.resblocks)
    x = tower._through(blocks[:-1], x)
    x = last_block(blocks[-1], x, grid, Variant(plain, whole=True))
    features = model.visual.ln_post(x[:, 0]) @ model.visual.proj
    assert torch.allclose(features, model.encode_image(images), atol=1e-5)


def test_features_have_unit_length_and_batches_change_nothing(teacher) -> None:
    images = torch.rand(3, 3, 32, 48)
    together = teacher.encode_batch(images)
    alone = torch.cat([teacher.encode_batch(image[None]) for image in images])
    assert torch.allclose(together, alone, atol=1e-6)
    assert torch.allclose(together.norm(dim=-1), torch.ones(3, 4, 6), atol=1e-5)
    single = teacher.encode_image(images[1].movedim(0, -1))
    assert torch.allclose(single, together[1], atol=1e-6)


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_network_with_rows_and_columns_swapped_sees_the_swapped_image(variant) -> None:
    """Any mix-up of height and width, in the patches, the positions or the Gaussian, breaks it."""
    model, swapped = random_model(tiny_config()), random_model(tiny_config())
    swapped.visual.conv1.weight.copy_(model.visual.conv1.weight.transpose(2, 3))
    table = model.visual.positional_embedding
    places = table[1:].reshape(4, 4, -1).transpose(0, 1).reshape(16, -1)
    swapped.visual.positional_embedding.copy_(torch.cat([table[:1], places]))
    images = torch.randn(1, 3, 24, 56)
    features = dense_tower(model.visual, variant, TINY)(images)
    turned = dense_tower(swapped.visual, variant, TINY)(images.transpose(2, 3))
    assert features.shape == (1, 3, 7, 24)
    assert torch.allclose(features, turned.transpose(1, 2), atol=1e-4)


@pytest.mark.parametrize(
    ("height", "width", "grid"),
    [(48, 48, (6, 6)), (480, 640, (4, 6)), (640, 480, (6, 4)), (100, 3000, (1, 6)), (1, 1, (6, 6))],
)
def test_images_of_any_size_are_brought_to_whole_patches(teacher, height, width, grid) -> None:
    assert teacher.grid_shape(height, width) == grid
    image = torch.rand(height, width, 3)
    features = teacher.encode_image(image)
    assert features.shape == (*grid, 24)
    assert torch.isfinite(features).all()


def test_an_image_is_resized_smoothly_and_only_once(teacher) -> None:
    """A picture of squares, each a whole patch's share, gives what the small picture gives."""
    small = torch.rand(6, 4, 3).repeat_interleave(8, 0).repeat_interleave(8, 1)
    features = teacher.encode_image(small)
    large = F.interpolate(small.movedim(-1, 0)[None], scale_factor=5, mode="nearest")[0]
    again = teacher.encode_image(large.movedim(0, -1))
    assert again.shape == features.shape
    assert (again * features).sum(-1).min() > 0.98


def test_images_that_are_none_are_refused(teacher) -> None:
    for shape in [(8, 8), (8, 8, 4), (0, 8, 3), (1, 3, 8, 8)]:
        with pytest.raises(DffError, match=r"shape \(height, width, 3\)"):
            teacher.encode_image(torch.rand(*shape))


@pytest.mark.parametrize(("old", "new"), [((4, 4), (7, 3)), ((4, 4), (2, 2)), ((3, 5), (9, 5))])
def test_position_embeddings_are_interpolated_bicubically(old, new) -> None:
    table = torch.randn(old[0] * old[1], 6)
    rows, columns = cubic_matrix(old[0], new[0]), cubic_matrix(old[1], new[1])
    wanted = torch.einsum("ia,jb,abc->ijc", rows, columns, table.double().reshape(*old, 6))
    resized = resized_positions(table, old, new)
    assert torch.allclose(resized.double(), wanted.reshape(-1, 6), atol=1e-5)
    assert resized_positions(table, old, old) is table


def test_the_neighbourhood_is_a_gaussian_of_the_distance() -> None:
    bias = neighbourhood((3, 4), 5.0, torch.zeros(1, dtype=torch.float64))
    assert torch.allclose(bias, gaussian((3, 4))[1:, 1:])


def test_clips_own_colours_and_scale(teacher, model) -> None:
    assert teacher._source.mean == pytest.approx(CLIP_MEAN)
    assert teacher._source.std == pytest.approx(CLIP_STD)
    assert teacher.logit_scale == pytest.approx(1 / 0.07, rel=1e-5)
    assert (teacher.dim, teacher.name, teacher.has_text) == (24, "clip", True)


def test_the_fingerprint_changes_with_whatever_changes_features(options, model, tmp_path) -> None:
    first = ClipTeacher.load(options).fingerprint
    assert first == ClipTeacher.load(options).fingerprint
    assert first == ClipTeacher.load(options, templates=("a {}",)).fingerprint
    others = [
        replace(options, variant="sclip"),
        replace(options, long_side=64),
        replace(options, window=32),
    ]
    changed = {name: value.clone() for name, value in model.state_dict().items()}
    changed["visual.proj"][0, 0] += 1e-3
    save_file(changed, tmp_path / "w.safetensors")
    others.append(replace(options, checkpoint=tmp_path / "w.safetensors"))
    assert len({first, *(ClipTeacher.load(each).fingerprint for each in others)}) == 5


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"variant": "maskclp"}, r"no variant 'maskclp' of CLIP \(did you mean 'maskclip'\?\)"),
        ({"long_side": 0}, "long-side must be at least 1, not 0"),
        ({"window": 0}, "window must be at least 1, not 0"),
    ],
)
def test_options_out_of_range_are_refused(options, changes, message) -> None:
    with pytest.raises(DffError, match=message):
        ClipTeacher.load(replace(options, **changes))


@pytest.mark.slow
@pytest.mark.parametrize(("name", "layers"), [("ViT-B-16", 12), ("ViT-L-14-336", 3)])
def test_the_published_architectures(name, layers, tmp_path) -> None:
    """At full width; of the large one three blocks, for the time it takes."""
    config = open_clip.get_model_config(name)
    config["vision_cfg"]["layers"] = layers
    model = random_model(config)
    save_file(model.state_dict(), tmp_path / "w.safetensors")
    patch = config["vision_cfg"]["patch_size"]
    image = torch.rand(10 * patch, 16 * patch, 3)
    register(tmp_path, f"dff-{name}", config)
    given = ClipOptions(
        checkpoint=tmp_path / "w.safetensors", model=f"dff-{name}", long_side=16 * patch
    )
    teacher = ClipTeacher.load(given)
    for variant in VARIANTS:
        tower = dense_tower(teacher._model.visual, variant, name)
        features = F.normalize(tower(normalised(image).float()), dim=-1)[0]
        wanted = reference_features(model, config, image, variant)
        assert np.abs(features.numpy() - wanted).max() < 1e-4
