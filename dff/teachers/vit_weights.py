"""Which ViT of timm is meant, where its weights lie, and, those found, a network with them."""

from __future__ import annotations

import difflib
import sys
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import timm
import torch
from torch import Tensor, nn

from dff.errors import DffError
from dff.teachers.hub import hub_file, is_reachable, one_line
from dff.teachers.weights_file import load_strictly, read_weights

HUB_FILES = ("model.safetensors", "pytorch_model.bin")
# What training code writes before the names of the network's tensors.
_PREFIXES = ("module.", "backbone.")
# Heads that are not part of the network, and what only training needs.
UNUSED = ("head.", "head_dist.", "fc_norm.", "dino_head.", "ibot_head.", "mask_token")
# How timm before 0.9 wrote whose weights they are, without a dot.
_OLD_TAGS = ("_dino", "_mae", "_sam")
# Networks that timm had not from the beginning: in their names, since when, and what they are.
_NEWER = (
    ("dinov3", (1, 0, 20), "DINOv3 needs timm 1.0.20"),
    ("reg4_dinov2", (0, 9, 9), "DINOv2 with registers needs timm 0.9.9"),
    ("", (1, 0), "DINOv2 and DINOv3 need timm 1.0"),
)


@dataclass(frozen=True)
class VitSource:
    """A model of timm, known by name but not built.

    Attributes:
        name: as the installed timm calls it.
        config: timm's record of its weights.
    """

    name: str
    config: Mapping[str, Any]

    @property
    def architecture(self) -> str:
        """The name without whose weights they are, the same in every timm."""
        plain = self.name.partition(".")[0]
        return next((plain.removesuffix(old) for old in _OLD_TAGS if plain.endswith(old)), plain)


def installed_name(asked: str) -> str:
    """The name by which the installed timm knows a model.

    timm 0.6 wrote ``vit_small_patch8_224_dino`` for what is ``vit_small_patch8_224.dino`` now;
    either is taken.

    Raises:
        DffError: timm has no such model.
    """
    architecture, _, tag = asked.partition(".")
    candidates = [asked]
    if tag:
        # Never the bare architecture: its weights are others than those that were asked for.
        candidates.append(f"{architecture}_{tag.split('_')[0]}")
    for suffix in _OLD_TAGS:
        if asked.endswith(suffix):
            candidates.append(asked[: -len(suffix)] + "." + suffix[1:])
    tagged = set(_list(pretrained=True))
    plain = set(_list())
    for name in candidates[:1] + candidates[:0:-1]:
        if name in tagged and (name in plain or "." in name):
            return name
    for name in candidates:
        if name in plain:
            return name
    near = difflib.get_close_matches(asked, sorted(tagged | plain), n=3, cutoff=0.6)
    hint = f" (did you mean {' or '.join(near)}?)" if near else ""
    since, what = next((since, what) for part, since, what in _NEWER if part in asked)
    newer = "" if _version() >= since else f"; {what} or later"
    raise DffError(f"timm {timm.__version__} has no model '{asked}'{hint}{newer}")


def find_source(asked: str) -> VitSource:
    """Look up what a name means; nothing is built, however large it is.

    Raises:
        DffError: timm has no such model.
    """
    name = installed_name(asked)
    found = timm.models.get_pretrained_cfg(name)
    if found is None:
        found = {}
    return VitSource(name, found if isinstance(found, Mapping) else vars(found))


def build(source: VitSource) -> nn.Module:
    """The network, on the CPU, randomly initialised and in evaluation mode.

    Raises:
        DffError: timm cannot build it.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                # Where positions are rotations, timm then works them out for any grid.
                network = _create(source.name, dynamic_img_size=True)
            except TypeError:
                network = _create(source.name)
    except (RuntimeError, TypeError, ValueError) as error:
        raise DffError(f"timm cannot build '{source.name}': {one_line(error)}") from error
    return network.eval()


def _create(name: str, **more: Any) -> nn.Module:
    return timm.create_model(name, pretrained=False, num_classes=0, **more)


def weights_path(source: VitSource, checkpoint: Path | None) -> Path:
    """The weights file of a model.

    Raises:
        DffError: the file that is given is not there; or none is, and it is neither in the cache
            nor to be had.
    """
    if checkpoint is not None:
        if not checkpoint.is_file():
            raise DffError(f"teacher 'dino' wants weights at {checkpoint}: there is no such file")
        return checkpoint
    what = f"teacher 'dino' needs the weights of {source.name}"
    repository = source.config.get("hf_hub_id")
    if repository:
        own = source.config.get("hf_hub_filename")
        return hub_file(str(repository), [own] if own else HUB_FILES, what)
    address = source.config.get("url")
    if not address:
        raise DffError(f"{what}, and timm knows none: give a file by --teacher.checkpoint")
    cached = Path(torch.hub.get_dir()) / "checkpoints" / str(address).rsplit("/", 1)[-1]
    if cached.is_file():
        return cached
    try:
        if not is_reachable():
            raise OSError("no network")
        cached.parent.mkdir(parents=True, exist_ok=True)
        torch.hub.download_url_to_file(str(address), str(cached))
    except OSError as error:
        raise DffError(
            f"{what}: not on this machine, and it cannot be fetched ({one_line(error)}); get "
            f"{address} and give it by --teacher.checkpoint (in ns-train "
            f"--pipeline.teacher.checkpoint), or put it at {cached}"
        ) from error
    return cached


def fill(network: nn.Module, source: VitSource, path: Path) -> None:
    """Put weights into the network, every one of them; in timm's names or the authors'.

    Args:
        network: is changed.
        source: what it is.
        path: of the weights file.

    Raises:
        DffError: the file cannot be read, or is of another network.
    """
    tensors = {_plain(name): value for name, value in read_weights(path, "dino").items()}
    _check_patches(network, source, tensors, path)
    kept = {n: t for n, t in tensors.items() if n == "mask_token" or not _is_unused(n)}
    kept = _with_checked_biases(network, source, kept, path)
    convert = getattr(sys.modules[type(network).__module__], "checkpoint_filter_fn", None)
    try:
        # Knows the authors' names of DINOv2, DINOv3 and EVA; leaves its own names alone.
        if convert is not None:
            kept = dict(convert(kept, network))
    except (KeyError, RuntimeError, ValueError, TypeError, IndexError, AttributeError) as error:
        raise DffError(f"{path} does not fit {source.name}: {one_line(error)}") from error
    kept = {n: t.float() if t.is_floating_point() else t for n, t in kept.items()}
    load_strictly(network, kept, f"{path} for {source.name}", UNUSED)


def _with_checked_biases(
    network: nn.Module, source: VitSource, tensors: Mapping[str, Tensor], path: Path
) -> dict[str, Tensor]:
    """The authors' DINOv3, its attention's biases as they count, or without them if all are 0.

    Their files hold one bias for queries, keys and values and a mask that it is multiplied with,
    0 for keys. timm has no place for keys' biases, and in some models for none; its conversion
    drops what has no place, and the mask.
    """
    fitting = dict(tensors)
    if "storage_tokens" not in tensors:
        return fitting
    own = network.state_dict()
    for name in [name for name in tensors if name.endswith(".qkv.bias")]:
        bias, mask = tensors[name].float(), tensors.get(name + "_mask")
        if mask is not None:
            bias = torch.where(mask == 0, torch.zeros_like(bias), bias * mask)
        if bias.chunk(3)[1].any():
            raise DffError(
                f"{path} does not fit {source.name}: {name!r} is not 0 for keys, which timm has no "
                "place for; give weights that timm has converted"
            )
        if name.replace("qkv.bias", "q_bias") in own:
            fitting[name] = bias
        elif bias.any():
            better = f"{source.architecture}_qkvb"
            better = better if better in _list() else "a model that has them"
            raise DffError(
                f"{path} does not fit {source.name}, which has no biases in its attention, as "
                f"{name!r} is: name {better}"
            )
        else:
            del fitting[name]
    return fitting


def _check_patches(
    network: nn.Module, source: VitSource, tensors: Mapping[str, Tensor], path: Path
) -> None:
    """Refuse other patches: timm's conversion would resample them without a word."""
    wanted = network.state_dict()
    for name in ("patch_embed.proj.weight", "pos_embed"):
        given, own = tensors.get(name), wanted.get(name)
        if given is None or own is None or given.ndim != own.ndim:
            continue
        if name == "pos_embed":
            # The authors' files may keep the class token's place where timm has none.
            same = given.shape[1] - own.shape[1] in (0, 1)
        else:
            same = given.shape[2:] == own.shape[2:]
        if not same:
            raise DffError(
                f"{path} does not fit {source.name}: {name!r} has shape {tuple(given.shape)}, not "
                f"{tuple(own.shape)}; name the model that it belongs to"
            )


def _plain(name: str) -> str:
    for prefix in _PREFIXES:
        name = name.removeprefix(prefix)
    return name


def _is_unused(name: str) -> bool:
    return name in UNUSED or name.startswith(tuple(n for n in UNUSED if n.endswith(".")))


def _list(**more: Any) -> list[str]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return timm.list_models(**more)


def _version() -> tuple[int, ...]:
    return tuple(int(part) for part in timm.__version__.split(".")[:3] if part.isdigit())
