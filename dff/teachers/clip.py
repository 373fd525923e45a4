"""Teacher `clip`: dense features of any ViT of open_clip, with its text tower."""

from __future__ import annotations

import difflib
import warnings
from collections.abc import Sequence
from typing import Any

import open_clip
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from dff.errors import DffError
from dff.teachers.base import Teacher, check_image
from dff.teachers.clip_attention import VARIANTS
from dff.teachers.clip_towers import dense_tower
from dff.teachers.clip_weights import ClipSource, find_source, load_model
from dff.teachers.hub import cached_file, is_reachable, one_line
from dff.teachers.options import DEFAULT_TEMPLATES, ClipOptions
from dff.teachers.prompts import PromptEncoder
from dff.teachers.sliding_window import average_windows
from dff.teachers.weights_file import fingerprint

PREPROCESSING = 1
SHOWN = 40  # characters of a text that is too long


class ClipTeacher(Teacher):
    """Features of patches in the space of CLIP's text tower; see `clip_attention` for the variants.

    An image is resized so that its longer side is `ClipOptions.long_side` and both sides are whole
    patches, its shape kept as well as patches allow; position embeddings are interpolated to that
    grid. With `ClipOptions.window` the network sees windows of that side, half a window apart, and
    a cell's feature is the mean over the windows that cover it.

    Args:
        model: a CLIP of open_clip in evaluation mode.
        source: what it is.
        options: how it is used.
        fingerprint: hash of weights and preprocessing.
        device: where to compute.
        templates: of text prompts.

    Raises:
        DffError: for an image tower that has no features of patches, or options out of range.
    """

    name = "clip"

    def __init__(
        self,
        model: nn.Module,
        source: ClipSource,
        options: ClipOptions,
        fingerprint: str = "",
        device: str | torch.device = "cpu",
        templates: Sequence[str] = DEFAULT_TEMPLATES,
    ) -> None:
        check_options(options)
        self._device = torch.device(device)
        self._model: Any = model.to(self._device).eval().requires_grad_(False)
        self._source = source
        self._options = options
        self._tower = dense_tower(self._model.visual, options.variant, source.model)
        self._window = _window(options, self._tower.patch)
        self._prompts = PromptEncoder(self._encode_sentences, templates)
        self._tokenizer: Any = None
        self.dim = int(source.config["embed_dim"])
        self.logit_scale = float(self._model.logit_scale.exp())
        self.fingerprint = fingerprint

    @staticmethod
    def load(
        options: ClipOptions,
        device: str | torch.device = "cpu",
        templates: Sequence[str] = DEFAULT_TEMPLATES,
    ) -> ClipTeacher:
        """Finds the weights, then builds the network around them.

        Raises:
            DffError: unknown names, no weights, a file that cannot be read or is of another
                architecture, options out of range.
        """
        check_options(options)
        source = find_source(options)
        model, quick_gelu = load_model(source)
        described = (
            f"clip {PREPROCESSING} {source.model} {quick_gelu} {options.variant} "
            f"{options.long_side} {options.window} {source.mean} {source.std} "
            f"{source.interpolation}"
        )
        digest = fingerprint(model.state_dict(), described)
        teacher = ClipTeacher(model, source, options, digest, device, templates)
        teacher._warn_without_tokenizer()
        return teacher

    @property
    def has_text(self) -> bool:
        """True: every CLIP has a text tower."""
        return True

    def grid_shape(self, height: int, width: int) -> tuple[int, int]:
        """The (h, w) of the feature map of an image of this height and width in pixels."""
        rows, columns = (
            max(1, round(side * self._options.long_side / max(height, width) / patch))
            for side, patch in zip((height, width), self._tower.patch, strict=True)
        )
        return rows, columns

    @torch.no_grad()
    def encode_image(
        self, image: Float[Tensor, "height width 3"]
    ) -> Float[Tensor, "grid_height grid_width dim"]:
        """Unit features of an sRGB image in [0, 1]; see `Teacher.encode_image`."""
        check_image(image)
        rows, columns = self.grid_shape(image.shape[0], image.shape[1])
        size = (rows * self._tower.patch[0], columns * self._tower.patch[1])
        x = image.to(self._device, torch.float32).permute(2, 0, 1)[None]
        x = F.interpolate(
            x, size, mode=self._source.interpolation, align_corners=False, antialias=True
        ).clamp(0, 1)  # bicubic overshoots at edges
        return self.encode_batch(x)[0]

    @torch.no_grad()
    def encode_batch(
        self, images: Float[Tensor, "batch 3 height width"]
    ) -> Float[Tensor, "batch grid_height grid_width dim"]:
        """Unit features of images of one size, encoded at the size they have.

        Args:
            images: sRGB in [0, 1]; height and width whole patches.
        """
        x = images.to(self._device, torch.float32)
        mean, std = (
            x.new_tensor(each)[:, None, None] for each in (self._source.mean, self._source.std)
        )
        x = (x - mean) / std
        if self._window is None:
            features = self._tower(x)
        else:
            features = average_windows(self._tower, x, self._tower.patch, self._window)
        return F.normalize(features.float(), dim=-1).contiguous()

    @torch.no_grad()
    def encode_text(self, phrases: Sequence[str]) -> Float[Tensor, "phrases dim"]:
        """Unit embeddings of phrases; see `Teacher.encode_text`."""
        return self._prompts(phrases)

    def _encode_sentences(self, sentences: list[str]) -> Tensor:
        if self._tokenizer is None:
            self._tokenizer = tokenizer_named(self._source.model)
        tokens = checked_tokens(self._tokenizer, sentences, self._source.model)
        return self._model.encode_text(tokens.to(self._device))

    def _warn_without_tokenizer(self) -> None:
        """Say at once that text will not work; features of images do."""
        try:
            self._tokenizer = tokenizer_named(self._source.model)
        except DffError as error:
            warnings.warn(f"text queries will not work: {error}", stacklevel=3)


def check_options(options: ClipOptions) -> None:
    """Whether options make sense, before anything slow is done.

    Raises:
        DffError: an unknown variant, or a size that is not positive.
    """
    if options.variant not in VARIANTS:
        near = difflib.get_close_matches(options.variant, VARIANTS, n=1, cutoff=0.4)
        hint = f" (did you mean '{near[0]}'?)" if near else ""
        raise DffError(
            f"there is no variant '{options.variant}' of CLIP{hint}; known: {', '.join(VARIANTS)}"
        )
    if options.long_side < 1:
        raise DffError(f"--teacher.clip.long-side must be at least 1, not {options.long_side}")
    if options.window is not None and options.window < 1:
        raise DffError(f"--teacher.clip.window must be at least 1, not {options.window}")


def checked_tokens(tokenizer: Any, sentences: list[str], model: str) -> Tensor:
    """Token numbers of sentences, none of them cut off.

    Args:
        tokenizer: one of open_clip's, which cut off silently.
        sentences: what to encode.
        model: its name, for error messages.

    Raises:
        DffError: a sentence has more tokens than the text tower reads.
    """
    tokens = tokenizer(sentences)
    length = tokens.shape[1]
    # With more room the first tokens are the same, unless something had to go.
    cut = (tokenizer(sentences, length + 1)[:, :length] != tokens).any(dim=1)
    if cut.any():
        sentence = sentences[int(cut.nonzero()[0])]
        shown = sentence if len(sentence) <= SHOWN else f"{sentence[:SHOWN]}..."
        raise DffError(
            f"the text query '{shown}' has more than the {length} tokens that {model} reads "
            "(start and end included): shorten it"
        )
    return tokens


def tokenizer_named(model: str) -> Any:
    """open_clip's tokenizer of a model; of SigLIP and others it is one of the Hugging Face hub."""
    config = open_clip.get_model_config(model) or {}
    wanted = config.get("text_cfg", {}).get("hf_tokenizer_name")
    reason: Exception | None = None
    if not wanted or cached_file(wanted, "tokenizer_config.json") or is_reachable():
        try:
            return open_clip.get_tokenizer(model)
        except Exception as error:
            # Another package, which may be missing, and whatever it and the network raise.
            reason = error
    raise DffError(
        f"the text of '{model}' needs the package transformers and the tokenizer {wanted} in the "
        f"Hugging Face cache (HF_HOME){'' if reason is None else f': {one_line(reason)}'}"
    ) from reason


def _window(options: ClipOptions, patch: tuple[int, int]) -> tuple[int, int] | None:
    """Height and width of a window in patches, the nearest to what was asked for."""
    if options.window is None:
        return None
    rows, columns = (max(1, round(options.window / side)) for side in patch)
    return rows, columns
