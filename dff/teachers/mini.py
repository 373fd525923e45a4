"""The mini teacher: a small language-aligned segmentation network that ships with the package.

It was trained on generated pictures by ``tools/train_mini_teacher.py`` and knows a closed
vocabulary: sixteen things, eleven colours, six materials, phrases of these ("red metal mug"), table
and background.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from dff.errors import DffError
from dff.teachers.base import Teacher, check_image
from dff.teachers.mini_network import MULTIPLE, STRIDE, ImageEncoder, TextEncoder
from dff.teachers.mini_vocabulary import Vocabulary, pad_tokens

DEFAULT_WEIGHTS = Path(__file__).parent / "weights" / "mini.safetensors"
PREPROCESSING = 1


@dataclass(frozen=True)
class MiniConfig:
    """Shape of the networks and how an image reaches them.

    Attributes:
        dim, widths, blocks, lateral, stem: see `ImageEncoder`.
        long_side: pixels of an image's longer side when it enters the encoder.
        logit_scale: what cosine similarity is multiplied with.
        scales: an image is looked at in each of these sizes, relative to ``long_side``, and the
            mean of the features taken.
        mirrored: whether it is looked at in a mirror as well.
    """

    dim: int = 64
    widths: tuple[int, ...] = (32, 64, 128, 160)
    blocks: tuple[int, ...] = (0, 1, 3, 1)
    lateral: int = 64
    stem: int = 24
    long_side: int = 320
    logit_scale: float = 16.0
    scales: tuple[float, ...] = (1.0,)
    mirrored: bool = False

    def encoder(self) -> ImageEncoder:
        """An image encoder of this shape, not trained."""
        return ImageEncoder(self.dim, self.widths, self.blocks, self.lateral, self.stem)


class MiniTeacher(Teacher):
    """See the module's docstring.

    Args:
        encoder, text: trained networks; they are put to evaluation and frozen.
        vocabulary: the words the text encoder knows.
        config: the shape they have.
        fingerprint: hash of the weights.
        device: where to compute.
    """

    name = "mini"

    def __init__(
        self,
        encoder: ImageEncoder,
        text: TextEncoder,
        vocabulary: Vocabulary,
        config: MiniConfig,
        fingerprint: str = "",
        device: str | torch.device = "cpu",
    ) -> None:
        self._device = torch.device(device)
        self._encoder = encoder.to(self._device).eval().requires_grad_(False)
        self._text = text.to(self._device).eval().requires_grad_(False)
        self._config = config
        self.vocabulary = vocabulary
        self.dim = config.dim
        self.logit_scale = config.logit_scale
        self.canonical_phrases = vocabulary.canonical
        self.known_names = vocabulary.names
        self.fingerprint = fingerprint

    @staticmethod
    def load(path: Path = DEFAULT_WEIGHTS, device: str | torch.device = "cpu") -> MiniTeacher:
        """Reads a weights file.

        Raises:
            DffError: if it is missing, damaged, or of another shape than it says.
        """
        tensors, metadata = _read(path)
        try:
            fields: dict[str, Any] = {
                k: tuple(v) if isinstance(v, list) else v
                for k, v in json.loads(metadata["config"]).items()
            }
            config = MiniConfig(**fields)
            vocabulary = Vocabulary.from_json(metadata["vocabulary"])
            encoder = config.encoder()
            text = TextEncoder(len(vocabulary.words), config.dim)
            for prefix, module in (("encoder.", encoder), ("text.", text)):
                state = {
                    k[len(prefix) :]: v.float() if v.is_floating_point() else v
                    for k, v in tensors.items()
                    if k.startswith(prefix)
                }
                module.load_state_dict(state)
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            reason = str(error).splitlines()[0]
            raise DffError(
                f"{path} does not hold weights of the mini teacher ({reason}); "
                "reinstall dff or train them with tools/train_mini_teacher.py"
            ) from error
        return MiniTeacher(
            encoder, text, vocabulary, config, _fingerprint(tensors, metadata), device
        )

    def save(self, path: Path, *, half: bool = True) -> None:
        """Writes a weights file that `load` reads; in half precision unless told otherwise."""
        tensors = {}
        for prefix, module in (("encoder.", self._encoder), ("text.", self._text)):
            for key, value in module.state_dict().items():
                small = value.half() if half and value.is_floating_point() else value
                tensors[prefix + key] = small.cpu().contiguous()
        metadata = {
            "config": json.dumps(asdict(self._config)),
            "vocabulary": self.vocabulary.to_json(),
        }
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(path.name + ".part")
        save_file(tensors, part, metadata)
        part.replace(path)

    @property
    def has_text(self) -> bool:
        """True: it has a text tower, for the words it knows."""
        return True

    def grid_shape(self, height: int, width: int) -> tuple[int, int]:
        """The (h, w) of the feature map of an image of this height and width in pixels."""
        inner = self._inner_size(height, width)
        return inner[0] // STRIDE, inner[1] // STRIDE

    def _inner_size(self, height: int, width: int) -> tuple[int, int]:
        """Size in pixels at which an image enters the encoder: whole cells, nearly its shape."""
        factor = self._config.long_side / max(height, width)
        return (
            max(STRIDE, STRIDE * round(height * factor / STRIDE)),
            max(STRIDE, STRIDE * round(width * factor / STRIDE)),
        )

    @torch.no_grad()
    def encode_image(
        self, image: Float[Tensor, "height width 3"]
    ) -> Float[Tensor, "grid_height grid_width dim"]:
        """Unit features of an sRGB image in [0, 1]; see `Teacher.encode_image`."""
        check_image(image)
        height, width = self._inner_size(image.shape[0], image.shape[1])
        x = image.to(self._device, torch.float32).permute(2, 0, 1)[None]
        x = F.interpolate(
            x, (height, width), mode="bilinear", align_corners=False, antialias=True
        ).clamp(0, 1)
        return self.encode_batch(x)[0]

    @torch.no_grad()
    def encode_batch(
        self, images: Float[Tensor, "batch 3 height width"]
    ) -> Float[Tensor, "batch grid_height grid_width dim"]:
        """Unit features at stride 4 of images of one size, encoded at the size they have.

        Args:
            images: sRGB in [0, 1]; height and width multiples of 4.
        """
        total = torch.zeros((), device=self._device)
        for scale in self._config.scales:
            for mirrored in sorted({False, self._config.mirrored}):
                total = total + self._view(images, scale, mirrored)
        return F.normalize(total, dim=1).permute(0, 2, 3, 1).contiguous()

    def _view(self, images: Tensor, scale: float, mirrored: bool) -> Tensor:
        """Unit features (B, D, h, w) on the grid of the images, of what is seen at that scale."""
        grid = (images.shape[-2] // STRIDE, images.shape[-1] // STRIDE)
        x = images.flip(-1) if mirrored else images
        if scale != 1:
            size = tuple(max(STRIDE, STRIDE * round(scale * cells)) for cells in grid)
            x = F.interpolate(x, size, mode="bilinear", align_corners=False, antialias=True)
        height, width = x.shape[-2:]
        x = F.pad(x, (0, -width % MULTIPLE, 0, -height % MULTIPLE), mode="replicate")
        y = self._encoder(x.contiguous(memory_format=torch.channels_last)).float()
        y = F.normalize(y[:, :, : height // STRIDE, : width // STRIDE], dim=1)
        y = y.flip(-1) if mirrored else y
        if y.shape[-2:] != grid:
            y = F.interpolate(y, grid, mode="bilinear", align_corners=False, antialias=True)
        return y

    @torch.no_grad()
    def encode_text(self, phrases: Sequence[str]) -> Float[Tensor, "phrases dim"]:
        """Unit embeddings of phrases of known words; see `Teacher.encode_text`."""
        if isinstance(phrases, str) or not phrases:
            raise DffError("a text query needs a list of at least one phrase")
        rows = [self.vocabulary.tokens(phrase) for phrase in phrases]
        padded = pad_tokens(rows, len(self.vocabulary.words))
        return self._text(torch.tensor(padded, device=self._device))


def _read(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    if not path.is_file():
        raise DffError(
            f"weights of the mini teacher are missing: {path}; reinstall dff or train them with "
            "tools/train_mini_teacher.py"
        )
    try:
        with safe_open(str(path), framework="pt") as file:
            return {key: file.get_tensor(key) for key in file.keys()}, file.metadata() or {}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError) as error:
        raise DffError(
            f"{path} is damaged ({error}); reinstall dff or train it with "
            "tools/train_mini_teacher.py"
        ) from error


def _fingerprint(tensors: dict[str, Tensor], metadata: dict[str, str]) -> str:
    digest = hashlib.sha256(f"mini {PREPROCESSING} {sorted(metadata.items())}".encode())
    for key in sorted(tensors):
        digest.update(f"{key} {tuple(tensors[key].shape)} {tensors[key].dtype}".encode())
        digest.update(tensors[key].contiguous().numpy().tobytes())
    return digest.hexdigest()
