"""What can be chosen about a teacher: on the command line as ``--teacher.clip.variant sclip``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

DEFAULT_TEMPLATES: tuple[str, ...] = ("{}",)


@dataclass(frozen=True)
class LSegOptions:
    """CLIP-LSeg (arXiv 2201.03546)."""

    checkpoint: Path | None = None
    """The authors' released checkpoint, demo_e200.ckpt."""
    long_side: int = 480
    """Pixels of an image's longer side when it enters the network, rounded to 32."""
    grid: int = 72
    """Cells along the longer side of the map that is kept."""
    multi_scale: bool = False
    """The published inference at scales .75 1 1.25 1.75 with flips, crop 480: 35 times slower."""


@dataclass(frozen=True)
class DinoOptions:
    """DINO, DINOv2 and DINOv3 (arXiv 2104.14294, 2304.07193), or any other ViT of timm."""

    checkpoint: Path | None = None
    """Weights; by default timm's for the model, from the Hugging Face cache."""
    model: str = "vit_small_patch8_224.dino"
    """Name in timm (vit_small_patch14_reg4_dinov2.lvd142m, vit_small_patch16_dinov3.lvd1689m)."""
    layer: int = -1
    """Block whose features are taken, from 0; -1 is the last."""
    facet: Literal["token", "key", "query", "value"] = "token"
    """Output of the block, or keys, queries or values inside its attention."""
    stride: int | None = None
    """Pixels between patches; less than the patch size makes them overlap, for a finer map."""
    long_side: int = 448
    """Pixels of an image's longer side when it enters the network, rounded to the stride."""


@dataclass(frozen=True)
class ClipOptions:
    """Dense features of any CLIP of open_clip."""

    checkpoint: Path | None = None
    """Weights; by default those that `pretrained` names, from the Hugging Face cache."""
    model: str = "ViT-B-16"
    """Name of the model in open_clip (e.g. ViT-L-14-336)."""
    pretrained: str = "openai"
    """open_clip's name of the weights; beside a checkpoint, it says how those were trained."""
    variant: Literal["maskclip", "sclip", "naclip", "clearclip"] = "maskclip"
    """What the attention of the last block is replaced by."""
    long_side: int = 448
    """Pixels of an image's longer side when it enters the network."""
    window: int | None = None
    """Pixels of a sliding window's side (e.g. 336); by default the whole image enters at once."""


@dataclass(frozen=True)
class PrecomputedOptions:
    """Maps that were computed elsewhere."""

    folder: Path | None = None
    """Folder with a map for each image: .npy, .pt or .safetensors, named after the image."""
    text: str | None = None
    """Teacher whose text tower the maps belong to (e.g. lseg); by default there is no text."""
    layout: Literal["auto", "chw", "hwc"] = "auto"
    """Order of a map's axes; auto goes by the file's name, the text tower's length or an axis far
    longer than the others, and asks where it cannot tell."""
    grid: int | None = 72
    """Cells along the longer side of the map that is kept, if it is larger; none keeps all."""


@dataclass(frozen=True)
class TeacherOptions:
    """Options of the teachers, by name; those of teachers that are not used mean nothing."""

    checkpoint: Path | None = None
    """Weights of the teacher, where there is one teacher only."""
    templates: tuple[str, ...] = DEFAULT_TEMPLATES
    """Sentences to put a text query into, {} being its place; their embeddings are averaged."""
    lseg: LSegOptions = LSegOptions()
    """CLIP-LSeg."""
    dino: DinoOptions = DinoOptions()
    """DINO and its successors."""
    clip: ClipOptions = ClipOptions()
    """Dense CLIP."""
    precomputed: PrecomputedOptions = PrecomputedOptions()
    """Maps from a folder."""
    own: tuple[str, ...] = ()
    """key=value pairs for a teacher that another package brings."""


DEFAULT_OPTIONS = TeacherOptions()
