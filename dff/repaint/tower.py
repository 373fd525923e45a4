"""Any CLIP of open_clip as a judge of whole pictures, with a gradient for their colours."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import open_clip
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from dff.errors import DffError
from dff.repaint.settings import TowerOptions
from dff.teachers.clip import checked_tokens, tokenizer_named
from dff.teachers.clip_weights import HUB_FILES, ClipSource, find_source, load_model
from dff.teachers.hub import one_line
from dff.teachers.options import ClipOptions

FOLDER_CONFIG = "open_clip_config.json"


class Judge(Protocol):
    """What sees pictures and reads words, and puts both in one space.

    Attributes:
        size: height and width of the pictures it takes.
    """

    size: tuple[int, int]

    def pictures(self, pictures: Float[Tensor, "n 3 H W"]) -> Float[Tensor, "n D"]:
        """Unit embeddings of pictures in [0, 1], differentiable."""
        ...

    def words(self, phrases: Sequence[str]) -> Float[Tensor, "n D"]:
        """Unit embeddings of phrases."""
        ...


class ClipJudge:
    """A network with open_clip's interface.

    Args:
        model: with ``encode_image``, ``encode_text`` and ``visual.image_size``; its weights stay.
        tokenizer: as open_clip's: texts, and a length, to token numbers.
        mean, std: of the channels in its training.
        device: where to compute.
        name: of the model, for error messages.
    """

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        mean: Sequence[float],
        std: Sequence[float],
        device: str | torch.device = "cpu",
        name: str = "CLIP",
    ) -> None:
        self._model = model.to(device).eval().requires_grad_(False)
        self._tokenizer = tokenizer
        self._mean, self._std = (
            torch.tensor(list(each), device=device)[:, None, None] for each in (mean, std)
        )
        self._name = name
        side = model.visual.image_size
        self.size = (int(side[0]), int(side[1])) if isinstance(side, Sequence) else (side, side)

    def pictures(self, pictures: Float[Tensor, "n 3 H W"]) -> Float[Tensor, "n D"]:
        """See `Judge`."""
        x = (pictures.to(self._mean) - self._mean) / self._std
        return F.normalize(self._model.encode_image(x).float(), dim=-1)

    @torch.no_grad()
    def words(self, phrases: Sequence[str]) -> Float[Tensor, "n D"]:
        """See `Judge`.

        Raises:
            DffError: a phrase is longer than the text tower reads.
        """
        tokens = checked_tokens(self._tokenizer, list(phrases), self._name)
        return F.normalize(self._model.encode_text(tokens.to(self._mean.device)).float(), dim=-1)


def find_tower(options: TowerOptions) -> ClipSource:
    """Check the names and find the weights, before anything slow is done.

    Raises:
        DffError: there is no such model, or its weights are not on this machine.
    """
    if options.checkpoint is not None and options.checkpoint.is_dir():
        return _of_folder(options.checkpoint)
    try:
        return find_source(
            ClipOptions(
                checkpoint=options.checkpoint, model=options.model, pretrained=options.pretrained
            )
        )
    except DffError as error:
        # The same weights are a teacher's elsewhere, where they are given by other options.
        said = str(error).replace(" (in ns-train --pipeline.teacher.checkpoint)", "")
        said = said.replace("--teacher.checkpoint", "--clip.checkpoint")
        raise DffError(said.replace("teacher 'clip'", "dff repaint")) from error


def load_tower(source: ClipSource, device: str | torch.device = "cpu") -> ClipJudge:
    """Read the weights that `find_tower` found.

    Raises:
        DffError: the file cannot be read or is of another architecture, or there is no tokenizer.
    """
    model, _ = load_model(source)
    return ClipJudge(model, _tokenizer(source), source.mean, source.std, device, source.model)


def _of_folder(folder: Path) -> ClipSource:
    """A model in the layout in which open_clip publishes them."""
    path = folder / FOLDER_CONFIG
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        config, images = dict(data["model_cfg"]), dict(data.get("preprocess_cfg") or {})
        shape = config["embed_dim"], config["vision_cfg"], config["text_cfg"]
        mean = images.get("mean") or open_clip.OPENAI_DATASET_MEAN
        std = images.get("std") or open_clip.OPENAI_DATASET_STD
        colours = [tuple(float(value) for value in each) for each in (mean, std)]
        if not all(shape) or any(len(each) != 3 for each in colours):
            raise ValueError("incomplete")
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise DffError(
            f"{folder} holds no model of open_clip: it needs {FOLDER_CONFIG} and {HUB_FILES[0]}"
        ) from error
    weights = next((folder / name for name in HUB_FILES if (folder / name).is_file()), None)
    if weights is None:
        raise DffError(f"{folder} holds no weights: put {HUB_FILES[0]} into it")
    return ClipSource(
        model=str(folder),
        config=config,
        path=weights,
        quick_gelu=bool(config.get("quick_gelu")),
        mean=(colours[0][0], colours[0][1], colours[0][2]),
        std=(colours[1][0], colours[1][1], colours[1][2]),
        interpolation=str(images.get("interpolation") or "bicubic"),
        openai=False,
    )


def _tokenizer(source: ClipSource) -> Any:
    """open_clip's tokenizer of a named model, or of one in a folder."""
    if source.path.parent != Path(source.model):
        return tokenizer_named(source.model)
    text = source.config["text_cfg"]
    try:
        if text.get("hf_tokenizer_name"):
            return open_clip.get_tokenizer(f"local-dir:{source.model}")
        return open_clip.SimpleTokenizer(context_length=int(text.get("context_length", 77)))
    except Exception as error:
        # Another package, which may be missing, and whatever it raises.
        raise DffError(
            f"the text of {source.model} needs the package transformers and its tokenizer's files "
            f"in that folder: {one_line(error)}"
        ) from error
