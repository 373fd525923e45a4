"""The layers of LSeg's network; tensors are named as its authors name them."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import torch
import torch.nn.functional as F
from timm.models.vision_transformer import Block, VisionTransformer
from torch import Tensor, nn

from dff.teachers.lseg_shape import LSegShape

LEVELS = (1, 2, 3, 4)  # how the authors number the taps, from the finest


def _vit(shape: LSegShape) -> VisionTransformer:
    """The class of timm's ``vit_large_patch16_384``."""
    # Without its blocks at first: older timm computes with tensors when it makes them, which the
    # meta device cannot.
    model = VisionTransformer(
        img_size=shape.size,
        patch_size=shape.patch,
        embed_dim=shape.width,
        depth=0,
        num_heads=shape.heads,
        num_classes=shape.classes,
    )
    model.blocks = nn.Sequential(
        *(
            Block(shape.width, shape.heads, qkv_bias=True, norm_layer=_Norm)
            for _ in range(shape.taps[-1] + 1)
        )
    )
    return model


class _Norm(nn.LayerNorm):
    """As in timm's ViTs."""

    def __init__(self, width: int, **options: Any) -> None:
        super().__init__(width, eps=1e-6, **options)


class Backbone(nn.Module):
    """The ViT and what makes its taps into pictures at strides 4, 8, 16 and 32."""

    def __init__(self, shape: LSegShape) -> None:
        super().__init__()
        self._taps = shape.taps
        self.model = _vit(shape)
        first, second, _, fourth = shape.levels
        resample = (
            nn.ConvTranspose2d(first, first, kernel_size=4, stride=4),
            nn.ConvTranspose2d(second, second, kernel_size=2, stride=2),
            None,
            nn.Conv2d(fourth, fourth, kernel_size=3, stride=2, padding=1),
        )
        for level, channels, layer in zip(LEVELS, shape.levels, resample, strict=True):
            self.add_module(f"act_postprocess{level}", _Reassemble(shape.width, channels, layer))

    def forward(self, images: Tensor) -> list[Tensor]:
        patches = self.model.patch_embed.proj(images)
        grid = (patches.shape[2], patches.shape[3])
        tokens = patches.flatten(2).transpose(1, 2)
        first = self.model.get_parameter("cls_token").expand(len(tokens), -1, -1)
        positions = _positions(self.model.get_parameter("pos_embed"), grid)
        tokens = torch.cat((first, tokens), dim=1) + positions
        taps = []
        for index, block in enumerate(self.model.blocks):
            tokens = block(tokens)
            if index in self._taps:
                taps.append(tokens)
        return [
            self.get_submodule(f"act_postprocess{level}")(tap, grid)
            for level, tap in zip(LEVELS, taps, strict=True)
        ]


def _positions(embedding: Tensor, grid: tuple[int, int]) -> Tensor:
    """Position embedding (1, 1 + n n, C), the class token's first, for another grid."""
    side = round((embedding.shape[1] - 1) ** 0.5)
    picture = embedding[:, 1:].transpose(1, 2).unflatten(2, (side, side))
    picture = F.interpolate(picture, grid, mode="bilinear", align_corners=False)
    return torch.cat((embedding[:, :1], picture.flatten(2).transpose(1, 2)), dim=1)


class _Reassemble(nn.Sequential):
    """Tokens of one block, with the class token read into each, as a picture.

    The published sequence has two steps without weights at places 1 and 2.
    """

    def __init__(self, width: int, channels: int, resample: nn.Module | None) -> None:
        steps = {"0": _Readout(width), "3": nn.Conv2d(width, channels, kernel_size=1)}
        super().__init__(OrderedDict(steps if resample is None else {**steps, "4": resample}))

    def forward(self, tokens: Tensor, grid: tuple[int, int]) -> Tensor:
        readout, *convolutions = self
        x = readout(tokens).transpose(1, 2).unflatten(2, grid)
        for convolution in convolutions:
            x = convolution(x)
        return x


class _Readout(nn.Module):
    """Each patch's token beside the class token, projected."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.project = nn.Sequential(nn.Linear(2 * width, width), nn.GELU())

    def forward(self, tokens: Tensor) -> Tensor:
        patches = tokens[:, 1:]
        return self.project(torch.cat((patches, tokens[:, :1].expand_as(patches)), dim=-1))


class Decoder(nn.Module):
    """Fuses the levels from coarse to fine; gives the finest before its doubling and head."""

    def __init__(self, shape: LSegShape) -> None:
        super().__init__()
        for level, channels in zip(LEVELS, shape.levels, strict=True):
            convolution = nn.Conv2d(channels, shape.features, 3, padding=1, bias=False)
            self.add_module(f"layer{level}_rn", convolution)
        for level in LEVELS:
            self.add_module(f"refinenet{level}", _Fusion(shape.features))
        self.head1 = nn.Conv2d(shape.features, shape.dim, kernel_size=1)

    def forward(self, levels: list[Tensor]) -> Tensor:
        path: Tensor | None = None
        for level, x in reversed(list(zip(LEVELS, levels, strict=True))):
            fusion = self.get_submodule(f"refinenet{level}")
            side = self.get_submodule(f"layer{level}_rn")(x)
            path = fusion(side) if path is None else fusion(path, side)
            if level > 1:
                # Equal to doubling first, at a quarter of the cost.
                path = doubled(fusion.get_submodule("out_conv")(path))
        assert path is not None
        return path


class _Fusion(nn.Module):
    """One step of the decoder without its doubling and last convolution."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.out_conv = nn.Conv2d(features, features, kernel_size=1)
        self.resConfUnit1 = _ResidualUnit(features)
        self.resConfUnit2 = _ResidualUnit(features)

    def forward(self, x: Tensor, side: Tensor | None = None) -> Tensor:
        return self.resConfUnit2(x if side is None else x + self.resConfUnit1(side))


class _ResidualUnit(nn.Module):
    def __init__(self, features: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(features, features, 3, padding=1, bias=False)
        self.conv2 = nn.Conv2d(features, features, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(features)
        self.bn2 = nn.BatchNorm2d(features)

    def forward(self, x: Tensor) -> Tensor:
        y = self.bn1(self.conv1(F.relu(x)))
        return self.bn2(self.conv2(F.relu(y))) + x


def doubled(x: Tensor) -> Tensor:
    """Bilinear x2 that keeps the first and the last pixel, as everywhere in the decoder."""
    return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=True)
