"""LSeg a second time, for the tests: its tensors listed, and its arithmetic written plainly.

Of our modules only the sizes are used: names and shapes come from the list below, the numbers from
functions of torch on a dictionary of tensors, in the type that the tensors have (float64).
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from itertools import product

import torch
import torch.nn.functional as F
from torch import Tensor

from dff.teachers.lseg_shape import ClipShape, LSegShape

# The published network. {layers} counts from 0 up to that size, {1..4} is 1, 2, 3, 4, and a shape's
# side is a product of sizes and numbers.
RELEASED = {
    "context": 77,
    "words": 49408,
    "text": 512,
    "text_layers": 12,
    "vision": 768,
    "vision_layers": 12,
    "vision_patch": 32,
    "vision_positions": 7 * 7 + 1,
    "width": 1024,
    "depth": 24,
    "patch": 16,
    "positions": 24 * 24 + 1,
    "classes": 1000,
    "level1": 256,
    "level2": 512,
    "level3": 1024,
    "level4": 1024,
    "features": 256,
    "dim": 512,
}

# The same names, in a size that takes milliseconds; once as a list of sides, once as we take it.
SMALL = {
    **RELEASED,
    "context": 12,
    "text": 16,
    "text_layers": 2,
    "vision": 32,
    "vision_layers": 1,
    "vision_patch": 16,
    "vision_positions": 5,
    "width": 32,
    "depth": 5,
    "positions": 17,
    "classes": 5,
    "level1": 8,
    "level2": 12,
    "level3": 16,
    "level4": 20,
    "features": 16,
    "dim": 24,
}
SMALL_SHAPE = LSegShape(
    size=64,
    width=32,
    heads=4,
    taps=(0, 1, 3, 4),
    classes=5,
    levels=(8, 12, 16, 20),
    features=16,
    dim=24,
    clip=ClipShape(
        context=12,
        width=16,
        heads=2,
        layers=2,
        vision_width=32,
        vision_layers=1,
        vision_head=16,
        vision_patch=16,
        vision_size=32,
    ),
)

_CLIP_BLOCK = """
    attn.in_proj_weight 3*W W
    attn.in_proj_bias 3*W
    attn.out_proj.weight W W
    attn.out_proj.bias W
    ln_1.weight W
    ln_1.bias W
    mlp.c_fc.weight 4*W W
    mlp.c_fc.bias 4*W
    mlp.c_proj.weight W 4*W
    mlp.c_proj.bias W
    ln_2.weight W
    ln_2.bias W
"""
_RESIDUAL_UNIT = """
    conv1.weight features features 3 3
    conv2.weight features features 3 3
    bn{1..2}.weight features
    bn{1..2}.bias features
    bn{1..2}.running_mean features
    bn{1..2}.running_var features
    bn{1..2}.num_batches_tracked
"""
_TENSORS = """
    clip_pretrained.positional_embedding context text
    clip_pretrained.text_projection text dim
    clip_pretrained.logit_scale
    clip_pretrained.token_embedding.weight words text
    clip_pretrained.ln_final.weight text
    clip_pretrained.ln_final.bias text
    clip_pretrained.visual.class_embedding vision
    clip_pretrained.visual.positional_embedding vision_positions vision
    clip_pretrained.visual.proj vision dim
    clip_pretrained.visual.conv1.weight vision 3 vision_patch vision_patch
    clip_pretrained.visual.ln_pre.weight vision
    clip_pretrained.visual.ln_pre.bias vision
    clip_pretrained.visual.ln_post.weight vision
    clip_pretrained.visual.ln_post.bias vision
    pretrained.model.cls_token 1 1 width
    pretrained.model.pos_embed 1 positions width
    pretrained.model.patch_embed.proj.weight width 3 patch patch
    pretrained.model.patch_embed.proj.bias width
    pretrained.model.blocks.{depth}.norm1.weight width
    pretrained.model.blocks.{depth}.norm1.bias width
    pretrained.model.blocks.{depth}.attn.qkv.weight 3*width width
    pretrained.model.blocks.{depth}.attn.qkv.bias 3*width
    pretrained.model.blocks.{depth}.attn.proj.weight width width
    pretrained.model.blocks.{depth}.attn.proj.bias width
    pretrained.model.blocks.{depth}.norm2.weight width
    pretrained.model.blocks.{depth}.norm2.bias width
    pretrained.model.blocks.{depth}.mlp.fc1.weight 4*width width
    pretrained.model.blocks.{depth}.mlp.fc1.bias 4*width
    pretrained.model.blocks.{depth}.mlp.fc2.weight width 4*width
    pretrained.model.blocks.{depth}.mlp.fc2.bias width
    pretrained.model.norm.weight width
    pretrained.model.norm.bias width
    pretrained.model.head.weight classes width
    pretrained.model.head.bias classes
    pretrained.act_postprocess{1..4}.0.project.0.weight width 2*width
    pretrained.act_postprocess{1..4}.0.project.0.bias width
    pretrained.act_postprocess1.3.weight level1 width 1 1
    pretrained.act_postprocess1.3.bias level1
    pretrained.act_postprocess1.4.weight level1 level1 4 4
    pretrained.act_postprocess1.4.bias level1
    pretrained.act_postprocess2.3.weight level2 width 1 1
    pretrained.act_postprocess2.3.bias level2
    pretrained.act_postprocess2.4.weight level2 level2 2 2
    pretrained.act_postprocess2.4.bias level2
    pretrained.act_postprocess3.3.weight level3 width 1 1
    pretrained.act_postprocess3.3.bias level3
    pretrained.act_postprocess4.3.weight level4 width 1 1
    pretrained.act_postprocess4.3.bias level4
    pretrained.act_postprocess4.4.weight level4 level4 3 3
    pretrained.act_postprocess4.4.bias level4
    scratch.layer1_rn.weight features level1 3 3
    scratch.layer2_rn.weight features level2 3 3
    scratch.layer3_rn.weight features level3 3 3
    scratch.layer4_rn.weight features level4 3 3
    scratch.refinenet{1..4}.out_conv.weight features features 1 1
    scratch.refinenet{1..4}.out_conv.bias features
    scratch.head1.weight dim features 1 1
    scratch.head1.bias dim
"""


def tensor_shapes(sizes: dict[str, int]) -> dict[str, tuple[int, ...]]:
    """Names (``net.*``) and shapes of every tensor of a network of these sizes."""
    tables = (
        ("", _TENSORS),
        (
            "clip_pretrained.transformer.resblocks.{text_layers}.",
            _CLIP_BLOCK.replace("W", "text"),
        ),
        (
            "clip_pretrained.visual.transformer.resblocks.{vision_layers}.",
            _CLIP_BLOCK.replace("W", "vision"),
        ),
        ("scratch.refinenet{1..4}.resConfUnit{1..2}.", _RESIDUAL_UNIT),
    )
    shapes = {}
    for start, table in tables:
        for line in table.strip().splitlines():
            pattern, *sides = line.split()
            shape = tuple(
                math.prod(sizes.get(part) or int(part) for part in side.split("*"))
                for side in sides
            )
            for name in _expanded("net." + start + pattern, sizes):
                shapes[name] = shape
    return shapes


def _expanded(pattern: str, sizes: dict[str, int]) -> Iterator[str]:
    texts = re.split(r"\{.*?\}", pattern)
    ranges = [
        range(1, int(count[3:]) + 1) if count.startswith("1..") else range(sizes[count])
        for count in re.findall(r"\{(.*?)\}", pattern)
    ]
    for numbers in product(*ranges):
        yield texts[0] + "".join(
            f"{number}{text}" for number, text in zip(numbers, texts[1:], strict=True)
        )


def random_tensors(sizes: dict[str, int], seed: int = 0) -> dict[str, Tensor]:
    """Weights that let a signal through: nothing dies, nothing explodes, nothing is symmetric."""
    generator = torch.Generator().manual_seed(seed)
    tensors = {}
    for name, shape in tensor_shapes(sizes).items():
        values = torch.randn(shape, generator=generator)
        if name.endswith("num_batches_tracked"):
            values = torch.tensor(7)
        elif name.endswith("running_var"):
            values = values.abs() + 0.5
        elif name.endswith("bias") or len(shape) < 1:
            values = 0.2 * values
        elif len(shape) == 1:
            values = 1 + 0.2 * values
        elif "_embed" in name or "cls_token" in name:
            values = 0.5 * values
        elif "conv" in name or len(shape) == 4 or name.endswith("weight"):
            values = values / math.sqrt(math.prod(shape[1:]))
        else:
            values = values / math.sqrt(shape[0])
        tensors[name] = values
    return tensors


def double(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {
        name.removeprefix("net."): tensor.double() if tensor.is_floating_point() else tensor
        for name, tensor in tensors.items()
    }


def features(t: dict[str, Tensor], images: Tensor, taps: tuple[int, ...], heads: int) -> Tensor:
    """The published forward: normalised images (B, 3, H, W) to features (B, dim, H, W)."""
    vit = "pretrained.model."
    patches = F.conv2d(
        images, t[vit + "patch_embed.proj.weight"], t[vit + "patch_embed.proj.bias"], stride=16
    )
    b, c, h, w = patches.shape
    position = t[vit + "pos_embed"]
    side = math.isqrt(position.shape[1] - 1)
    picture = position[0, 1:].reshape(1, side, side, c).permute(0, 3, 1, 2)
    picture = F.interpolate(picture, size=(h, w), mode="bilinear")
    tokens = patches.permute(0, 2, 3, 1).reshape(b, h * w, c)
    tokens = tokens + picture.permute(0, 2, 3, 1).reshape(1, h * w, c)
    first = (t[vit + "cls_token"] + position[:, :1]).repeat(b, 1, 1)
    x = torch.cat([first, tokens], dim=1)
    tapped = []
    for index in range(taps[-1] + 1):
        at = f"{vit}blocks.{index}."
        y = _layer_norm(t, at + "norm1", x, 1e-6)
        qkv = F.linear(y, t[at + "attn.qkv.weight"], t[at + "attn.qkv.bias"])
        y = _attention(*qkv.chunk(3, dim=-1), heads, None)
        x = x + F.linear(y, t[at + "attn.proj.weight"], t[at + "attn.proj.bias"])
        y = _layer_norm(t, at + "norm2", x, 1e-6)
        y = F.gelu(F.linear(y, t[at + "mlp.fc1.weight"], t[at + "mlp.fc1.bias"]))
        x = x + F.linear(y, t[at + "mlp.fc2.weight"], t[at + "mlp.fc2.bias"])
        if index in taps:
            tapped.append(x)
    layers = []
    for level, tap in enumerate(tapped, 1):
        at = f"pretrained.act_postprocess{level}."
        both = torch.cat([tap[:, 1:], tap[:, :1].repeat(1, h * w, 1)], dim=-1)
        y = F.gelu(F.linear(both, t[at + "0.project.0.weight"], t[at + "0.project.0.bias"]))
        y = y.permute(0, 2, 1).reshape(b, c, h, w)
        y = F.conv2d(y, t[at + "3.weight"], t[at + "3.bias"])
        if level == 1:
            y = F.conv_transpose2d(y, t[at + "4.weight"], t[at + "4.bias"], stride=4)
        elif level == 2:
            y = F.conv_transpose2d(y, t[at + "4.weight"], t[at + "4.bias"], stride=2)
        elif level == 4:
            y = F.conv2d(y, t[at + "4.weight"], t[at + "4.bias"], stride=2, padding=1)
        layers.append(F.conv2d(y, t[f"scratch.layer{level}_rn.weight"], padding=1))
    path = _fusion(t, 4, layers[3])
    for level in (3, 2, 1):
        path = _fusion(t, level, path, layers[level - 1])
    y = F.conv2d(path, t["scratch.head1.weight"], t["scratch.head1.bias"])
    return F.interpolate(y, scale_factor=2, mode="bilinear", align_corners=True)


def _fusion(t: dict[str, Tensor], level: int, x: Tensor, side: Tensor | None = None) -> Tensor:
    at = f"scratch.refinenet{level}."
    if side is not None:
        x = x + _residual(t, at + "resConfUnit1.", side)
    x = _residual(t, at + "resConfUnit2.", x)
    x = F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=True)
    return F.conv2d(x, t[at + "out_conv.weight"], t[at + "out_conv.bias"])


def _residual(t: dict[str, Tensor], at: str, x: Tensor) -> Tensor:
    y = x
    for step in ("1", "2"):
        y = F.conv2d(F.relu(y), t[f"{at}conv{step}.weight"], padding=1)
        mean, var = t[f"{at}bn{step}.running_mean"], t[f"{at}bn{step}.running_var"]
        y = (y - mean[:, None, None]) / torch.sqrt(var[:, None, None] + 1e-5)
        y = y * t[f"{at}bn{step}.weight"][:, None, None] + t[f"{at}bn{step}.bias"][:, None, None]
    return y + x


def text(t: dict[str, Tensor], tokens: Tensor, heads: int) -> Tensor:
    """CLIP's text tower: tokens (n, context), the end token the largest, to (n, dim)."""
    clip = "clip_pretrained."
    x = t[clip + "token_embedding.weight"][tokens] + t[clip + "positional_embedding"]
    context = tokens.shape[1]
    later = torch.ones(context, context, dtype=torch.bool).triu(1)
    index = 0
    while f"{clip}transformer.resblocks.{index}.ln_1.weight" in t:
        at = f"{clip}transformer.resblocks.{index}."
        y = _layer_norm(t, at + "ln_1", x, 1e-5)
        qkv = F.linear(y, t[at + "attn.in_proj_weight"], t[at + "attn.in_proj_bias"])
        y = _attention(*qkv.chunk(3, dim=-1), heads, later)
        x = x + F.linear(y, t[at + "attn.out_proj.weight"], t[at + "attn.out_proj.bias"])
        y = _layer_norm(t, at + "ln_2", x, 1e-5)
        y = F.linear(y, t[at + "mlp.c_fc.weight"], t[at + "mlp.c_fc.bias"])
        y = y * torch.sigmoid(1.702 * y)
        x = x + F.linear(y, t[at + "mlp.c_proj.weight"], t[at + "mlp.c_proj.bias"])
        index += 1
    x = _layer_norm(t, clip + "ln_final", x, 1e-5)
    ends = tokens.argmax(dim=1)
    return (
        torch.stack([row[end] for row, end in zip(x, ends, strict=True)])
        @ t[clip + "text_projection"]
    )


def _attention(q: Tensor, k: Tensor, v: Tensor, heads: int, hidden: Tensor | None) -> Tensor:
    out = []
    for qh, kh, vh in zip(*(x.chunk(heads, dim=-1) for x in (q, k, v)), strict=True):
        logits = qh @ kh.transpose(1, 2) / math.sqrt(qh.shape[-1])
        if hidden is not None:
            logits = logits.masked_fill(hidden, -torch.inf)
        out.append(logits.softmax(dim=-1) @ vh)
    return torch.cat(out, dim=-1)


def _layer_norm(t: dict[str, Tensor], name: str, x: Tensor, eps: float) -> Tensor:
    centred = x - x.mean(dim=-1, keepdim=True)
    spread = torch.sqrt((centred**2).mean(dim=-1, keepdim=True) + eps)
    return centred / spread * t[name + ".weight"] + t[name + ".bias"]


def multi_scale(
    forward: Callable[[Tensor], Tensor], image: Tensor, base: int = 520, crop: int = 480
) -> Tensor:
    """The published evaluator as a loop, on features: (1, 3, h, w) to (1, dim, h, w)."""
    _, _, h, w = image.shape
    stride = int(crop * 2.0 / 3.0)
    total = torch.zeros(1)
    for scale in (0.75, 1.0, 1.25, 1.75):
        long = math.ceil(base * scale)
        height = long if h > w else int(h * long / w + 0.5)
        width = int(w * long / h + 0.5) if h > w else long
        small = F.interpolate(image, (height, width), mode="bilinear", align_corners=True)
        padded = _padded(small, crop)
        ph, pw = padded.shape[2:]
        out, count = torch.zeros(1), torch.zeros(1, 1, ph, pw)
        for row, column in product(
            range(math.ceil((ph - crop) / stride) + 1), range(math.ceil((pw - crop) / stride) + 1)
        ):
            top, left = row * stride, column * stride
            bottom, right = min(top + crop, ph), min(left + crop, pw)
            part = _padded(padded[:, :, top:bottom, left:right], crop)
            y = forward(part) + forward(part.flip(3)).flip(3)
            if out.ndim == 1:
                out = torch.zeros(1, y.shape[1], ph, pw, dtype=y.dtype)
            out[:, :, top:bottom, left:right] += y[:, :, : bottom - top, : right - left]
            count[:, :, top:bottom, left:right] += 1
        out = (out / count)[:, :, :height, :width]
        total = total + F.interpolate(out, (h, w), mode="bilinear", align_corners=True)
    return total


def _padded(image: Tensor, crop: int) -> Tensor:
    down, right = max(0, crop - image.shape[2]), max(0, crop - image.shape[3])
    return F.pad(image, (0, right, 0, down), value=-1.0)


def area_average(picture: Tensor, grid: tuple[int, int]) -> Tensor:
    """Mean of (C, H, W) over cells [i H/h, (i+1) H/h) x ..., by blowing up until all is whole."""
    h, w = grid
    _, height, width = picture.shape
    big = picture.repeat_interleave(h, dim=1).repeat_interleave(w, dim=2)
    return F.avg_pool2d(big[None], (height, width))[0]
