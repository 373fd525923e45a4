"""Text of the clip teacher: open_clip's own, in templates, nothing cut off."""

from __future__ import annotations

import sys
from pathlib import Path

import open_clip
import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file

from dff.errors import DffError
from dff.teachers.clip import ClipTeacher, checked_tokens
from dff.teachers.options import ClipOptions

sys.path.insert(0, str(Path(__file__).parent))

from clip_reference import random_model, register, tiny_config

NAME = "dff-text"


@pytest.fixture(scope="module")
def model() -> torch.nn.Module:
    return random_model(tiny_config(), 2)


@pytest.fixture(scope="module")
def options(model, tmp_path_factory) -> ClipOptions:
    folder = tmp_path_factory.mktemp("text")
    register(folder, NAME, tiny_config())
    save_file(model.state_dict(), folder / "w.safetensors")
    return ClipOptions(checkpoint=folder / "w.safetensors", model=NAME)


@pytest.fixture(scope="module")
def teacher(options) -> ClipTeacher:
    return ClipTeacher.load(options)


def own(model, *sentences: str) -> torch.Tensor:
    return F.normalize(model.encode_text(open_clip.get_tokenizer(NAME)(list(sentences))), dim=-1)


def test_text_is_open_clips_own(teacher, model) -> None:
    phrases = ["apple", "a red apple", "Žluťoučký kůň 🍎"]
    features = teacher.encode_text(phrases)
    assert features.shape == (3, 24)
    assert features.dtype == torch.float32
    assert torch.allclose(features, own(model, *phrases), atol=1e-5)
    assert torch.allclose(features.norm(dim=-1), torch.ones(3), atol=1e-5)


def test_templates_are_averaged_on_the_sphere(options, model) -> None:
    teacher = ClipTeacher.load(options, templates=("a photo of a {}.", "the {}"))
    wanted = own(model, "a photo of a red mug.", "the red mug").mean(0)
    features = teacher.encode_text([" red  mug"])
    assert torch.allclose(features[0], wanted / wanted.norm(), atol=1e-5)
    assert (features - own(model, "red mug")).abs().max() > 1e-3


def test_a_prompt_that_would_be_cut_off_is_refused(teacher, model) -> None:
    # "apple" is one token; start and end take two of the 77.
    fits, too_long = " ".join(["apple"] * 75), " ".join(["apple"] * 76)
    assert torch.allclose(teacher.encode_text([fits]), own(model, fits), atol=1e-5)
    with pytest.raises(
        DffError, match=r"'apple apple.*\.\.\.' has more than the 77 tokens .*dff-text"
    ):
        teacher.encode_text(["mug", too_long])


def test_templates_count_for_the_length(options) -> None:
    teacher = ClipTeacher.load(options, templates=("a photo of a {}",))
    with pytest.raises(DffError, match="77 tokens"):
        teacher.encode_text([" ".join(["apple"] * 72)])


def test_tokenizers_that_end_with_a_mark_and_pad_with_the_same(teacher) -> None:
    """As T5's for SigLIP: no start, the end's number is the padding's too."""

    def tokenizer(sentences: list[str], length: int = 6) -> torch.Tensor:
        rows = [[7 + len(word) for word in each.split()][: length - 1] + [1] for each in sentences]
        return torch.tensor([row + [1] * (length - len(row)) for row in rows])

    assert checked_tokens(tokenizer, ["a b c d e", "a"], "M").shape == (2, 6)
    with pytest.raises(DffError, match="'a b c d e f' has more than the 6 tokens that M reads"):
        checked_tokens(tokenizer, ["a b c d e", "a b c d e f"], "M")


@pytest.mark.parametrize("phrases", [[], "apple", [""], ["  "], [3]])
def test_no_text_is_no_query(teacher, phrases) -> None:
    with pytest.raises(DffError, match="text query"):
        teacher.encode_text(phrases)


def test_a_missing_tokenizer_is_said_at_once_and_images_still_work(tmp_path, monkeypatch) -> None:
    config = tiny_config(text_cfg={"hf_tokenizer_name": "dff/no-such-tokenizer"})
    register(tmp_path, "dff-foreign", config)
    save_file(random_model(config).state_dict(), tmp_path / "w.safetensors")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    given = ClipOptions(checkpoint=tmp_path / "w.safetensors", model="dff-foreign", long_side=32)
    wanted = "needs the package transformers and the tokenizer dff/no-such-tokenizer"
    with pytest.warns(UserWarning, match=f"text queries will not work: .*{wanted}"):
        teacher = ClipTeacher.load(given)
    assert teacher.encode_image(torch.rand(32, 32, 3)).shape == (4, 4, 24)
    with pytest.raises(DffError, match=wanted):
        teacher.encode_text(["apple"])
