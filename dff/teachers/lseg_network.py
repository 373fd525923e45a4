"""The network of CLIP-LSeg (arXiv 2201.03546), its tensors named as its authors name them.

A ViT of timm gives tokens after four of its blocks; a decoder in the manner of DPT (arXiv
2103.13413) makes them into features per pixel, in the space of CLIP's text tower (open_clip's).
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from open_clip import CLIP, CLIPTextCfg, CLIPVisionCfg
from torch import Tensor, nn

from dff.errors import DffError
from dff.teachers.lseg_layers import Backbone, Decoder, doubled
from dff.teachers.lseg_shape import LSegShape


class LSegNetwork(nn.Module):
    """See the module's docstring.

    A new network holds every tensor of the published one. To run, it needs those that
    `drop_unused` leaves; put it to evaluation, for its batch norms.

    Args:
        shape: its sizes.
    """

    def __init__(self, shape: LSegShape | None = None) -> None:
        super().__init__()
        self.shape = shape or LSegShape()
        self.clip_pretrained = _clip(self.shape)
        self.pretrained = Backbone(self.shape)
        self.scratch = Decoder(self.shape)

    def forward(
        self, images: Float[Tensor, "batch 3 height width"]
    ) -> Float[Tensor, "batch dim height width"]:
        """Features per pixel as published, before they are normalised.

        Args:
            images: sRGB minus 0.5, divided by 0.5; sides multiples of 32.

        Raises:
            DffError: another shape.
        """
        # The two doublings, linear and the same for each channel, may come after the head.
        return doubled(doubled(self.embed(self.quarter(images))))

    def quarter(
        self, images: Float[Tensor, "batch 3 height width"]
    ) -> Float[Tensor, "batch features height/4 width/4"]:
        """The decoder's last features before anything that acts on channels or pixels alone.

        ``doubled(doubled(embed(quarter(images))))`` is the network's output. `embed` is affine and
        commutes with the doublings and with any average over pixels: taken first, an average costs
        a hundredth of what it would on the output.

        Raises:
            DffError: images of another shape, or sides that are no multiples of 32.
        """
        multiple = self.shape.multiple
        if images.ndim != 4 or images.shape[1] != 3 or 0 in images.shape:
            raise DffError(f"LSeg takes images of shape (B, 3, H, W), not {tuple(images.shape)}")
        if images.shape[2] % multiple or images.shape[3] % multiple:
            raise DffError(
                f"LSeg takes images whose sides are multiples of {multiple}, "
                f"not {images.shape[2]}x{images.shape[3]}"
            )
        return self.scratch(self.pretrained(images))

    def embed(
        self, x: Float[Tensor, "batch features height width"]
    ) -> Float[Tensor, "batch dim height width"]:
        """From the decoder's features to CLIP's space: its last two 1x1 convolutions."""
        return self.scratch.head1(self.scratch.get_submodule("refinenet1.out_conv")(x))

    def encode_text(self, tokens: Int[Tensor, "batch context"]) -> Float[Tensor, "batch dim"]:
        """Embeddings of sentences, any length, by CLIP's text tower."""
        return self.clip_pretrained.encode_text(tokens)

    def drop_unused(self) -> None:
        """Forget the tensors that are in the checkpoint and take no part in the results."""
        del self.clip_pretrained.visual
        del self.clip_pretrained.logit_scale  # the published logit scale is a constant
        self.pretrained.model.norm = nn.Identity()
        self.pretrained.model.head = nn.Identity()
        self.scratch.get_submodule("refinenet4").resConfUnit1 = nn.Identity()

    def fill_constants(self) -> None:
        """Make what is in no checkpoint; for a network that was built on the meta device."""
        context = self.shape.clip.context
        self.clip_pretrained.attn_mask = torch.full((context, context), float("-inf")).triu(1)


def _clip(shape: LSegShape) -> CLIP:
    """OpenAI's CLIP: open_clip's own module, with the sigmoid approximation of GELU it had."""
    sizes = shape.clip
    vision = CLIPVisionCfg(
        layers=sizes.vision_layers,
        width=sizes.vision_width,
        head_width=sizes.vision_head,
        patch_size=sizes.vision_patch,
        image_size=sizes.vision_size,
    )
    text = CLIPTextCfg(
        context_length=sizes.context,
        vocab_size=sizes.vocabulary,
        width=sizes.width,
        heads=sizes.heads,
        layers=sizes.layers,
    )
    return CLIP(shape.dim, vision, text, quick_gelu=True)
