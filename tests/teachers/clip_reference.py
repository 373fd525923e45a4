"""Small CLIPs of open_clip, and what each variant gives, worked out on them in double precision."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import open_clip
import torch
import torch.nn.functional as F
from torch import Tensor, nn

CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)
TINY = "dff-tiny"


def tiny_config(**changes) -> dict:
    """A CLIP whose grid is 4 by 4 patches of 8 pixels."""
    vision = {"image_size": 32, "layers": 3, "width": 48, "head_width": 16, "patch_size": 8}
    text = {"context_length": 77, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 2}
    config = {"embed_dim": 24, "vision_cfg": vision, "text_cfg": text}
    config["vision_cfg"] |= changes.pop("vision_cfg", {})
    config["text_cfg"] |= changes.pop("text_cfg", {})
    return config | changes


def register(folder: Path, name: str, config: dict) -> str:
    """Make a name known to open_clip."""
    path = folder / f"{name}.json"
    path.write_text(json.dumps(config))
    open_clip.add_model_config(path)
    return name


def random_model(config: dict, seed: int = 0) -> nn.Module:
    """A network of open_clip, none of whose biases is zero and none of whose norms is one."""
    torch.manual_seed(seed)
    config = json.loads(json.dumps(config))
    kind = open_clip.CustomTextCLIP if config.pop("custom_text", False) else open_clip.CLIP
    kind = open_clip.CoCa if "multimodal_cfg" in config else kind
    model = kind(**config).eval().requires_grad_(False)
    for name, value in model.named_parameters():
        if value.ndim <= 1 and "logit" not in name:
            value += 0.2 * torch.randn_like(value)
        elif "positional_embedding" in name or "pos_embed" in name:
            value += 0.3 * torch.randn_like(value)
    return model


def cubic_matrix(old: int, new: int) -> Tensor:
    """(new, old) weights of bicubic interpolation, a = -0.75, pixel centres at half integers."""

    def kernel(t: float) -> float:
        t, a = abs(t), -0.75
        if t <= 1:
            return (a + 2) * t**3 - (a + 3) * t**2 + 1
        return a * (t**3 - 5 * t**2 + 8 * t - 4) if t < 2 else 0.0

    matrix = torch.zeros(new, old, dtype=torch.float64)
    for i in range(new):
        place = (i + 0.5) * old / new - 0.5
        for j in range(math.floor(place) - 1, math.floor(place) + 3):
            matrix[i, min(max(j, 0), old - 1)] += kernel(place - j)
    return matrix


def resized(table: Tensor, old: tuple[int, int], new: tuple[int, int]) -> Tensor:
    """Position embeddings (rows x columns, width) of patches for another grid, in double."""
    if old == new:
        return table.double()
    image = table.double().reshape(*old, -1)
    rows, columns = cubic_matrix(old[0], new[0]), cubic_matrix(old[1], new[1])
    return torch.einsum("ia,jb,abc->ijc", rows, columns, image).reshape(new[0] * new[1], -1)


def normalised(image: Tensor) -> Tensor:
    """(H, W, 3) in [0, 1] to what a CLIP wants, (1, 3, H, W) in double."""
    return ((image.double() - torch.tensor(CLIP_MEAN)) / torch.tensor(CLIP_STD)).movedim(-1, 0)[
        None
    ]


def reference_features(model: nn.Module, config: dict, image: Tensor, variant: str) -> np.ndarray:
    """Unit features (h, w, D) by open_clip's own network made for the image's size.

    A hook takes what enters the last block; the rest is spelt out.

    Args:
        model: single precision, of `config`.
        image: (H, W, 3) in [0, 1], whole patches.
    """
    height, width = image.shape[:2]
    visual_config = config["vision_cfg"]
    patch = visual_config["patch_size"]
    grid = (height // patch, width // patch)
    sized = json.loads(json.dumps(config))
    sized["vision_cfg"]["image_size"] = (height, width)
    state = {name: value.double() for name, value in model.state_dict().items()}
    table = state["visual.positional_embedding"]
    side = visual_config["image_size"] // patch
    places = resized(table[1:], (side, side), grid)
    state["visual.positional_embedding"] = torch.cat([table[:1], places])
    twin = open_clip.CLIP(**sized).double().eval().requires_grad_(False)
    twin.load_state_dict(state)

    entered: list[Tensor] = []
    block = twin.visual.transformer.resblocks[-1]
    block.register_forward_pre_hook(lambda module, given: entered.append(given[0]))
    twin.visual(normalised(image))
    y = replaced_block(block, entered[0][0], grid, variant)[1:]
    post = twin.visual.ln_post
    y = F.layer_norm(y, y.shape[-1:], post.weight, post.bias, post.eps) @ twin.visual.proj
    y = (y / y.norm(dim=-1, keepdim=True)).reshape(*grid, -1)
    return y.numpy()


def replaced_block(block: nn.Module, x: Tensor, grid: tuple[int, int], variant: str) -> Tensor:
    """The last block on tokens (N, C) of one image, head by head, as the papers have it."""
    attention = block.attn
    heads, width = attention.num_heads, x.shape[-1]
    y = F.layer_norm(x, (width,), block.ln_1.weight, block.ln_1.bias, block.ln_1.eps)
    q, k, v = ((y @ w.T + b) for w, b in _thirds(attention))
    outcome = []
    for head in range(heads):
        part = slice(head * width // heads, (head + 1) * width // heads)
        a, b, c = q[:, part], k[:, part], v[:, part]
        scale = 1 / math.sqrt(a.shape[1])
        weights = {
            "maskclip": lambda: torch.eye(len(x), dtype=x.dtype),
            "sclip": lambda a=a, b=b, s=scale: softmax(a @ a.T * s) + softmax(b @ b.T * s),
            "naclip": lambda b=b, s=scale: softmax(b @ b.T * s + gaussian(grid)),
            "clearclip": lambda a=a, s=scale: softmax(a @ a.T * s),
        }[variant]()
        outcome.append(weights @ c)
    y = torch.cat(outcome, dim=1) @ attention.out_proj.weight.T + attention.out_proj.bias
    if variant != "sclip":
        return y
    x = x + y
    y = F.layer_norm(x, (width,), block.ln_2.weight, block.ln_2.bias, block.ln_2.eps)
    return x + block.mlp(y)


def _thirds(attention: nn.MultiheadAttention) -> list[tuple[Tensor, Tensor]]:
    size = attention.embed_dim
    return [
        (attention.in_proj_weight[i * size :][:size], attention.in_proj_bias[i * size :][:size])
        for i in range(3)
    ]


def softmax(logits: Tensor) -> Tensor:
    powers = torch.exp(logits - logits.max(dim=1, keepdim=True).values)
    return powers / powers.sum(dim=1, keepdim=True)


def gaussian(grid: tuple[int, int]) -> Tensor:
    """NACLIP's addition, pair by pair; token 0 is the class."""
    rows, columns = grid
    addition = torch.zeros(1 + rows * columns, 1 + rows * columns, dtype=torch.float64)
    for i in range(rows * columns):
        for j in range(rows * columns):
            square = (i // columns - j // columns) ** 2 + (i % columns - j % columns) ** 2
            addition[1 + i, 1 + j] = math.exp(-square / (2 * 5.0**2))
    return addition
