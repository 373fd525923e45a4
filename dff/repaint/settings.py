"""What can be chosen about a repainting: on the command line as ``--training.steps 500``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, get_args, get_type_hints

from dff.errors import DffError

# Pictures that InstructPix2Pix takes have sides of whole blocks of this many pixels.
BLOCK = 8


@dataclass(frozen=True)
class Within:
    """The range of an option, both ends included."""

    low: float
    high: float


def check_ranges(prefix: str, settings: object) -> None:
    """Refuse options out of their range.

    Args:
        prefix: of their names on the command line, as ``--training``.
        settings: a dataclass, in which a number with a range is ``Annotated[..., Within(...)]``.

    Raises:
        DffError: naming the option and its range.
    """
    for name, hint in get_type_hints(type(settings), include_extras=True).items():
        for limits in get_args(hint)[1:]:
            if isinstance(limits, Within):
                value = getattr(settings, name)
                if not limits.low <= value <= limits.high:
                    option = f"{prefix}.{name.replace('_', '-')}"
                    raise DffError(
                        f"{option} must be from {limits.low:g} to {limits.high:g}, not {value:g}"
                    )


@dataclass(frozen=True)
class TrainingSettings:
    """How the paint is trained."""

    steps: Annotated[int, Within(1, 1_000_000)] = 300
    """Steps in all."""
    learning_rate: Annotated[float, Within(1e-6, 1.0)] = 0.01
    """Of the texture at the first step; a tenth of it for the copy of the colour network. Both fall
    to a tenth until the last step."""
    texture: bool = True
    """Train a small hash grid of colour offsets too; without it, the colour network alone."""
    preserve: Annotated[float, Within(0.0, 1e6)] = 1.0
    """Weight of the loss that keeps the surroundings where they share pixels with the selection."""
    seed: Annotated[int, Within(0, 2**63 - 1)] = 0
    """Of every random choice."""
    save_every: Annotated[int, Within(1, 1_000_000)] = 25
    """Steps between saves: what a run that is killed can lose."""
    preview_every: Annotated[int, Within(0, 1_000_000)] = 50
    """Steps between preview pictures (before | now); 0 writes none."""

    def validate(self) -> None:
        """See `check_ranges`."""
        check_ranges("--training", self)

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

    cameras: Annotated[int, Within(1, 10_000)] = 32
    """Random cameras around the selection, each rendered once and then kept."""
    size: Annotated[int, Within(8, 2048)] = 112
    """Pixels along each side of what they see."""
    augmentations: Annotated[int, Within(1, 1024)] = 4
    """Crops, with perspective and with other backgrounds, that CLIP sees in a step."""

    def validate(self) -> None:
        """See `check_ranges`."""
        check_ranges("--patches", self)


@dataclass(frozen=True)
class EditorOptions:
    """How an image-editing model is used."""

    model: str = "timbrooks/instruct-pix2pix"
    """Repository on the Hugging Face hub, or a folder with the pipeline in it."""
    guidance_scale: Annotated[float, Within(0.0, 100.0)] = 7.5
    """How much the words count."""
    image_guidance_scale: Annotated[float, Within(1.0, 100.0)] = 1.5
    """How much the picture as it was counts; at least 1."""
    num_inference_steps: Annotated[int, Within(1, 1000)] = 20
    """Denoising steps for each picture."""
    every: Annotated[int, Within(1, 1_000_000)] = 10
    """Steps of training after which one more picture is edited."""
    views: Annotated[int, Within(1, 100_000)] = 20
    """Training views that take part, spread evenly over those with the selection in the frame."""
    size: Annotated[int, Within(BLOCK, 4096)] = 512
    """Pixels of the longer side of the pictures."""
    rays: Annotated[int, Within(1, 1 << 24)] = 4096
    """Pixels that are compared in a step."""

    def validate(self) -> None:
        """See `check_ranges`."""
        check_ranges("--editor", self)
