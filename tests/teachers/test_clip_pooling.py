"""Towers that pool by attention: SigLIP's, of timm, and CoCa's."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from timm.models import register_model
from timm.models.vision_transformer import VisionTransformer

from dff.errors import DffError
from dff.teachers.clip import ClipTeacher
from dff.teachers.options import ClipOptions

sys.path.insert(0, str(Path(__file__).parent))

from clip_reference import normalised, random_model, register, resized, tiny_config

SHAPE = {"patch_size": 8, "embed_dim": 48, "depth": 3, "num_heads": 3, "class_token": False}


@register_model
def vit_dff_tiny_map(pretrained: bool = False, **kwargs) -> VisionTransformer:
    """SigLIP's architecture, small."""
    known = ("img_size", "num_classes", "global_pool")
    given = {name: value for name, value in kwargs.items() if name in known}
    return VisionTransformer(**({"img_size": 32} | SHAPE | given))


def siglip_config() -> dict:
    config = tiny_config(custom_text=True, init_logit_bias=-10, embed_dim=48)
    config["vision_cfg"] = {
        "image_size": 32,
        "timm_model_name": "vit_dff_tiny_map",
        "timm_model_pretrained": False,
        "timm_pool": "map",
        "timm_proj": "none",
    }
    return config


@pytest.fixture(scope="module")
def siglip() -> torch.nn.Module:
    return random_model(siglip_config(), 3)


def load(model, config, folder: Path, name: str, **changes) -> ClipTeacher:
    register(folder, name, config)
    save_file(model.state_dict(), folder / f"{name}.safetensors")
    path = folder / f"{name}.safetensors"
    return ClipTeacher.load(ClipOptions(checkpoint=path, model=name, **changes))


@pytest.mark.parametrize("size", [(32, 32), (24, 56)])
def test_siglip_gives_what_pooling_each_patch_alone_gives(siglip, tmp_path, size) -> None:
    image = torch.rand(*size, 3)
    teacher = load(siglip, siglip_config(), tmp_path, "dff-map", long_side=max(size))
    grid = (size[0] // 8, size[1] // 8)

    # timm's own network for this size; then its own pooling on one patch after the other.
    trunk = vit_dff_tiny_map(img_size=size, num_classes=0, global_pool="map").double().eval()
    state = {name: value.double() for name, value in siglip.visual.trunk.state_dict().items()}
    state["pos_embed"] = resized(state["pos_embed"][0], (4, 4), grid)[None]
    trunk.load_state_dict(state)
    with torch.no_grad():
        tokens = trunk.forward_features(normalised(image))[0]
        pooled = torch.cat([trunk.attn_pool(token[None, None]) for token in tokens])
    wanted = F.normalize(pooled, dim=-1).reshape(*grid, 48)
    features = teacher.encode_image(image)
    assert np.abs(features.numpy() - wanted.numpy()).max() < 1e-5


def test_an_image_of_one_patch_has_the_images_own_feature(tmp_path) -> None:
    config = siglip_config()
    model = random_model(config, 3)
    teacher = load(model, config, tmp_path, "dff-map-one", long_side=8)
    image = torch.rand(8, 8, 3)
    trunk = vit_dff_tiny_map(img_size=8, num_classes=0, global_pool="map").eval()
    state = dict(model.visual.trunk.state_dict())
    state["pos_embed"] = resized(state["pos_embed"][0], (4, 4), (1, 1))[None].float()
    trunk.load_state_dict(state)
    with torch.no_grad():
        wanted = F.normalize(trunk(normalised(image).float()), dim=-1)
    assert torch.allclose(teacher.encode_image(image)[0], wanted, atol=1e-5)


def test_siglips_text_and_scale(siglip, tmp_path) -> None:
    teacher = load(siglip, siglip_config(), tmp_path, "dff-map-text", long_side=32)
    tokens = open_clip.get_tokenizer("dff-map-text")(["apple", "blue mug"])
    wanted = F.normalize(siglip.encode_text(tokens), dim=-1)
    assert torch.allclose(teacher.encode_text(["apple", "blue mug"]), wanted, atol=1e-5)
    assert teacher.logit_scale == pytest.approx(1 / 0.07, rel=1e-5)


def coca_config() -> dict:
    more = {"context_length": 76, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 1}
    return tiny_config(
        vision_cfg={"attentional_pool": True, "attn_pooler_heads": 2, "output_tokens": True},
        text_cfg={"context_length": 76, "embed_cls": True, "output_tokens": True},
        multimodal_cfg=more | {"attn_pooler_heads": 2},
    )


def test_coca_gives_what_its_pooling_gives_of_each_patch_alone(tmp_path) -> None:
    config = coca_config()
    model = random_model(config, 4)
    teacher = load(model, config, tmp_path, "dff-coca", long_side=32)
    image = torch.rand(32, 32, 3)
    visual = model.visual
    entered = []
    hook = visual.attn_pool.register_forward_pre_hook(lambda _, given: entered.append(given[0]))
    visual(normalised(image).float())
    hook.remove()
    with torch.no_grad():
        # Its pooling has many queries; of one token all of them get the same.
        alone = [visual.attn_pool(token[None, None])[:, 0] for token in entered[0][0, 1:]]
        pooled = visual.ln_post(torch.cat(alone)) @ visual.proj
    wanted = F.normalize(pooled, dim=-1).reshape(4, 4, 24)
    assert torch.allclose(teacher.encode_image(image), wanted, atol=1e-5)
    tokens = open_clip.get_tokenizer("dff-coca")(["apple"])
    assert torch.allclose(teacher.encode_text(["apple"]), model.encode_text(tokens), atol=1e-5)


@pytest.mark.parametrize("variant", ["sclip", "naclip", "clearclip"])
def test_variants_of_the_class_tokens_attention_are_refused(siglip, tmp_path, variant) -> None:
    with pytest.raises(DffError, match=f"'{variant}'.*'dff-no' pools by attention: use .*maskclip"):
        load(siglip, siglip_config(), tmp_path, "dff-no", variant=variant)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["ViT-B-16-SigLIP", "ViT-B-16-SigLIP2-256"])
def test_the_published_siglips(name, tmp_path) -> None:
    config = open_clip.get_model_config(name)
    config["text_cfg"] |= {"layers": 1, "vocab_size": 100}
    config["text_cfg"].pop("hf_tokenizer_name")
    model = random_model(json.loads(json.dumps(config)))
    teacher = load(model, config, tmp_path, f"dff-{name}", long_side=320)
    image = torch.rand(240, 320, 3)
    features = teacher.encode_image(image)
    assert features.shape == (15, 20, 768)
    trunk = model.visual.trunk
    trunk.set_input_size((240, 320))
    side = config["vision_cfg"]["image_size"] // 16
    state = trunk.state_dict()
    original = random_model(config).visual.trunk.pos_embed[0]
    state["pos_embed"] = resized(original, (side, side), (15, 20))[None].float()
    trunk.load_state_dict(state)
    with torch.no_grad():
        tokens = trunk.forward_features(normalised(image).float())[0]
        pooled = torch.cat([trunk.attn_pool(token[None, None]) for token in tokens])
    wanted = F.normalize(pooled, dim=-1).reshape(15, 20, 768)
    assert (features - wanted).abs().max() < 1e-4
