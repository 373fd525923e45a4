"""Which CLIP of open_clip is meant, where its weights lie, and a network that holds them."""

from __future__ import annotations

import difflib
import warnings
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import open_clip
import torch
from torch import Tensor, nn

from dff.errors import DffError
from dff.teachers.hub import hub_file, one_line
from dff.teachers.options import ClipOptions
from dff.teachers.weights_file import load_strictly, read_weights

OPENAI = "openai"
# What open_clip calls a repository's weights, the safe format first.
HUB_FILES = ("open_clip_model.safetensors", "open_clip_pytorch_model.bin")
# Sizes that OpenAI put among the tensors, and a table that newer text towers no longer keep.
UNUSED = (
    "input_resolution",
    "context_length",
    "vocab_size",
    "text.transformer.embeddings.position_ids",
)
# Where an older file has the text tower that newer classes keep under "text.".
_TEXT_TENSORS = (
    "text_projection",
    "positional_embedding",
    "token_embedding",
    "transformer",
    "ln_final",
)


@dataclass(frozen=True)
class ClipSource:
    """A model of open_clip and its weights, found but not read.

    Attributes:
        model: its name.
        config: its architecture, as open_clip describes it; QuickGELU as the model's name says.
        path: the weights file.
        quick_gelu: whether the weights that `pretrained` names were trained with QuickGELU.
        mean, std: of the images' channels in training.
        interpolation: "bicubic" or "bilinear", for resizing images.
        openai: whether they should be OpenAI's by name, but come from a file of the user.
    """

    model: str
    config: Mapping[str, Any]
    path: Path
    quick_gelu: bool
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    interpolation: str
    openai: bool

    @property
    def facts(self) -> str:
        """Model, file name and size in bytes: what tells one tower from another without reading it.

        Raises:
            OSError: the file has gone since it was found.
        """
        return f"{self.model} {self.path.name} ({self.path.stat().st_size} bytes)"


def find_source(options: ClipOptions) -> ClipSource:
    """Check the names and find the weights file, before anything slow is done.

    Raises:
        DffError: there is no such model or no such weights of it, or the file is neither given nor
            in the cache nor to be had.
    """
    model = options.model.replace("/", "-")
    known = open_clip.list_models()
    if model not in known:
        raise DffError(f"open_clip has no model '{options.model}'{_near(model, known)}")
    tag = options.pretrained.lower().replace("-", "_")
    tags = open_clip.list_pretrained_tags_by_model(model)
    if options.checkpoint is not None:
        path = options.checkpoint
        if not path.is_file():
            raise DffError(f"teacher 'clip' wants weights at {path}: there is no such file")
        trained = open_clip.get_pretrained_cfg(model, tag if tag in tags else (*tags, tag)[0])
    elif tag not in tags:
        raise DffError(
            f"open_clip has no weights '{options.pretrained}' of {model}{_near(tag, tags)}"
            if tags
            else f"open_clip has no weights of {model}: give a file by --teacher.checkpoint"
        )
    else:
        trained = open_clip.get_pretrained_cfg(model, tag)
        path = _from_hub(model, tag, trained)
    return ClipSource(
        model=model,
        config=open_clip.get_model_config(model) or {},
        path=path,
        quick_gelu=tag in tags and (tag == OPENAI or bool(trained.get("quick_gelu"))),
        mean=_triple(trained.get("mean") or open_clip.OPENAI_DATASET_MEAN),
        std=_triple(trained.get("std") or open_clip.OPENAI_DATASET_STD),
        interpolation=trained.get("interpolation") or "bicubic",
        openai=tag == OPENAI and options.checkpoint is not None,
    )


def load_model(source: ClipSource) -> tuple[nn.Module, bool]:
    """Build the network, on the CPU in single precision, and put the weights into it.

    Returns:
        The network in evaluation mode, and whether its activation is QuickGELU.

    Raises:
        DffError: the file cannot be read or is of another architecture, or open_clip lacks what
            this model needs.
    """
    _refuse_programs(source.path)
    tensors = read_weights(source.path, "clip")
    quick_gelu = bool(source.config.get("quick_gelu")) or _trained_with_quick_gelu(source, tensors)
    config = {**source.config, "quick_gelu": quick_gelu}
    for name, value in tensors.items():
        tensors[name] = value.float() if value.is_floating_point() else value
    with torch.device("meta"):
        # Memory holds the weights once, and no time goes to values that are thrown away.
        model = build_model(source.model, config)
    hollow = not _fill_masks(model)
    if hollow:
        model = build_model(source.model, config)
    tensors = fitting_names(tensors, model)
    load_strictly(model, tensors, source.path, UNUSED, assign=not hollow)
    return model.eval().requires_grad_(False), quick_gelu


def _fill_masks(model: nn.Module) -> bool:
    """Give a network on the meta device its causal masks, the one thing files do not hold.

    Returns:
        False if there is something else that files do not hold, and it has to be built again.
    """
    kept = model.state_dict()
    missing = [name for name, _ in model.named_buffers() if name not in kept]
    for name in missing:
        path, _, last = name.rpartition(".")
        if last != "attn_mask":
            return False
        owner = model.get_submodule(path)
        shape = owner.get_buffer(last).shape
        mask = torch.full(shape, float("-inf")).triu(1)
        owner.register_buffer(last, mask, persistent=False)
    return True


def build_model(name: str, config: Mapping[str, Any]) -> nn.Module:
    """A network of open_clip by its architecture, not trained and without asking the network.

    Raises:
        DffError: open_clip lacks what this model needs.
    """
    given = {key: value for key, value in config.items() if key != "custom_text"}
    vision, text = dict(given["vision_cfg"]), dict(given["text_cfg"])
    if "timm_model_name" in vision:
        vision["timm_model_pretrained"] = False
    if "hf_model_name" in text:
        text["hf_model_pretrained"] = False
    given |= {"vision_cfg": vision, "text_cfg": text}
    # Classes as open_clip's create_model chooses them.
    kind: Any = open_clip.CLIP
    if config.get("custom_text") or "hf_model_name" in text:
        kind = open_clip.CoCa if "multimodal_cfg" in given else open_clip.CustomTextCLIP
    elif "multimodal_cfg" in given:
        kind = open_clip.CoCa
    try:
        return kind(**given)
    except (RuntimeError, ImportError, OSError, TypeError, ValueError, AttributeError) as error:
        raise DffError(
            f"open_clip {_version()} cannot build '{name}': {one_line(error)}"
        ) from error


def fitting_names(tensors: Mapping[str, Tensor], model: nn.Module) -> dict[str, Tensor]:
    """Weights by the names that a model has, where files of other versions have them differently.

    The prefix ``module.`` of parallel training goes; the text tower moves under ``text.`` for
    classes that keep it there; scale and bias of the logits get the model's shape.
    """
    fitting = dict(tensors)
    if all(name.startswith("module.") for name in fitting):
        fitting = {name.removeprefix("module."): value for name, value in fitting.items()}
    if hasattr(model, "text") and "text_projection" in fitting:
        fitting = {
            f"text.{name}" if name.startswith(_TEXT_TENSORS) else name: value
            for name, value in fitting.items()
        }
    for name in ("logit_scale", "logit_bias"):
        wanted = getattr(model, name, None)
        if isinstance(wanted, Tensor) and name in fitting and fitting[name].numel() == 1:
            fitting[name] = fitting[name].reshape(wanted.shape)
    return fitting


def _trained_with_quick_gelu(source: ClipSource, tensors: Mapping[str, Tensor]) -> bool:
    """Whether the weights want QuickGELU though the model's name does not say so.

    'openai' is the default name, so a file given with it need not be OpenAI's. Theirs were
    published in half precision: what does not survive rounding to it is not theirs, and then the
    model's name decides, as open_clip itself does for a file.
    """
    if not source.quick_gelu or not source.openai:
        return source.quick_gelu
    first = next((value for name, value in tensors.items() if name.endswith("conv1.weight")), None)
    if first is None or torch.equal(first.half().to(first.dtype), first):
        return True
    if not source.config.get("quick_gelu"):
        warnings.warn(
            f"{source.path} does not hold OpenAI's weights: GELU is used, as '{source.model}' says;"
            " say what it holds by --teacher.clip.pretrained, or name a model ending in -quickgelu",
            stacklevel=2,
        )
    return False


def _from_hub(model: str, tag: str, trained: Mapping[str, Any]) -> Path:
    """The weights file from the Hugging Face cache, else fetched into it."""
    repository, _, name = str(trained.get("hf_hub") or "").rpartition("/")
    if not repository:
        raise DffError(
            f"open_clip {_version()} has the weights '{tag}' of {model} as a program only: install "
            "open_clip_torch 2.30 or newer, or give a file by --teacher.checkpoint"
        )
    names = (Path(name).with_suffix(".safetensors").name, name) if name else HUB_FILES
    return hub_file(repository, names, f"weights '{tag}' of CLIP {model}")


def _refuse_programs(path: Path) -> None:
    """OpenAI's own downloads are TorchScript: they run code when read."""
    if path.suffix != ".safetensors" and zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            program = any(name.endswith("constants.pkl") for name in archive.namelist())
        if program:
            raise DffError(
                f"{path} is a TorchScript program, as OpenAI published its weights: give the same "
                f"weights as open_clip has them ({HUB_FILES[0]}), or a state_dict"
            )


def _near(name: str, known: Sequence[str]) -> str:
    lower = {each.lower(): each for each in known}
    near = [lower[each] for each in difflib.get_close_matches(name.lower(), lower, n=3, cutoff=0.4)]
    return f": did you mean {' or '.join(near)}?" if near else f"; known: {', '.join(known[:12])}"


def _triple(values: Sequence[float]) -> tuple[float, float, float]:
    return cast("tuple[float, float, float]", tuple(float(value) for value in values))


def _version() -> str:
    return str(getattr(open_clip, "__version__", ""))
