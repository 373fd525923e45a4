"""CLIP-LSeg, the language-aligned teacher of the paper: see `LSegTeacher`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from dff.errors import DffError
from dff.teachers.base import Teacher, check_image
from dff.teachers.lseg_checkpoint import PREFIX, read_network
from dff.teachers.lseg_multi_scale import SCALES, scaled_size, windows
from dff.teachers.lseg_resampling import apply_to_axes, cell_average, doubled_twice
from dff.teachers.lseg_shape import LSegShape
from dff.teachers.options import DEFAULT_TEMPLATES, LSegOptions
from dff.teachers.prompts import PromptEncoder
from dff.teachers.weights_file import fingerprint, load_strictly

if TYPE_CHECKING:
    from dff.teachers.lseg_network import LSegNetwork

PREPROCESSING = 1
LOGIT_SCALE = 1 / 0.07  # a constant in the published code; the checkpoint's is that of CLIP alone


class LSegTeacher(Teacher):
    """CLIP-LSeg (arXiv 2201.03546) with the weights its authors released.

    By default an image enters whole, its longer side at 480 pixels and both rounded to multiples
    of 32. Features per pixel are averaged over the cells of the map, then normalised; see
    `lseg_multi_scale` for the published, slower way.

    Args:
        network: trained; it is put to evaluation and frozen.
        options: how images enter and leave it.
        digest: hash of weights and preprocessing.
        device: where to compute.
        templates: sentences for text queries; see `PromptEncoder`.

    Raises:
        DffError: options that make no sense.
    """

    name = "lseg"
    logit_scale = LOGIT_SCALE

    def __init__(
        self,
        network: LSegNetwork,
        options: LSegOptions,
        digest: str = "",
        device: str | torch.device = "cpu",
        templates: Sequence[str] = DEFAULT_TEMPLATES,
    ) -> None:
        from dff.teachers.lseg_text import tokenise

        _check(options)
        self._device = torch.device(device)
        self._options = options
        self.network = network.to(self._device).eval().requires_grad_(False)
        self.dim = network.shape.dim
        self.fingerprint = digest

        def embed(sentences: list[str]) -> Tensor:
            tokens = tokenise(sentences, network.shape.clip.context)
            return self.network.encode_text(tokens.to(self._device))

        self._prompts = PromptEncoder(embed, templates)

    @staticmethod
    def load(
        options: LSegOptions,
        device: str | torch.device = "cpu",
        templates: Sequence[str] = DEFAULT_TEMPLATES,
        shape: LSegShape | None = None,
    ) -> LSegTeacher:
        """Reads a checkpoint with every one of its ``net.*`` tensors, and no other.

        Memory holds the weights once.

        Args:
            options: ``checkpoint`` says where it is.
            device, templates: see the class.
            shape: sizes of the network; by default the released one's.

        Raises:
            DffError: no checkpoint, a damaged one, or one of another network.
        """
        _check(options)
        tensors = read_network(options.checkpoint)
        # Not before the file is there: timm and open_clip take seconds.
        from dff.teachers.lseg_network import LSegNetwork

        with torch.device("meta"):
            network = LSegNetwork(shape)
        load_strictly(_AsInLightning(network), tensors, str(options.checkpoint))
        network.fill_constants()
        network.drop_unused()
        entry = f"scales {SCALES}" if options.multi_scale else f"long side {options.long_side}"
        digest = fingerprint(
            network.state_dict(), f"lseg {PREPROCESSING} {entry} grid {options.grid}"
        )
        return LSegTeacher(network, options, digest, device, templates)

    @property
    def has_text(self) -> bool:
        """True: CLIP ViT-B/32's text tower, in the same checkpoint."""
        return True

    def grid_shape(self, height: int, width: int) -> tuple[int, int]:
        """The (h, w) of the feature map of an image of this height and width in pixels."""
        return scaled_size(height, width, self._options.grid)

    @torch.no_grad()
    def encode_image(
        self, image: Float[Tensor, "height width 3"]
    ) -> Float[Tensor, "grid_height grid_width dim"]:
        """Unit features of an sRGB image in [0, 1]; see `Teacher.encode_image`."""
        check_image(image)
        x = image.to(self._device, torch.float32).movedim(-1, 0)
        grid = self.grid_shape(x.shape[1], x.shape[2])
        cells = self._many_windows(x, grid) if self._options.multi_scale else self._whole(x, grid)
        features = self.network.embed(cells[None])[0].movedim(0, -1)
        return F.normalize(features, dim=-1).contiguous()

    @torch.no_grad()
    def encode_text(self, phrases: Sequence[str]) -> Float[Tensor, "phrases dim"]:
        """Unit embeddings of phrases; see `Teacher.encode_text`."""
        return self._prompts(phrases)

    def _whole(self, image: Tensor, grid: tuple[int, int]) -> Tensor:
        """Averages over cells of the decoder's features for the whole image at once."""
        size = self._inner_size(image.shape[1], image.shape[2])
        resized = F.interpolate(
            image[None], size, mode="bilinear", align_corners=False, antialias=True
        ).clamp(0, 1)
        features = self.network.quarter(_normalised(resized))[0]
        rows, columns = (
            cell_average(cells, pixels) @ doubled_twice(pixels // 4)
            for cells, pixels in zip(grid, size, strict=True)
        )
        return apply_to_axes(features, rows, columns)

    def _many_windows(self, image: Tensor, grid: tuple[int, int]) -> Tensor:
        """The same by the published multi-scale inference."""
        total = image.new_zeros(self.network.shape.features, *grid)
        for window in windows(_normalised(image), grid):
            pair = torch.stack((window.image, window.image.flip(-1)))
            straight, mirrored = self.network.quarter(pair)
            features = (straight + mirrored.flip(-1)) / 2
            total = total + apply_to_axes(features, window.rows, window.columns)
        return total / len(SCALES)

    def _inner_size(self, height: int, width: int) -> tuple[int, int]:
        """Size in pixels at which an image enters: what the network takes, nearly its shape."""
        multiple = self.network.shape.multiple
        factor = self._options.long_side / max(height, width) / multiple
        return (
            max(1, round(height * factor)) * multiple,
            max(1, round(width * factor)) * multiple,
        )


class _AsInLightning(nn.Module):
    """A network under its name in the checkpoint; takes tensors over instead of copying them."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.add_module(PREFIX.rstrip("."), network)

    def load_state_dict(
        self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = True
    ) -> Any:
        return super().load_state_dict(state_dict, strict, assign)


def _normalised(image: Tensor) -> Tensor:
    """From [0, 1] to mean 0.5 and standard deviation 0.5."""
    return (image - 0.5) / 0.5


def _check(options: LSegOptions) -> None:
    for name, value in (("long_side", options.long_side), ("grid", options.grid)):
        if value < 1:
            raise DffError(f"--teacher.lseg.{name} must be at least 1, not {value}")
