"""Which CLIP and which weights: names, files, the cache, QuickGELU, and what is refused."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import open_clip
import pytest
import torch
from safetensors.torch import save_file

from dff.errors import DffError
from dff.teachers import TeacherOptions, get_teacher
from dff.teachers.clip import ClipTeacher
from dff.teachers.clip_weights import find_source, load_model
from dff.teachers.options import ClipOptions

sys.path.insert(0, str(Path(__file__).parent))

from clip_reference import random_model, register, tiny_config

NAME = "dff-weights"
REPOSITORY = "dff-tests/tiny"


@pytest.fixture
def state(tmp_path) -> dict[str, torch.Tensor]:
    register(tmp_path, NAME, tiny_config())
    return random_model(tiny_config()).state_dict()


@pytest.fixture
def options(state, tmp_path) -> ClipOptions:
    save_file(state, tmp_path / "w.safetensors")
    return ClipOptions(checkpoint=tmp_path / "w.safetensors", model=NAME, long_side=32)


def features(options: ClipOptions) -> torch.Tensor:
    torch.manual_seed(5)
    return ClipTeacher.load(options).encode_image(torch.rand(32, 32, 3))


def test_files_in_every_format_give_the_same(options, state, tmp_path) -> None:
    wanted = features(options)
    contents = {
        "plain.pt": state,
        "wrapped.pt": {"state_dict": state, "epoch": 32},
        "parallel.pt": {"state_dict": {f"module.{k}": v for k, v in state.items()}},
        "openai.pt": state | {"input_resolution": torch.tensor(32), "vocab_size": torch.tensor(9)},
        "scale.pt": state | {"logit_scale": state["logit_scale"].reshape(1)},
    }
    for name, content in contents.items():
        torch.save(content, tmp_path / name)
        assert torch.equal(features(replace(options, checkpoint=tmp_path / name)), wanted), name


def test_the_text_tower_of_an_older_file_finds_its_place(options, state, tmp_path) -> None:
    register(tmp_path, "dff-custom", tiny_config(custom_text=True))
    given = replace(options, model="dff-custom")
    teacher, plain = ClipTeacher.load(given), ClipTeacher.load(options)
    assert type(teacher._model) is open_clip.CustomTextCLIP
    assert type(plain._model) is open_clip.CLIP
    phrases = ["apple", "blue mug"]
    assert torch.allclose(teacher.encode_text(phrases), plain.encode_text(phrases), atol=1e-6)


def test_half_precision_files_are_computed_with_in_single(options, state, tmp_path) -> None:
    save_file({k: v.half() for k, v in state.items()}, tmp_path / "half.safetensors")
    half = features(replace(options, checkpoint=tmp_path / "half.safetensors"))
    assert half.dtype == torch.float32
    assert 0 < (half - features(options)).abs().max() < 0.05


def test_the_registry_loads_it_with_the_common_checkpoint_option(options) -> None:
    clip = replace(options, checkpoint=None)
    teacher = get_teacher("clip", "cpu", TeacherOptions(checkpoint=options.checkpoint, clip=clip))
    assert teacher.name == "clip"
    assert teacher.fingerprint == ClipTeacher.load(options).fingerprint


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": "ViT-B-61"}, "no model 'ViT-B-61': did you mean .*ViT-B-16"),
        ({"model": "vit/b/16"}, "no model 'vit/b/16': did you mean .*ViT-B-16"),
        ({"model": ""}, "no model ''; known: "),
        ({"pretrained": "openia"}, "no weights 'openia' of ViT-B-16: did you mean openai"),
        ({"pretrained": "laion2b"}, "no weights 'laion2b' of ViT-B-16: .*laion2b_s34b_b88k"),
        ({"model": "ViT-B-16-SigLIP"}, "no weights 'openai' of ViT-B-16-SigLIP.*webli"),
    ],
)
def test_unknown_names_are_refused_with_the_nearest(changes, message) -> None:
    with pytest.raises(DffError, match=message):
        ClipTeacher.load(ClipOptions(**changes))


def test_a_model_without_published_weights_wants_a_file(options) -> None:
    with pytest.raises(
        DffError, match=f"no weights of {NAME}: give a file by --teacher.checkpoint"
    ):
        ClipTeacher.load(replace(options, checkpoint=None))


def test_missing_and_damaged_files(options, state, tmp_path) -> None:
    with pytest.raises(DffError, match=r"no\.pt: there is no such file"):
        ClipTeacher.load(replace(options, checkpoint=tmp_path / "no.pt"))
    torch.save(state, tmp_path / "cut.pt")
    for name in ("w.safetensors", "cut.pt"):
        content = (tmp_path / name).read_bytes()
        (tmp_path / f"half-{name}").write_bytes(content[: len(content) // 2])
        with pytest.raises(DffError, match="damaged") as caught:
            ClipTeacher.load(replace(options, checkpoint=tmp_path / f"half-{name}"))
        assert "\n" not in str(caught.value)


def test_weights_of_another_architecture_are_refused_by_name(options, state, tmp_path) -> None:
    deeper = random_model(tiny_config(vision_cfg={"layers": 4})).state_dict()
    save_file(deeper, tmp_path / "deeper.safetensors")
    with pytest.raises(DffError, match=r"12 unexpected \(first 'visual\.transformer\.resblocks\.3"):
        ClipTeacher.load(replace(options, checkpoint=tmp_path / "deeper.safetensors"))
    finer = random_model(tiny_config(vision_cfg={"image_size": 64})).state_dict()
    save_file(finer, tmp_path / "finer.safetensors")
    with pytest.raises(DffError, match=r"another shape \(first 'visual\.positional_embedding'"):
        ClipTeacher.load(replace(options, checkpoint=tmp_path / "finer.safetensors"))
    save_file({"conv1.weight": torch.zeros(3)}, tmp_path / "other.safetensors")
    with pytest.raises(DffError, match=r"missing \(first .*1 unexpected \(first 'conv1.weight'"):
        ClipTeacher.load(replace(options, checkpoint=tmp_path / "other.safetensors"))


def test_openais_torchscript_is_named_as_such(options, tmp_path) -> None:
    torch.jit.script(torch.nn.Linear(2, 2)).save(str(tmp_path / "ViT-B-16.pt"))
    with pytest.raises(DffError, match=r"TorchScript program.*open_clip_model\.safetensors"):
        ClipTeacher.load(replace(options, checkpoint=tmp_path / "ViT-B-16.pt"))


@pytest.mark.parametrize(
    "model",
    [
        "RN50",
        pytest.param("convnext_base", marks=pytest.mark.slow),
        pytest.param("EVA02-B-16", marks=pytest.mark.slow),
    ],
)
def test_towers_without_patches_are_refused(model, tmp_path, monkeypatch) -> None:
    config = open_clip.get_model_config(model)
    if "timm_model_name" not in config["vision_cfg"]:
        config["vision_cfg"] |= {"layers": [1, 1, 1, 1], "width": 16}
    config["text_cfg"] |= {"layers": 1, "width": 32, "heads": 2}
    register(tmp_path, f"dff-{model}", config)
    torch.save(random_model(config).state_dict(), tmp_path / "w.pt")
    with pytest.raises(DffError, match=f"tower of 'dff-{model}' cannot give features of patches"):
        ClipTeacher.load(ClipOptions(checkpoint=tmp_path / "w.pt", model=f"dff-{model}"))


def published(monkeypatch, **tags) -> None:
    """Let open_clip know weights of the tiny model by these names."""
    usual = {"mean": (0.1, 0.2, 0.3), "std": (0.4, 0.5, 0.6), "hf_hub": f"{REPOSITORY}/"}
    known = {tag: usual | more for tag, more in tags.items()}
    before = open_clip.get_pretrained_cfg
    monkeypatch.setattr(
        open_clip,
        "get_pretrained_cfg",
        lambda model, tag: known.get(tag, {}) if model == NAME else before(model, tag),
    )
    listed = open_clip.list_pretrained_tags_by_model
    monkeypatch.setattr(
        open_clip,
        "list_pretrained_tags_by_model",
        lambda model: list(known) if model == NAME else listed(model),
    )


def rounded(state) -> dict[str, torch.Tensor]:
    """Values that half precision holds, as OpenAI's."""
    return {name: value.half().float() for name, value in state.items()}


def test_colours_and_activation_are_those_of_the_named_weights(
    options, state, tmp_path, monkeypatch
) -> None:
    published(monkeypatch, openai={}, quick={"quick_gelu": True}, plain={"mean": (0.5, 0.5, 0.5)})
    save_file(rounded(state), tmp_path / "w.safetensors")
    for tag, quick, mean in [
        ("openai", True, (0.1, 0.2, 0.3)),
        ("quick", True, (0.1, 0.2, 0.3)),
        ("plain", False, (0.5, 0.5, 0.5)),
        ("unheard-of", False, (0.1, 0.2, 0.3)),
    ]:
        source = find_source(replace(options, pretrained=tag))
        assert source.mean == mean
        assert source.std == (0.4, 0.5, 0.6)
        model, used = load_model(source)
        assert used is quick
        activation = type(model.visual.transformer.resblocks[0].mlp.gelu).__name__
        assert activation == ("QuickGELU" if quick else "GELU")


def test_a_file_that_cannot_be_openais_follows_the_models_name(
    options, state, tmp_path, monkeypatch
) -> None:
    published(monkeypatch, openai={"quick_gelu": True})
    with pytest.warns(UserWarning, match="does not hold OpenAI's weights: GELU is used"):
        assert load_model(find_source(options))[1] is False
    register(tmp_path, NAME, tiny_config(quick_gelu=True))
    assert load_model(find_source(options))[1] is True


def cached(folder: Path, name: str, repository: str = REPOSITORY) -> Path:
    """Where the Hugging Face cache would have a file."""
    base = folder / f"models--{repository.replace('/', '--')}"
    (base / "refs").mkdir(parents=True)
    (base / "refs" / "main").write_text("c0ffee")
    (base / "snapshots" / "c0ffee").mkdir(parents=True)
    return base / "snapshots" / "c0ffee" / name


@pytest.mark.parametrize("name", ["open_clip_model.safetensors", "open_clip_pytorch_model.bin"])
def test_weights_in_the_cache_are_used_without_the_network(
    name, options, state, tmp_path, monkeypatch
) -> None:
    published(monkeypatch, openai={})
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    given = replace(options, checkpoint=None)
    with pytest.raises(DffError, match=f"get open_clip_model.safetensors of .*{REPOSITORY}"):
        ClipTeacher.load(given)
    path = cached(tmp_path / "hub", name)
    if path.suffix == ".bin":
        torch.save(rounded(state), path)
    else:
        save_file(rounded(state), path)
    assert find_source(given).path == path
    assert ClipTeacher.load(given).encode_image(torch.rand(32, 32, 3)).shape == (4, 4, 24)


WANTED = (
    "'openai' of CLIP ViT-B-16",
    "open_clip_model.safetensors",
    "timm/vit_base_patch16_clip_224.openai",
    "--teacher.checkpoint",
    "HF_HOME",
)
NOBODY = "http://127.0.0.1:9"


def test_offline_one_line_says_what_is_wanted_and_where(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", NOBODY)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("no_proxy", "*")
    start = time.monotonic()
    with pytest.raises(DffError) as caught:
        get_teacher("clip")
    assert time.monotonic() - start < 10  # the hub's client alone tries for half a minute
    for part in (*WANTED, str(tmp_path / "hub"), NOBODY):
        assert part in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.slow
def test_offline_nothing_else_is_printed(tmp_path) -> None:
    environment = os.environ | {
        "HF_HOME": str(tmp_path),
        "HF_ENDPOINT": NOBODY,
        "no_proxy": "*",
    }
    environment.pop("HF_HUB_OFFLINE", None)
    program = (
        "from dff.teachers import get_teacher\n"
        "try:\n    get_teacher('clip')\n"
        "except Exception as error:\n    print(type(error).__name__, error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("DffError ")
    assert done.stdout.count("\n") == 1
    for part in (*WANTED, str(tmp_path)):
        assert part in done.stdout
    assert done.stderr.strip() == ""
