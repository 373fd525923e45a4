"""Which ViT of timm is meant, where its weights lie, and a network that holds them."""

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


@dataclass(frozen=True)
class VitSource:
    """A model of timm, built but without weights.

    Attributes:
        name: as the installed timm calls it.
        network: on the CPU, randomly initialised.
        config: timm's record of its weights.
    """

    name: str
    network: nn.Module
    config: Mapping[str, Any]


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
    for suffix in ("_dino", "_mae", "_sam"):
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
    newer = "" if _version() >= (1, 0) else "; DINOv2 and DINOv3 need timm 1.0 or later"
    raise DffError(f"timm {timm.__version__} has no model '{asked}'{hint}{newer}")


def find_source(asked: str) -> VitSource:
    """Build the network that a name means, without weights.

    Raises:
        DffError: timm has no such model, or it cannot be built.
    """
    name = installed_name(asked)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            network = timm.create_model(name, pretrained=False, num_classes=0)
    except (RuntimeError, TypeError, ValueError) as error:
        raise DffError(f"timm cannot build '{name}': {one_line(error)}") from error
    found = getattr(network, "pretrained_cfg", None) or getattr(network, "default_cfg", {})
    config = found if isinstance(found, Mapping) else vars(found)
    return VitSource(name, network.eval(), config)


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
            f"{address} and give it by --teacher.checkpoint, or put it at {cached}"
        ) from error
    return cached


def fill(source: VitSource, path: Path) -> nn.Module:
    """Put weights into the network, every one of them; in timm's names or the authors'.

    Raises:
        DffError: the file cannot be read, or is of another network.
    """
    tensors = {_plain(name): value for name, value in read_weights(path, "dino").items()}
    _check_patches(source, tensors, path)
    convert = getattr(sys.modules[type(source.network).__module__], "checkpoint_filter_fn", None)
    kept = {n: t for n, t in tensors.items() if n == "mask_token" or not _is_unused(n)}
    try:
        # Knows the authors' names of DINOv2, DINOv3 and EVA; leaves its own names alone.
        if convert is not None:
            kept = dict(convert(kept, source.network))
    except (KeyError, RuntimeError, ValueError, TypeError, IndexError, AttributeError) as error:
        raise DffError(f"{path} does not fit {source.name}: {one_line(error)}") from error
    kept = {n: t.float() if t.is_floating_point() else t for n, t in kept.items()}
    load_strictly(source.network, kept, f"{path} for {source.name}", UNUSED)
    return source.network


def _check_patches(source: VitSource, tensors: Mapping[str, Tensor], path: Path) -> None:
    """Refuse other patches: timm's conversion would resample them without a word."""
    wanted = source.network.state_dict()
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
    return tuple(int(part) for part in timm.__version__.split(".")[:2] if part.isdigit())
