"""A CLIP and an image-editing pipeline without weights, with the interfaces of the real ones."""

from __future__ import annotations

from collections.abc import Sequence
from types import MappingProxyType, SimpleNamespace

import torch
from PIL import Image
from torch import nn

from dff.repaint.tower import ClipJudge

COLOURS = MappingProxyType(
    {
        "red": (0.8, 0.1, 0.1),
        "green": (0.1, 0.7, 0.1),
        "blue": (0.1, 0.1, 0.9),
        "a photo": (0.5, 0.5, 0.5),
    }
)
WORDS = tuple(COLOURS)
SIDE = 16


class ColourClip(nn.Module):
    """A CLIP of open_clip as far as it is asked: an embedding is the mean colour and a constant."""

    def __init__(self) -> None:
        super().__init__()
        self.visual = SimpleNamespace(image_size=SIDE)
        self.scale = nn.Parameter(torch.ones(1))

    def encode_image(self, image: torch.Tensor, normalize: bool = False) -> torch.Tensor:
        mean = image.mean(dim=(2, 3)) * self.scale
        return torch.cat([mean, mean.new_full((len(mean), 1), 0.3)], dim=-1)

    def encode_text(self, text: torch.Tensor, normalize: bool = False) -> torch.Tensor:
        return torch.tensor([(*COLOURS[WORDS[int(row[0])]], 0.3) for row in text])


def tokenize(texts: Sequence[str], context_length: int = 4) -> torch.Tensor:
    tokens = torch.zeros(len(texts), context_length, dtype=torch.long)
    tokens[:, 0] = torch.tensor([WORDS.index(text) for text in texts])
    return tokens


def colour_judge() -> ClipJudge:
    return ClipJudge(ColourClip(), tokenize, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))


class RedPipeline:
    """Called as diffusers' StableDiffusionInstructPix2PixPipeline: the picture turns red.

    Arguments and their defaults are those of its documentation; anything else is a TypeError.
    """

    def __init__(self, flagged: bool = False) -> None:
        self.flagged = flagged
        self.calls: list[dict] = []

    def __call__(
        self,
        prompt=None,
        image=None,
        num_inference_steps=100,
        guidance_scale=7.5,
        image_guidance_scale=1.5,
        negative_prompt=None,
        num_images_per_prompt=1,
        eta=0.0,
        generator=None,
        latents=None,
        prompt_embeds=None,
        negative_prompt_embeds=None,
        ip_adapter_image=None,
        ip_adapter_image_embeds=None,
        output_type="pil",
        return_dict=True,
        callback_on_step_end=None,
        callback_on_step_end_tensor_inputs=("latents",),
        cross_attention_kwargs=None,
    ):
        assert isinstance(image, Image.Image)
        assert image.mode == "RGB"
        assert image.width % 8 == 0
        assert image.height % 8 == 0
        self.calls.append(
            {"prompt": prompt, "size": image.size, "noise": torch.rand(1, generator=generator)}
        )
        red = Image.new("RGB", image.size, (255, 0, 0))
        return SimpleNamespace(images=[red], nsfw_content_detected=[self.flagged])
