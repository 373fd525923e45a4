"""What the teacher is taught, on raw features z whose length is held near the logit scale.

Every decision of a query compares inner products ``z . t`` of one pixel with several unit text
vectors, so it does not depend on the length of z. The losses are therefore taken on raw z, as of a
plain linear classifier, and a mild pull of the length towards the logit scale makes softmax
temperatures mean the same after normalisation.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from dff.teachers.mini_network import TextEncoder
from dff.teachers.mini_vocabulary import Vocabulary, pad_tokens


@dataclass(frozen=True)
class Prompts:
    """Token numbers of everything asked for during training, each (n, length)."""

    classes: Tensor
    colours: Tensor
    canonical: Tensor
    phrases: Tensor

    @staticmethod
    def of(vocabulary: Vocabulary) -> Prompts:
        """Names and places; colours; canonical words; "colour name" phrases, names slowest."""

        def rows(phrases: list[str]) -> Tensor:
            tokens = [vocabulary.tokens(p) for p in phrases]
            return torch.tensor(pad_tokens(tokens, len(vocabulary.words)))

        return Prompts(
            rows([*vocabulary.names, *vocabulary.places]),
            rows(list(vocabulary.colours)),
            rows(list(vocabulary.canonical)),
            rows([f"{c} {n}" for n in vocabulary.names for c in vocabulary.colours]),
        )


@dataclass(frozen=True)
class Targets:
    """Labels of M pixels: class, and colour (-1: none to name)."""

    name: Tensor
    colour: Tensor


def class_weights(frequency: Tensor, places: tuple[float, ...] = (3.0, 1.5)) -> Tensor:
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
) -> dict[str, Tensor]:
    """The terms of the loss, each a scalar.

    Args:
        z: (M, D) raw features.
        target: labels of the same pixels.
        text: the text encoder.
        prompts: what to ask.
        scale: the logit scale, the length z is pulled to.
        asked: how many of the pixels, from the first, take the terms on phrases, the dear ones.
    """
    classes, colours = text(prompts.classes), text(prompts.colours)
    canonical, phrases = text(prompts.canonical), text(prompts.phrases)
    names, things = target.name, len(classes) - 2
    thing = names < things
    by_class, by_colour = z @ classes.t(), z @ colours.t()
    neutral = (z @ canonical.t()).amax(1, keepdim=True)
    everywhere = torch.ones_like(neutral[:, 0])

    named = target.colour >= 0
    tinted = named * torch.where(thing, 1.0, 0.3)
    colour = target.colour.clamp(min=0)

    # Phrases: name n in colour c is number n * colours + c; places follow.
    n, c, is_thing = names[:asked], colour[:asked], thing[:asked]
    usable = (named[:asked] | ~is_thing).float()
    by_phrase = z[:asked] @ phrases.t()
    by_phrase_or_place = torch.cat([by_phrase, by_class[:asked, things:]], 1)
    phrase = torch.where(is_thing, n * len(colours) + c, len(phrases) + n - things)
    k = torch.arange(len(phrases))
    close = (k // len(colours) == n[:, None]) | (k % len(colours) == c[:, None])
    hit = k == phrase[:, None]
    phrase_leak = F.binary_cross_entropy_with_logits(
        by_phrase - neutral[:asked], hit.float(), reduction="none"
    )
    phrase_leak = (phrase_leak * torch.where(hit, 8.0, torch.where(close, 1.0, 0.1))).sum(1) / 20
    return {
        "name": F.cross_entropy(by_class, names),
        "colour": _mean(F.cross_entropy(by_colour, colour, reduction="none"), tinted),
        "phrase": _mean(F.cross_entropy(by_phrase_or_place, phrase, reduction="none"), usable),
        "name_leak": _leak(by_class - neutral, names, everywhere, 4.0),
        "colour_leak": _leak(by_colour - neutral, colour, tinted, 3.0),
        "phrase_leak": _mean(phrase_leak, usable),
        "length": (z.norm(dim=1) / scale - 1).square().mean(),
    }


def _mean(values: Tensor, weight: Tensor) -> Tensor:
    return (values * weight).sum() / weight.sum().clamp(min=1e-6)


def _leak(margin: Tensor, label: Tensor, weight: Tensor, positive: float) -> Tensor:
    """Binary cross-entropy of (M, n) margins over the neutral words; column ``label`` is true."""
    hit = F.one_hot(label, margin.shape[1])
    each = F.binary_cross_entropy_with_logits(margin, hit.float(), reduction="none")
    total = (each * torch.where(hit > 0, positive, 1.0)).sum(1) / (positive + margin.shape[1] - 1)
    return _mean(total, weight) * 4
