"""What can be chosen about a repainting: on the command line as ``--training.steps 500``."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from dff.errors import DffError

# Pictures that InstructPix2Pix takes have sides of whole blocks of this many pixels.
BLOCK = 8


@dataclass(frozen=True)
class TrainingSettings:
    """How the paint is trained."""

    steps: int = 300
    """Steps in all."""
    learning_rate: float = 0.01
    """Of the texture at the first step; a tenth of it for the copy of the colour network. Both fall
    to a tenth until the last step."""
    texture: bool = True
    """Train a small hash grid of colour offsets too; without it, the colour network alone."""
    preserve: float = 1.0
    """Weight of the loss that keeps the surroundings where they share pixels with the selection."""
    seed: int = 0
    """Of every random choice."""
    save_every: int = 25
    """Steps between saves: what a run that is killed can lose."""
    preview_every: int = 50
    """Steps between preview pictures (before | now); 0 writes none."""

    def validate(self) -> None:
        """Refuse what is out of range.

        Raises:
            DffError: naming the option and its range.
        """
        check("--training.steps", self.steps, 1, 1_000_000)
        check("--training.learning-rate", self.learning_rate, 1e-6, 1.0)
        check("--training.preserve", self.preserve, 0.0, 1e6)
        check("--training.seed", self.seed, 0, 2**63 - 1)
        check("--training.save-every", self.save_every, 1, 1_000_000)
        check("--training.preview-every", self.preview_every, 0, 1_000_000)

    def rate(self, step: int) -> float:
        """Learning rate of the texture: ``rate * 0.1 ** (step / steps)``."""
        return self.learning_rate * 0.1 ** (step / self.steps)


@dataclass(frozen=True)
class TowerOptions:
    """Which CLIP judges."""

    model: str = "ViT-B-32"
    """Name of the model in open_clip."""
    pretrained: str = "openai"
    """open_clip's name of the weights; beside a checkpoint, it says how those were trained."""
    checkpoint: Path | None = None
    """A weights file, or a folder with open_clip_config.json and weights, as open_clip publishes
    models (then it also says which model); by default the weights are in the Hugging Face cache."""


@dataclass(frozen=True)
class PatchSettings:
    """What CLIP is shown."""

    cameras: int = 32
    """Random cameras around the selection, each rendered once and then kept."""
    size: int = 112
    """Pixels along each side of what they see."""
    augmentations: int = 4
    """Crops, with perspective and with other backgrounds, that CLIP sees in a step."""

    def validate(self) -> None:
        """Refuse what is out of range.

        Raises:
            DffError: naming the option and its range.
        """
        check("--patches.cameras", self.cameras, 1, 10_000)
        check("--patches.size", self.size, 8, 2048)
        check("--patches.augmentations", self.augmentations, 1, 1024)


@dataclass(frozen=True)
class EditorOptions:
    """How an image-editing model is used."""

    model: str = "timbrooks/instruct-pix2pix"
    """Repository on the Hugging Face hub, or a folder with the pipeline in it."""
    guidance_scale: float = 7.5
    """How much the words count."""
    image_guidance_scale: float = 1.5
    """How much the picture as it was counts; at least 1."""
    num_inference_steps: int = 20
    """Denoising steps for each picture."""
    every: int = 10
    """Steps of training after which one more picture is edited."""
    views: int = 20
    """Training views that take part, spread evenly over those with the selection in the frame."""
    size: int = 512
    """Pixels of the longer side of the pictures."""
    rays: int = 4096
    """Pixels that are compared in a step."""

    def validate(self) -> None:
        """Refuse what is out of range.

        Raises:
            DffError: naming the option and its range.
        """
        check("--editor.guidance-scale", self.guidance_scale, 0.0, 100.0)
        check("--editor.image-guidance-scale", self.image_guidance_scale, 1.0, 100.0)
        check("--editor.num-inference-steps", self.num_inference_steps, 1, 1000)
        check("--editor.every", self.every, 1, 1_000_000)
        check("--editor.views", self.views, 1, 100_000)
        check("--editor.size", self.size, BLOCK, 4096)
        check("--editor.rays", self.rays, 1, 1 << 24)


def check(name: str, value: float, low: float, high: float) -> None:
    """Refuse a number out of its range.

    Raises:
        DffError: naming the option and its range.
    """
    if not math.isfinite(value) or not low <= value <= high:
        raise DffError(f"{name} must be from {low:g} to {high:g}, not {value:g}")
