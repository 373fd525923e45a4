"""The two networks of the mini teacher: an image encoder and a text encoder."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

STRIDE = 4
MULTIPLE = 32


class _Residual(nn.Module):
    """Two 3 x 3 convolutions around a shortcut."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.norm1(self.conv1(x)), inplace=True)
        return F.relu(x + self.norm2(self.conv2(y)), inplace=True)


def _conv(inputs: int, outputs: int, kernel: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )


class ImageEncoder(nn.Module):
    """A small convolutional pyramid down to stride 32 and back up to stride 4.

    Args:
        dim: width of the output.
        widths: channels at strides 4, 8, 16 and 32.
        blocks: residual blocks at each of them.
        lateral: channels on the way back up.
        stem: channels at stride 2.
    """

    def __init__(
        self,
        dim: int = 64,
        widths: Sequence[int] = (32, 64, 128, 128),
        blocks: Sequence[int] = (0, 1, 2, 1),
        lateral: int = 64,
        stem: int = 24,
    ) -> None:
        super().__init__()
        self.stem = _conv(12, stem, 3)
        stages, inputs = [], stem
        for width, count in zip(widths, blocks, strict=True):
            stages.append(
                nn.Sequential(_conv(inputs, width, 3, 2), *(_Residual(width) for _ in range(count)))
            )
            inputs = width
        self.stages = nn.ModuleList(stages)
        self.laterals = nn.ModuleList(nn.Conv2d(width, lateral, 1) for width in widths[1:])
        self.smooth = nn.ModuleList(_conv(lateral, lateral, 3) for _ in widths[1:-1])
        self.fine = nn.Conv2d(lateral, lateral * 4, 1)
        self.detail = nn.Conv2d(widths[0], lateral, 1)
        self.norm = nn.BatchNorm2d(lateral)
        self.head = nn.Conv2d(lateral, dim, 1)

    def forward(self, image: Float[Tensor, "batch 3 height width"]) -> Tensor:
        """Features before normalisation, (batch, dim, height / 4, width / 4).

        Args:
            image: sRGB in [0, 1]; height and width multiples of 32.
        """
        x = self.stem(F.pixel_unshuffle((image - 0.45) * 4.0, 2))
        levels = []
        for stage in self.stages:
            x = stage(x)
            levels.append(x)
        y = self.laterals[-1](levels[-1])
        for lateral, smooth, level in zip(
            reversed(self.laterals[:-1]), self.smooth, reversed(levels[1:-1]), strict=True
        ):
            y = F.interpolate(y, scale_factor=2.0, mode="bilinear", align_corners=False)
            y = smooth(F.relu(y + lateral(level)))
        y = F.pixel_shuffle(self.fine(y), 2) + self.detail(levels[0])
        return self.head(F.relu(self.norm(y)))


class TextEncoder(nn.Module):
    """Embeds phrases of known words: the sum of their vectors and a small learned correction.

    Args:
        words: number of words; word ``words`` is padding.
        dim: width of the output.
        hidden: width of the correction's hidden layer.
    """

    def __init__(self, words: int, dim: int = 64, hidden: int = 128) -> None:
        super().__init__()
        self.words = words
        start = torch.zeros(words + 1, dim)
        nn.init.orthogonal_(start[: min(words, dim)])
        self.table = nn.Parameter(start)
        last = nn.Linear(hidden, dim)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        self.correct = nn.Sequential(nn.Linear(dim, hidden), nn.GELU(), last)

    def forward(self, tokens: Int[Tensor, "phrases length"]) -> Float[Tensor, "phrases dim"]:
        """Unit vectors of phrases given as word numbers, padded with ``words``."""
        present = (tokens < self.words).float().unsqueeze(-1)
        total = (self.table[tokens] * present).sum(1)
        return F.normalize(total + self.correct(total), dim=-1)
