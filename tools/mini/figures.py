"""Figures of a teacher on held-out generated pictures and on labelled photos."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from dff.teachers.base import Teacher
from dff.teachers.mini_vocabulary import Vocabulary
from mini.batches import Batch


@dataclass(frozen=True)
class Figures:
    """What held-out pictures say.

    Attributes:
        name_iou: IoU of each name and place, argmax over all of them, pixels pooled.
        phrase_iou: mean over (picture, phrase) pairs of IoU, argmax over the phrases of the things
            in the picture and the places.
        leak: (names, names) share of the pixels of thing j that query i selects against the
            canonical phrases at 0.5; the diagonal is recall.
        leak_table: (names,) the same for the table's pixels.
        colour_accuracy: argmax over colours on pixels with a colour to name.
    """

    name_iou: dict[str, float]
    phrase_iou: float
    leak: np.ndarray
    leak_table: np.ndarray
    single_iou: float
    colour_accuracy: float

    @property
    def names_miou(self) -> float:
        """Mean IoU over names and places."""
        return float(np.mean(list(self.name_iou.values())))

    def summary(self) -> dict[str, float]:
        """The headline numbers."""
        away = ~np.eye(len(self.leak), dtype=bool)
        things = list(self.name_iou.values())[:-2]
        return {
            "names_miou": self.names_miou,
            "things_miou": float(np.mean(things)),
            "phrases_miou": self.phrase_iou,
            "single_word_miou": self.single_iou,
            "recall_at_half": float(np.diag(self.leak).mean()),
            "leak_mean": float(self.leak[away].mean()),
            "leak_max": float(self.leak[away].max()),
            "leak_table_mean": float(self.leak_table.mean()),
            "colour_accuracy": self.colour_accuracy,
        }


def measure(
    batches: Sequence[Batch], features: Sequence[Tensor], teacher: Teacher, vocabulary: Vocabulary
) -> Figures:
    """Scores features of shape (B, h, w, D) against the labels of the same batches."""
    names, colours = vocabulary.names, vocabulary.colours
    labels = [*names, *vocabulary.places]
    words = teacher.encode_text(labels)
    tints = teacher.encode_text(colours)
    neutral = teacher.encode_text(teacher.canonical_phrases)
    every = teacher.encode_text([f"{c} {n}" for n in names for c in colours])
    count = len(labels)
    confusion = torch.zeros(count, count)
    chosen, total = torch.zeros(count, count), torch.zeros(count)
    ious, right, coloured = [], 0, 0
    for batch, feature in zip(batches, features, strict=True):
        score = feature @ words.t()
        guess = score.argmax(-1)
        index = batch.name.flatten() * count + guess.flatten()
        confusion += torch.bincount(index, minlength=count * count).reshape(count, count)
        selected = score > (feature @ neutral.t()).amax(-1, keepdim=True)
        for j in range(count):
            mine = batch.name == j
            total[j] += mine.sum()
            chosen[:, j] += selected[mine].sum(0)
        known = batch.colour >= 0
        thing = batch.thing > 0
        right += ((feature @ tints.t()).argmax(-1) == batch.colour)[known & thing].sum().item()
        coloured += int((known & thing).sum())
        for b in range(len(feature)):
            ious += _phrase_ious(batch, feature[b], b, every, words[len(names) :], len(colours))
    hit = confusion.diag()
    iou = hit / (confusion.sum(0) + confusion.sum(1) - hit).clamp(min=1)
    share = (chosen / total.clamp(min=1)).numpy()
    picked = chosen.sum(1)
    single = chosen.diag() / (picked + total - chosen.diag()).clamp(min=1)
    things = len(names)
    return Figures(
        name_iou=dict(zip(labels, iou.tolist(), strict=True)),
        phrase_iou=float(np.mean(ious)),
        leak=share[:things, :things],
        leak_table=share[:things, things],
        single_iou=float(single[:things].mean()),
        colour_accuracy=right / max(coloured, 1),
    )


def _phrase_ious(
    batch: Batch, feature: Tensor, b: int, every: Tensor, places: Tensor, colours: int
) -> list[float]:
    thing, name, colour = batch.thing[b], batch.name[b], batch.colour[b]
    # Phrase of each thing by its body; parts of another colour belong to the thing all the same.
    truth = torch.full_like(name, -1)
    for instance in thing.unique().tolist():
        mine = thing == instance
        tint = colour[mine & (colour >= 0)]
        if instance and len(tint) and mine.sum() >= 12:
            truth[mine] = int(name[mine][0]) * colours + int(tint[0])
        elif not instance:
            truth[mine] = len(every) + name[mine] - (len(every) // colours)
    present = [p for p in truth.unique().tolist() if 0 <= p < len(every)]
    if not present:
        return []
    candidates = [*present, len(every), len(every) + 1]
    bank = torch.cat([every[present], places])
    guess = torch.tensor(candidates)[(feature @ bank.t()).argmax(-1)]
    valid = truth >= 0
    result = []
    for phrase in present:
        a, g = (truth == phrase) & valid, (guess == phrase) & valid
        result.append(float((a & g).sum() / (a | g).sum()))
    return result


def leak_markdown(figures: Figures, names: Sequence[str]) -> str:
    """The leak table: one row a query, one column a thing, in percent."""
    lines = ["| query | " + " | ".join(names) + " | table |"]
    lines.append("|---" * (len(names) + 2) + "|")
    for i, name in enumerate(names):
        cells = [
            f"**{100 * v:.0f}**" if i == j else f"{100 * v:.0f}"
            for j, v in enumerate(figures.leak[i])
        ]
        lines.append(f"| {name} | " + " | ".join(cells) + f" | {100 * figures.leak_table[i]:.0f} |")
    return "\n".join(lines)


def photo_figures(teacher: Teacher, scene: Path, long_side: int = 806) -> dict[str, float]:
    """IoU on the labelled fruit photos, beside a hue rule; empty where the photos are not there.

    ``argmax_*``: argmax over apple, banana, table. ``single_*``: the word alone against the
    canonical phrases. ``hue_*``: saturation > 0.35 and value > 0.2; apple if the hue is below 20 or
    above 330 degrees, banana if between 30 and 90.
    """
    masks = sorted((scene / "labels").glob("*.png"))
    words = teacher.encode_text(["apple", "banana", "table"])
    neutral = teacher.encode_text(teacher.canonical_phrases)
    sums: dict[str, list[float]] = {}
    leak = {"apple_on_banana": [0.0, 0.0], "banana_on_apple": [0.0, 0.0]}

    def add(key: str, guess: np.ndarray, truth: np.ndarray) -> None:
        pair = sums.setdefault(key, [0.0, 0.0])
        pair[0] += float((guess & truth).sum())
        pair[1] += float((guess | truth).sum())

    for mask in masks:
        label = np.asarray(Image.open(mask))
        photo = Image.open(scene / "images" / f"{mask.stem}.jpg").convert("RGB")
        if max(photo.size) != long_side:
            factor = long_side / max(photo.size)
            photo = photo.resize([round(s * factor) for s in photo.size], Image.Resampling.BOX)
        image = torch.from_numpy(np.asarray(photo, dtype=np.float32) / 255)
        feature = teacher.encode_image(image)
        height, width = label.shape
        up = torch.nn.functional.interpolate(
            feature.permute(2, 0, 1)[None], (height, width), mode="bilinear", align_corners=False
        )[0].permute(1, 2, 0)
        score = up @ words.t()
        guess = score.argmax(-1).numpy()
        single = (score > (up @ neutral.t()).amax(-1, keepdim=True)).numpy()
        hsv = np.asarray(photo.resize((width, height)).convert("HSV"), dtype=np.float32)
        hue, strong = hsv[..., 0] * 360 / 255, (hsv[..., 1] > 90) & (hsv[..., 2] > 51)
        rule = {
            "apple": strong & ((hue < 20) | (hue > 330)),
            "banana": strong & (abs(hue - 60) < 30),
        }
        for k, name in enumerate(("apple", "banana")):
            truth = label == k + 1
            add(f"argmax_{name}", guess == k, truth)
            add(f"single_{name}", single[..., k], truth)
            add(f"hue_{name}", rule[name], truth)
        for k, key, other in ((0, "apple_on_banana", 2), (1, "banana_on_apple", 1)):
            leak[key][0] += float(single[..., k][label == other].sum())
            leak[key][1] += float((label == other).sum())
    result = {key: a / max(b, 1.0) for key, (a, b) in sums.items()}
    return result | {f"leak_{key}": a / max(b, 1.0) for key, (a, b) in leak.items()}
