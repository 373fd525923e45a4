"""What the teacher is taught, on raw features z whose length is held near the logit scale.

Every decision of a query compares inner products ``z . t`` of one pixel with several unit text
vectors, so it does not depend on the length of z. The losses are therefore taken on raw z, as of a
plain linear classifier, and a mild pull of the length towards the logit scale makes softmax
temperatures mean the same after normalisation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from dff.teachers.mini_network import TextEncoder
from dff.teachers.mini_vocabulary import Vocabulary, pad_tokens

# Weight of a true name against a false one: a name alone selects a pixel that it fits with a
# probability above 1 / (1 + NAMED).
NAMED = 1.5


@dataclass(frozen=True)
class Emphasis:
    """What the losses look at most.

    Attributes:
        places: share of table and background among the pixels, relative to that of one thing.
        handicap: what places have to do without when names are chosen. Pixels are drawn so that
            every thing has its share, but pictures show far more of table and background: a
            handicap of log(k) makes up for k times as much.
        apart: weight of keeping words from clustering.
    """

    places: tuple[float, float] = (4.0, 2.0)
    handicap: float = 1.2
    apart: float = 1.0


@dataclass(frozen=True)
class Prompts:
    """Token numbers of everything asked for during training, each (n, length)."""

    classes: Tensor
    colours: Tensor
    materials: Tensor
    canonical: Tensor
    coloured: Tensor
    made_of: Tensor

    @staticmethod
    def of(vocabulary: Vocabulary) -> Prompts:
        """Names and places; colours; materials; canonical words; "colour name" and "material name"
        phrases, names slowest."""

        def rows(phrases: list[str]) -> Tensor:
            tokens = [vocabulary.tokens(p) for p in phrases]
            return torch.tensor(pad_tokens(tokens, len(vocabulary.words)))

        return Prompts(
            rows([*vocabulary.names, *vocabulary.places]),
            rows(list(vocabulary.colours)),
            rows(list(vocabulary.materials)),
            rows(list(vocabulary.canonical)),
            rows([f"{c} {n}" for n in vocabulary.names for c in vocabulary.colours]),
            rows([f"{m} {n}" for n in vocabulary.names for m in vocabulary.materials]),
        )


@dataclass(frozen=True)
class Targets:
    """Labels of M pixels: class, colour (-1: none to name), material (-1: no word for it, -2: not
    known)."""

    name: Tensor
    colour: Tensor
    material: Tensor

    def first(self, count: int) -> Targets:
        """Those of the first ``count`` pixels."""
        return Targets(self.name[:count], self.colour[:count], self.material[:count])


def class_weights(frequency: Tensor, places: Sequence[float]) -> Tensor:
    """(classes,) weights that give every thing the same share of the loss.

    Args:
        frequency: (classes,) share of the pixels; the last ones are places.
        places: share of each place relative to that of one thing.
    """
    wanted = torch.ones_like(frequency)
    wanted[-len(places) :] = torch.tensor(places)
    weight = wanted / frequency.clamp(min=1e-3)
    return weight / (weight * frequency).sum()


def losses(
    z: Tensor,
    target: Targets,
    text: TextEncoder,
    prompts: Prompts,
    scale: float,
    asked: int,
    emphasis: Emphasis,
) -> dict[str, Tensor]:
    """The terms of the loss, each a scalar.

    Args:
        z: (M, D) raw features.
        target: labels of the same pixels.
        text: the text encoder.
        prompts: what to ask.
        scale: the logit scale, the length z is pulled to.
        asked: how many of the pixels, from the first, take the terms on phrases, the dear ones.
        emphasis: see `Emphasis`.
    """
    classes = text(prompts.classes)
    colours, materials = text(prompts.colours), text(prompts.materials)
    by_class, by_colour, by_material = z @ classes.t(), z @ colours.t(), z @ materials.t()
    neutral = (z @ text(prompts.canonical).t()).amax(1, keepdim=True)
    things = len(classes) - 2
    thing = target.name < things
    everywhere = torch.ones(len(z))
    named, known = target.colour >= 0, target.material >= -1
    tinted = named * torch.where(thing, 1.0, 0.3)
    worded = (target.material >= 0) * torch.where(thing, 1.0, 0.3)
    colour, material = target.colour.clamp(min=0), target.material.clamp(min=0)

    few, places, around = target.first(asked), by_class[:asked, things:], neutral[:asked]
    by_coloured = z[:asked] @ text(prompts.coloured).t()
    by_made_of = z[:asked] @ text(prompts.made_of).t()
    coloured, coloured_leak = _phrases(by_coloured, places, around, few.name, few.colour, things)
    made_of, made_of_leak = _phrases(by_made_of, places, around, few.name, few.material, things)
    handicaps = torch.zeros(len(classes))
    handicaps[things:] = emphasis.handicap
    return {
        "name": F.cross_entropy(by_class - handicaps, target.name),
        "colour": _mean(F.cross_entropy(by_colour, colour, reduction="none"), tinted),
        "material": _mean(F.cross_entropy(by_material, material, reduction="none"), worded),
        "phrase": coloured + 0.5 * made_of,
        "name_leak": _leak(by_class - neutral, target.name, everywhere, NAMED),
        "colour_leak": _leak(by_colour - neutral, target.colour, tinted, 3.0),
        "material_leak": _leak(by_material - neutral, target.material, known * 1.0, 2.0),
        "phrase_leak": coloured_leak + 0.5 * made_of_leak,
        "length": (z.norm(dim=1) / scale - 1).square().mean(),
        "apart": emphasis.apart * _closeness(torch.cat([classes, colours, materials])),
    }


def _closeness(words: Tensor, free: float = 0.4) -> Tensor:
    """How much unit vectors (n, D) lie closer than a cosine of ``free``, per vector."""
    cosine = words @ words.t()
    beyond = F.relu(cosine - free).square()
    return (beyond.sum() - beyond.diagonal().sum()) / len(words)


def _phrases(
    score: Tensor, places: Tensor, neutral: Tensor, name: Tensor, adjective: Tensor, things: int
) -> tuple[Tensor, Tensor]:
    """Cross-entropy over all "adjective name" phrases and the places, and what phrases leak.

    Args:
        score: (M, things * adjectives) of the phrases, names slowest.
        places: (M, places) of the places.
        neutral: (M, 1) of the best canonical word.
        name: (M,) class; places come last.
        adjective: (M,) below nought where there is none.
        things: number of names.
    """
    count = score.shape[1]
    adjectives = count // things
    thing = name < things
    usable = ((adjective >= 0) | ~thing).float()
    phrase = torch.where(thing, name * adjectives + adjective.clamp(min=0), count + name - things)
    choice = F.cross_entropy(torch.cat([score, places], 1), phrase, reduction="none")
    k = torch.arange(count)
    hit = k == phrase[:, None]
    close = (k // adjectives == name[:, None]) | (k % adjectives == adjective[:, None])
    # Most phrases share no word with a pixel's own, and are soon unlearned.
    weight = torch.where(hit, 5.0, torch.where(close, 1.0, 0.1))
    leak = F.binary_cross_entropy_with_logits(score - neutral, hit.float(), reduction="none")
    return _mean(choice, usable), _mean((leak * weight).sum(1) / 20, usable)


def _mean(values: Tensor, weight: Tensor) -> Tensor:
    return (values * weight).sum() / weight.sum().clamp(min=1e-6)


def _leak(margin: Tensor, label: Tensor, weight: Tensor, positive: float) -> Tensor:
    """Binary cross-entropy of (M, n) margins over the neutral words; column ``label`` is true, none
    where the label is below nought."""
    hit = label[:, None] == torch.arange(margin.shape[1])
    each = F.binary_cross_entropy_with_logits(margin, hit.float(), reduction="none")
    total = (each * torch.where(hit, positive, 1.0)).sum(1) / (positive + margin.shape[1] - 1)
    return _mean(total, weight) * 4
