"""Pictures edited by InstructPix2Pix (arXiv 2211.09800), through the package diffusers."""

from __future__ import annotations

import importlib
import importlib.util
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from huggingface_hub import snapshot_download
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from dff.errors import DffError
from dff.pictures import resize, to_bytes
from dff.repaint.settings import BLOCK, EditorOptions
from dff.teachers.hub import cached_file, is_reachable, one_line

PIPELINE = "StableDiffusionInstructPix2PixPipeline"


class PictureEditor(Protocol):
    """Edits a picture as words say."""

    def __call__(
        self, picture: Float[Tensor, "h w 3"], words: str, seed: int
    ) -> Float[Tensor, "h w 3"]: ...


class PipelineEditor:
    """An InstructPix2Pix pipeline of diffusers.

    Args:
        pipeline: called as ``StableDiffusionInstructPix2PixPipeline`` is.
        options: how.
    """

    def __init__(self, pipeline: Any, options: EditorOptions) -> None:
        self._pipeline = pipeline
        self._options = options

    def __call__(
        self, picture: Float[Tensor, "h w 3"], words: str, seed: int
    ) -> Float[Tensor, "h w 3"]:
        """The edited picture, on the CPU; the same for the same seed.

        Raises:
            DffError: the model's safety check has blanked the picture.
        """
        height, width = picture.shape[:2]
        rows, columns = (max(1, round(side / BLOCK)) * BLOCK for side in (height, width))
        given = Image.fromarray(to_bytes(resize(picture.detach().cpu(), rows, columns)))
        found = self._pipeline(
            prompt=words,
            image=given,
            num_inference_steps=self._options.num_inference_steps,
            guidance_scale=self._options.guidance_scale,
            image_guidance_scale=self._options.image_guidance_scale,
            # On the CPU noise is the same whatever device it goes to.
            generator=torch.Generator("cpu").manual_seed(seed),
            output_type="pil",
        )
        if any(getattr(found, "nsfw_content_detected", None) or ()):
            raise DffError(
                "the image-editing model's safety check blanked a picture: say it otherwise"
            )
        edited = np.asarray(found.images[0].convert("RGB"), dtype=np.float32) / 255
        return resize(torch.from_numpy(edited), height, width)


def find_editor(options: EditorOptions) -> None:
    """Check that package and weights are there, before anything slow is done.

    Raises:
        DffError: which of them is not, and how it is had.
    """
    missing = [
        name for name in ("diffusers", "transformers") if importlib.util.find_spec(name) is None
    ]
    if missing:
        raise DffError(
            f"--by instruct-pix2pix needs the package {' and '.join(missing)}: "
            "pip install 'dff[repaint]'"
        )
    if Path(options.model).is_dir():
        if not (Path(options.model) / "model_index.json").is_file():
            raise DffError(f"{options.model} holds no pipeline of diffusers (model_index.json)")
        return
    if cached_file(options.model, "model_index.json") is None and not is_reachable():
        raise DffError(
            f"weights of {options.model}: not on this machine, and they cannot be fetched; give a "
            "folder by --editor.model, or put them into the Hugging Face cache (HF_HOME)"
        )


def load_editor(options: EditorOptions, device: str | torch.device = "cpu") -> PipelineEditor:
    """The pipeline, on a device, in half precision where that is CUDA.

    Raises:
        DffError: it cannot be loaded.
    """
    find_editor(options)
    kind = torch.float16 if torch.device(device).type == "cuda" else torch.float32
    try:
        place = options.model
        if not Path(place).is_dir() and not is_reachable():
            place = snapshot_download(place, local_files_only=True)
        pipeline = getattr(importlib.import_module("diffusers"), PIPELINE).from_pretrained(
            place, torch_dtype=kind
        )
        pipeline = pipeline.to(device)
        pipeline.set_progress_bar_config(disable=True)
    except Exception as error:
        # Another package, and whatever it, the network and the files raise.
        raise DffError(f"cannot load {options.model}: {one_line(error)}") from error
    return PipelineEditor(pipeline, options)
