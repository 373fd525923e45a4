"""Figures of a teacher on real photos, beside a rule on hue."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from hue_rule import USUAL_COLOUR, colour_mask
from PIL import Image
from torch import Tensor

from dff.teachers.base import Teacher

FRUIT = ("apple", "banana")


def fruit_figures(teacher: Teacher, scene: Path, long_side: int = 806) -> dict[str, float]:
    """IoU on the labelled fruit photos; empty where there are none.

    ``argmax_*``: argmax over apple, banana, table. ``single_*``: the word alone against the
    canonical phrases. ``hue_*``: the hue rule. ``leak_A_on_B``: share of B that "A" alone selects.
    """
    masks = sorted((scene / "labels").glob("*.png"))
    words = teacher.encode_text([*FRUIT, "table"])
    sums: dict[str, np.ndarray] = {}

    def add(key: str, part: np.ndarray, whole: np.ndarray) -> None:
        sums[key] = sums.get(key, np.zeros(2)) + [part.sum(), whole.sum()]

    for mask in masks:
        label = np.asarray(Image.open(mask))
        photo = _photo(scene / "images" / f"{mask.stem}.jpg", long_side)
        score, single = _scores(teacher, words, photo, label.shape)
        guess = score.argmax(-1).numpy()
        small = photo.resize((label.shape[1], label.shape[0]))
        for k, name in enumerate(FRUIT):
            truth = label == k + 1
            for key, chosen in (
                ("argmax", guess == k),
                ("single", single[..., k]),
                ("hue", colour_mask(small, USUAL_COLOUR[name])),
            ):
                add(f"{key}_{name}", chosen & truth, chosen | truth)
            other = label == 2 - k
            add(f"leak_{name}_on_{FRUIT[1 - k]}", single[..., k] & other, other)
    return {key: float(part / max(whole, 1.0)) for key, (part, whole) in sums.items()}


def false_selections(
    teacher: Teacher, photos: Sequence[Path], names: Sequence[str]
) -> dict[str, tuple[float, float]]:
    """Of photos that show none of the names: the share of pixels that each name alone selects, and
    the share that the hue rule for its usual colour does."""
    words = teacher.encode_text(names)
    sums = np.zeros((len(names), 2))
    for path in photos:
        photo = _photo(path)
        _, single = _scores(teacher, words, photo, (photo.height, photo.width))
        sums[:, 0] += single.reshape(-1, len(names)).mean(0)
        sums[:, 1] += [colour_mask(photo, USUAL_COLOUR[name]).mean() for name in names]
    shares = sums / max(len(photos), 1)
    return {name: (float(a), float(b)) for name, (a, b) in zip(names, shares, strict=True)}


def _photo(path: Path, long_side: int | None = None) -> Image.Image:
    photo = Image.open(path).convert("RGB")
    if long_side is not None and max(photo.size) != long_side:
        factor = long_side / max(photo.size)
        size = (round(photo.width * factor), round(photo.height * factor))
        photo = photo.resize(size, Image.Resampling.BOX)
    return photo


def _scores(
    teacher: Teacher, words: Tensor, photo: Image.Image, shape: tuple[int, int]
) -> tuple[Tensor, np.ndarray]:
    """(H, W, n) scores of n words at that size, and where each alone beats the canonical ones."""
    feature = teacher.encode_image(torch.from_numpy(np.asarray(photo, dtype=np.float32) / 255))
    up = F.interpolate(feature.permute(2, 0, 1)[None], shape, mode="bilinear", align_corners=False)[
        0
    ].permute(1, 2, 0)
    neutral = (up @ teacher.encode_text(teacher.canonical_phrases).t()).amax(-1, keepdim=True)
    score = up @ words.t()
    return score, (score > neutral).numpy()
