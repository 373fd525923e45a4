"""Dense features of timm's vision transformers: any block, tokens or keys, any grid of patches."""

from __future__ import annotations

from typing import Any, Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from dff.errors import DffError

Facet = Literal["token", "key", "query", "value"]
_NEEDED = ("patch_embed", "blocks", "norm", "num_prefix_tokens")


class VitFeatures(nn.Module):
    """Patch features of one block.

    With ``stride`` below the patch size neighbouring patches overlap (as in arXiv 2112.05814) and
    the image is extended at its borders by ``(patch - stride) / 2`` repeated pixels, so that patch
    (i, j) is centred on cell (i, j) of side ``stride``. Where that is half a pixel more than a
    whole number (patch 14, stride 7), patches are cut from the image as it is half a pixel further
    on, by cubic convolution (Keys 1981, a = -1/2).

    Args:
        vit: a ``VisionTransformer`` or ``Eva`` of timm, made with ``dynamic_img_size`` where its
            positions are rotations kept for one grid.
        layer: block, counted from 0, or from the end where negative.
        facet: ``token``: what the block gives, after the network's final norm if it is the last
            block; ``key``, ``query``, ``value``: of the block's attention, heads side by side,
            before any rotation by position.
        stride: pixels between patches; None is the patch size.

    Raises:
        DffError: it is no such network, layer or stride are out of range, or its positions are
            counted in patches and these overlap.
    """

    def __init__(
        self, vit: nn.Module, layer: int = -1, facet: Facet = "token", stride: int | None = None
    ) -> None:
        super().__init__()
        name = type(vit).__name__
        projection = getattr(getattr(vit, "patch_embed", None), "proj", None)
        if (
            not isinstance(projection, nn.Conv2d)
            or projection.in_channels != 3
            or not all(hasattr(vit, n) for n in _NEEDED)
            or any("relative_position" in n for n, _ in vit.named_parameters())
        ):
            raise DffError(f"{name} is no vision transformer with one grid of patches: name a ViT")
        if getattr(vit, "dist_token", None) is not None:
            raise DffError(f"{name} has a distillation token, which is not supported: name a ViT")
        self.vit: Any = vit
        blocks = len(self.vit.blocks)
        if not -blocks <= layer < blocks:
            raise DffError(
                f"there is no layer {layer}: the network has {blocks} (0 to {blocks - 1})"
            )
        self.patch = int(projection.kernel_size[0])
        self.stride = self.patch if stride is None else stride
        if not 1 <= self.stride <= self.patch:
            raise DffError(
                f"the stride must be from 1 to the patch size {self.patch}, not {stride}"
            )
        self._check_rope()
        self.layer = layer % blocks
        self.facet: Facet = facet
        if facet not in ("token", "key", "query", "value"):
            raise DffError(f"there is no facet '{facet}': token, key, query or value")
        block = self.vit.blocks[self.layer]
        if facet != "token" and (not hasattr(block, "attn") or "Post" in type(block).__name__):
            raise DffError(
                f"blocks of type {type(block).__name__} do not give the facet '{facet}': use token"
            )

    @property
    def dim(self) -> int:
        """Length of a feature."""
        if self.facet == "token":
            return int(self.vit.embed_dim)
        attention = self.vit.blocks[self.layer].attn
        if getattr(attention, "qkv", None) is None:
            return int(getattr(attention, f"{self.facet[0]}_proj").out_features)
        return int(attention.qkv.out_features) // 3

    def grid_shape(self, height: int, width: int) -> tuple[int, int]:
        """Patches of an image whose sides are multiples of the stride."""
        return height // self.stride, width // self.stride

    def forward(
        self, images: Float[Tensor, "batch 3 height width"]
    ) -> Float[Tensor, "batch grid_height grid_width dim"]:
        """Features of images as the network wants them, not normalised.

        Args:
            images: with the network's mean and deviation; sides are multiples of the stride.
        """
        grid = self.grid_shape(*images.shape[-2:])
        x = self._embed(images, grid)
        rope = self._rope(grid)
        last = len(self.vit.blocks) - 1
        for index, block in enumerate(self.vit.blocks):
            arguments = {} if rope is None else {"rope": rope[index] if self._mixed else rope}
            if index == self.layer and self.facet != "token":
                x = _facet_of(block.attn, block.norm1(x), self.facet)
                break
            x = block(x, **arguments)
            if index == self.layer:
                x = self.vit.norm(x) if index == last else x
                break
        patches = x[:, self.vit.num_prefix_tokens :]
        return patches.reshape(len(images), *grid, -1)

    def _embed(self, images: Tensor, grid: tuple[int, int]) -> Float[Tensor, "batch tokens dim"]:
        embed = self.vit.patch_embed
        edge, odd = divmod(self.patch - self.stride, 2)
        if odd:
            images = _at_corners(images)
        if edge:
            images = F.pad(images, (edge,) * 4, mode="replicate")
        x = F.conv2d(images, embed.proj.weight, embed.proj.bias, stride=self.stride)
        x = embed.norm(x.flatten(2).transpose(1, 2))
        prefix = [
            token.expand(len(x), -1, -1)
            for name in ("cls_token", "reg_token")
            if (token := getattr(self.vit, name, None)) is not None
        ]
        places = self._places(grid)
        if places is not None and getattr(self.vit, "no_embed_class", False):
            x = torch.cat([*prefix, x + places], dim=1)
        else:
            x = torch.cat([*prefix, x], dim=1)
            x = x if places is None else x + places
        norm = getattr(self.vit, "norm_pre", None)
        return x if norm is None else norm(x)

    def _places(self, grid: tuple[int, int]) -> Tensor | None:
        """Position embeddings on a grid, as timm's ``resample_abs_pos_embed`` gives them."""
        trained = getattr(self.vit, "pos_embed", None)
        if trained is None:
            return None
        extra = 0 if getattr(self.vit, "no_embed_class", False) else self.vit.num_prefix_tokens
        own = tuple(self.vit.patch_embed.grid_size)
        if grid == own:
            return trained
        table = trained[:, extra:].reshape(1, *own, -1).permute(0, 3, 1, 2)
        table = F.interpolate(
            table.float(), grid, mode="bicubic", align_corners=False, antialias=True
        )
        table = table.flatten(2).transpose(1, 2).to(trained)
        return torch.cat([trained[:, :extra], table], dim=1)

    @property
    def _mixed(self) -> bool:
        return bool(getattr(self.vit, "rope_mixed", False))

    def _check_rope(self) -> None:
        """Refuse rotations that would be those of other places, without a word."""
        rope = getattr(self.vit, "rope", None)
        kind, name = type(rope).__name__, type(self.vit).__name__
        if kind == "RotaryEmbeddingCat" and getattr(rope, "feat_shape", None) is not None:
            raise DffError(
                f"{name} keeps the positions of one grid only: make it with dynamic_img_size=True"
            )
        # DINOv3 measures places by the image's sides; others count patches of the full stride.
        by_sides = kind == "RotaryEmbeddingDinoV3" and not getattr(rope, "grid_offset", 0)
        if rope is not None and not by_sides and self.stride != self.patch:
            raise DffError(
                f"this {name} counts positions in whole patches: leave the stride at the patch "
                f"size {self.patch}"
            )

    def _rope(self, grid: tuple[int, int]) -> Tensor | None:
        rope = getattr(self.vit, "rope", None)
        return None if rope is None else rope.get_embed(shape=list(grid))


def _facet_of(attention: Any, x: Tensor, facet: Facet) -> Tensor:
    """Keys, queries or values of all tokens, (batch, tokens, dim)."""
    number = ("query", "key", "value").index(facet)
    if getattr(attention, "qkv", None) is None:
        return getattr(attention, f"{facet[0]}_proj")(x)
    x = attention.qkv(x)
    if getattr(attention, "q_bias", None) is not None:
        # EVA keeps the biases apart, and has a fixed one for keys.
        x = x + torch.cat([attention.q_bias, attention.k_bias, attention.v_bias])
    return x.chunk(3, dim=-1)[number]


def _at_corners(images: Tensor) -> Tensor:
    """Images, (..., H, W), at the corners of their pixels: (..., H + 1, W + 1)."""
    wide = F.pad(images, (2,) * 4, mode="replicate")
    return _halfway(_halfway(wide).mT).mT


def _halfway(x: Tensor) -> Tensor:
    """Between neighbours along the last axis, by the two nearest on either side."""
    return (9 * (x[..., 1:-2] + x[..., 2:-1]) - x[..., :-3] - x[..., 3:]) / 16
