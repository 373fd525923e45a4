"""Teachers by the short names of the bench, and weights for them that were not trained."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from dff.errors import DffError
from dff.teachers import TeacherOptions


def options_for(teacher: str, checkpoint: Path | None = None) -> tuple[str, TeacherOptions]:
    """A teacher's name and options from ``NAME`` or ``NAME=MODEL``.

    Raises:
        DffError: for a model of a teacher that has only one.
    """
    name, _, model = teacher.partition("=")
    options = TeacherOptions(checkpoint=checkpoint)
    if not model:
        return name, options
    if name == "clip":
        return name, replace(options, clip=replace(options.clip, model=model))
    if name == "dino":
        return name, replace(options, dino=replace(options.dino, model=model))
    raise DffError(f"teacher '{name}' has no models to choose from: write '{name}' alone")


def write_random_weights(teacher: str, path: Path) -> DffError | None:
    """Weights of the full architecture, not trained, as the teacher's published file would be."""
    warnings.simplefilter("ignore")
    torch.manual_seed(0)
    try:
        name, options = options_for(teacher)
        if name not in _NETWORKS:
            raise DffError(f"teacher '{name}' has no network that could be made at random")
        torch.save(_NETWORKS[name](options), path)
    except DffError as error:
        return error
    return None


def _lseg(options: TeacherOptions) -> dict[str, Tensor]:
    from dff.teachers.lseg_network import LSegNetwork

    return {f"net.{name}": value for name, value in LSegNetwork().state_dict().items()}


def _clip(options: TeacherOptions) -> dict[str, Tensor]:
    import open_clip

    from dff.teachers.clip_weights import build_model

    config = open_clip.get_model_config(options.clip.model)
    if config is None:
        raise DffError(f"open_clip has no model '{options.clip.model}'")
    return build_model(options.clip.model, config).state_dict()


def _dino(options: TeacherOptions) -> dict[str, Tensor]:
    import timm

    try:
        return timm.create_model(options.dino.model, pretrained=False, num_classes=0).state_dict()
    except RuntimeError as error:
        raise DffError(f"timm has no model '{options.dino.model}'") from error


_NETWORKS: dict[str, Callable[[TeacherOptions], dict[str, Tensor]]] = {
    "lseg": _lseg,
    "clip": _clip,
    "dino": _dino,
}
