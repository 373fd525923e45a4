"""Image towers of open_clip, asked for a feature of each patch where they give one of the image."""

from __future__ import annotations

import abc
from typing import Any

import open_clip.timm_model
import open_clip.transformer
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from dff.errors import DffError
from dff.teachers.clip_attention import VARIANTS, Variant


class DenseTower(abc.ABC):
    """An image tower that gives a feature, in the space of text, for each patch.

    Attributes:
        patch: height and width of a patch in pixels.
    """

    patch: tuple[int, int]

    @abc.abstractmethod
    def __call__(
        self, images: Float[Tensor, "batch 3 height width"]
    ) -> Float[Tensor, "batch grid_height grid_width dim"]:
        """Features, not normalised, of normalised images whose sides are whole patches."""


class ClassTokenTower(DenseTower):
    """open_clip's own ViT (CLIP, OpenCLIP, MetaCLIP, CoCa ...), its last block replaced.

    All blocks but the last are the tower's own. Of the last one, `Variant` says what is left; the
    class token stays among the tokens that are attended to. Then come the final norm and the
    projection, as for the class token. A tower with attention pooling (CoCa) keeps all its blocks
    and gives the value path of the pooling instead.

    Args:
        visual: an ``open_clip.transformer.VisionTransformer`` in evaluation mode.
        variant: of the last block.
    """

    def __init__(self, visual: open_clip.transformer.VisionTransformer, variant: Variant) -> None:
        self._visual = visual
        self._variant = variant
        height, width = visual.patch_size
        self.patch = (int(height), int(width))

    def __call__(
        self, images: Float[Tensor, "batch 3 height width"]
    ) -> Float[Tensor, "batch grid_height grid_width dim"]:
        """See `DenseTower`."""
        visual = self._visual
        x, grid = self._embed(images)
        blocks = list(visual.transformer.resblocks)
        pool = visual.attn_pool
        x = self._through(blocks if pool is not None else blocks[:-1], x)
        if pool is not None:
            tokens = _values(pool.attn, pool.ln_k(x))
        else:
            tokens = last_block(blocks[-1], x, grid, self._variant)
        tokens = visual.ln_post(tokens[:, 1:])
        if visual.proj is not None:
            tokens = tokens @ visual.proj
        return tokens.unflatten(1, grid)

    def _embed(self, images: Tensor) -> tuple[Tensor, tuple[int, int]]:
        visual = self._visual
        patches = visual.conv1(images)
        grid = (patches.shape[-2], patches.shape[-1])
        x = patches.flatten(2).transpose(1, 2)
        first = visual.class_embedding.to(x.dtype).expand(len(x), 1, -1)
        table = visual.positional_embedding
        old_height, old_width = visual.grid_size
        places = resized_positions(table[1:], (int(old_height), int(old_width)), grid)
        x = torch.cat([first, x], dim=1) + torch.cat([table[:1], places]).to(x.dtype)
        return visual.ln_pre(visual.patch_dropout(x)), grid

    def _through(self, blocks: list[nn.Module], x: Tensor) -> Tensor:
        # Until 2.26 the blocks of open_clip wanted tokens first and the batch second.
        swapped = not getattr(self._visual.transformer, "batch_first", False)
        x = x.transpose(0, 1) if swapped else x
        for block in blocks:
            x = block(x)
        return x.transpose(0, 1) if swapped else x


class MapTower(DenseTower):
    """A ViT of timm whose head is attention pooling by a learnt query: SigLIP and SigLIP 2.

    The idea of MaskCLIP (arXiv 2112.01071) on the pooling: each patch is pooled alone, so that its
    attention is 1 and only values, output projection, and the MLP with its residual are left.

    Args:
        visual: an ``open_clip.timm_model.TimmModel`` in evaluation mode.
    """

    def __init__(self, visual: open_clip.timm_model.TimmModel) -> None:
        self._trunk: Any = visual.trunk
        self._head = visual.head
        height, width = self._trunk.patch_embed.patch_size
        self.patch = (int(height), int(width))

    def __call__(
        self, images: Float[Tensor, "batch 3 height width"]
    ) -> Float[Tensor, "batch grid_height grid_width dim"]:
        """See `DenseTower`."""
        trunk = self._trunk
        patches = trunk.patch_embed.proj(images)
        grid = (patches.shape[-2], patches.shape[-1])
        x = trunk.patch_embed.norm(patches.flatten(2).transpose(1, 2))
        old_height, old_width = trunk.patch_embed.grid_size
        x = x + resized_positions(trunk.pos_embed[0], (int(old_height), int(old_width)), grid)
        x = trunk.norm_pre(x)
        for block in trunk.blocks:
            x = block(x)
        pool = trunk.attn_pool
        x = pool.proj(pool.kv(trunk.norm(x)).chunk(2, dim=-1)[1])
        if pool.mlp is not None:
            x = x + pool.mlp(pool.norm(x))
        x = self._head(trunk.head(trunk.fc_norm(x)))
        return x.unflatten(1, grid)


def dense_tower(visual: nn.Module, variant: str, model: str) -> DenseTower:
    """The tower of a model, made dense.

    Args:
        visual: the model's image tower.
        variant: a name in `VARIANTS`.
        model: its name, for error messages.

    Raises:
        DffError: this tower has no way to give a feature of a patch, or none by this variant.
    """
    if isinstance(visual, open_clip.transformer.VisionTransformer):
        blocks = visual.transformer.resblocks
        usual = all(isinstance(block.attn, nn.MultiheadAttention) for block in blocks)
        patches = isinstance(visual.conv1, nn.Conv2d)
        two_poolers = getattr(visual, "attn_pool_contrastive", None) is not None
        if usual and patches and not two_poolers:
            if visual.attn_pool is not None:
                _only_values(variant, model)
            return ClassTokenTower(visual, VARIANTS[variant])
    elif isinstance(visual, open_clip.timm_model.TimmModel) and _pools_by_a_map(visual.trunk):
        _only_values(variant, model)
        return MapTower(visual)
    raise DffError(
        f"the image tower of '{model}' cannot give features of patches: choose a ViT of CLIP, "
        "OpenCLIP or SigLIP, such as ViT-B-16 or ViT-L-14-336"
    )


def _pools_by_a_map(trunk: nn.Module) -> bool:
    pool = getattr(trunk, "attn_pool", None)
    return (
        type(trunk).__name__ == "VisionTransformer"
        and getattr(trunk, "num_prefix_tokens", 1) == 0
        and getattr(trunk, "pos_embed", None) is not None
        and pool is not None
        and isinstance(getattr(pool, "kv", None), nn.Linear)
        and getattr(pool, "pos_embed", None) is None
    )


def _only_values(variant: str, model: str) -> None:
    if variant != "maskclip":
        raise DffError(
            f"variant '{variant}' replaces the attention that a class token takes part in; "
            f"'{model}' pools by attention: use --teacher.clip.variant maskclip"
        )


def last_block(
    block: Any,
    x: Float[Tensor, "batch tokens width"],
    grid: tuple[int, int],
    variant: Variant,
) -> Float[Tensor, "batch tokens width"]:
    """The last block of open_clip's ViT with another attention; see `clip_attention`.

    Args:
        block: an ``open_clip.transformer.ResidualAttentionBlock``.
        x: class token and patches.
        grid: rows and columns of patches.
        variant: what is left of the block.
    """
    attention = block.attn
    qkv = F.linear(block.ln_1(x), attention.in_proj_weight, attention.in_proj_bias)
    q, k, v = (
        part.unflatten(-1, (attention.num_heads, -1)).transpose(1, 2) for part in qkv.chunk(3, -1)
    )
    mixed = variant.attend(q, k, v, grid).transpose(1, 2).flatten(2)
    y = block.ls_1(attention.out_proj(mixed))
    if not variant.whole:
        return y
    y = x + y
    return y + block.ls_2(block.mlp(block.ln_2(y)))


def _values(attention: nn.MultiheadAttention, x: Tensor) -> Tensor:
    """What a token alone would be pooled to: its value through the output projection."""
    if attention.in_proj_weight is not None:
        weight = attention.in_proj_weight.chunk(3)[2]
    else:
        weight = attention.v_proj_weight
    bias = None if attention.in_proj_bias is None else attention.in_proj_bias.chunk(3)[2]
    return attention.out_proj(F.linear(x, weight, bias))


def resized_positions(
    table: Float[Tensor, "old width"], old: tuple[int, int], new: tuple[int, int]
) -> Float[Tensor, "new width"]:
    """Position embeddings of patches for another grid; unchanged for the grid they are of.

    Bicubic with pixel centres at half integers (``align_corners=False``) and without antialiasing,
    so that a finer grid reproduces the embeddings in between rather than smoothing them.

    Args:
        table: row by row.
        old, new: rows and columns.
    """
    if old == new:
        return table
    image = table.unflatten(0, old).permute(2, 0, 1)[None].float()
    image = F.interpolate(image, new, mode="bicubic", align_corners=False, antialias=False)
    return image[0].flatten(1).T.to(table.dtype)
