"""Figures of a teacher on held-out generated pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from dff.teachers.base import Teacher
from dff.teachers.mini_vocabulary import Vocabulary
from mini.batches import Batch


@dataclass(frozen=True)
class Figures:
    """What held-out pictures say.

    Attributes:
        name_iou: IoU of each name and place, argmax over all of them, pixels pooled.
        phrase_iou: mean over (picture, phrase) pairs of IoU, argmax over the "colour name" phrases
            of the things in the picture and the places.
        leak: (names, names) share of the pixels of thing j that query i selects against the
            canonical phrases at 0.5; the diagonal is recall.
        leak_table: (names,) the same for the table's pixels.
        single_iou: mean over names of the IoU of what a name alone selects.
        colour_accuracy: argmax over colours on pixels of things with a colour to name.
        material_accuracy: argmax over materials on pixels of things with a material to name.
    """

    name_iou: dict[str, float]
    phrase_iou: float
    leak: np.ndarray
    leak_table: np.ndarray
    single_iou: float
    colour_accuracy: float
    material_accuracy: float

    @property
    def names_miou(self) -> float:
        """Mean IoU over names and places."""
        return float(np.mean(list(self.name_iou.values())))

    def summary(self) -> dict[str, float]:
        """The headline numbers."""
        away = ~np.eye(len(self.leak), dtype=bool)
        things = list(self.name_iou.values())[: len(self.leak)]
        return {
            "names_miou": self.names_miou,
            "things_miou": float(np.mean(things)),
            "phrases_miou": self.phrase_iou,
            "single_word_miou": self.single_iou,
            "recall_at_half": float(np.diag(self.leak).mean()),
            "leak_mean": float(self.leak[away].mean()),
            "leak_max": float(self.leak[away].max()),
            "leaks_above_tenth": float((self.leak[away] > 0.1).sum()),
            "leak_table_mean": float(self.leak_table.mean()),
            "colour_accuracy": self.colour_accuracy,
            "material_accuracy": self.material_accuracy,
        }


def measure(
    batches: Sequence[Batch], features: Sequence[Tensor], teacher: Teacher, vocabulary: Vocabulary
) -> Figures:
    """Scores features of shape (B, h, w, D) against the labels of the same batches."""
    names, colours = vocabulary.names, vocabulary.colours
    labels = [*names, *vocabulary.places]
    words = teacher.encode_text(labels)
    neutral = teacher.encode_text(teacher.canonical_phrases)
    every = teacher.encode_text([f"{c} {n}" for n in names for c in colours])
    count = len(labels)
    confusion = torch.zeros(count, count)
    chosen, total = torch.zeros(count, count), torch.zeros(count)
    ious: list[float] = []
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
        colour_accuracy=_accuracy([b.colour for b in batches], batches, features, teacher, colours),
        material_accuracy=_accuracy(
            [b.material for b in batches], batches, features, teacher, vocabulary.materials
        ),
    )


def _accuracy(
    labels: Sequence[Tensor],
    batches: Sequence[Batch],
    features: Sequence[Tensor],
    teacher: Teacher,
    words: Sequence[str],
) -> float:
    """Share of the things' pixels with a word that get the right one."""
    if not words:
        return float("nan")
    text, right, count = teacher.encode_text(words), 0, 0
    for label, batch, feature in zip(labels, batches, features, strict=True):
        mine = (label >= 0) & (batch.thing > 0)
        right += int(((feature[mine] @ text.t()).argmax(-1) == label[mine]).sum())
        count += int(mine.sum())
    return right / max(count, 1)


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
