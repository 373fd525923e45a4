"""Sizes of LSeg's network: those of the released checkpoint, or smaller ones."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ClipShape:
    """Sizes of the CLIP whose text tower is used; the defaults are ViT-B/32.

    Attributes:
        context: tokens of a sentence, start and end included.
        vocabulary: tokens known.
        width, heads, layers: of the text tower.
        vision_width, vision_layers, vision_head, vision_patch, vision_size: of the image tower,
            which is in the checkpoint and not used.
    """

    context: int = 77
    vocabulary: int = 49408
    width: int = 512
    heads: int = 8
    layers: int = 12
    vision_width: int = 768
    vision_layers: int = 12
    vision_head: int = 64
    vision_patch: int = 32
    vision_size: int = 224


@dataclass(frozen=True)
class LSegShape:
    """Sizes of the network; the defaults are those of the released checkpoint.

    Attributes:
        size: pixels of the square image that the position embedding was made for.
        patch: pixels of a patch's side.
        width, heads: of the ViT.
        taps: blocks whose outputs are decoded, from 0; the last is the last block.
        classes: of the ViT's classifier, which is in the checkpoint and not used.
        levels: channels of the taps when they enter the decoder.
        features: channels in the decoder.
        dim: length of a feature, CLIP's too.
        clip: sizes of CLIP.
    """

    size: int = 384
    patch: int = 16
    width: int = 1024
    heads: int = 16
    taps: tuple[int, int, int, int] = (5, 11, 17, 23)
    classes: int = 1000
    levels: tuple[int, int, int, int] = (256, 512, 1024, 1024)
    features: int = 256
    dim: int = 512
    clip: ClipShape = ClipShape()

    @property
    def multiple(self) -> int:
        """What an input's sides must be multiples of: the coarsest level is a half patch grid."""
        return 2 * self.patch
