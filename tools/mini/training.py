"""The state of a training run and one step of it."""

from __future__ import annotations

import copy
import json
import math
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F

from dff.teachers.mini import MiniConfig, MiniTeacher
from dff.teachers.mini_network import TextEncoder
from dff.teachers.mini_vocabulary import Vocabulary
from mini.batches import Batch
from mini.losses import Prompts, Targets, class_weights, losses

PIXELS = 8000
WEIGHTS = {
    "name": 1.0,
    "colour": 0.4,
    "phrase": 0.4,
    "name_leak": 0.6,
    "colour_leak": 0.25,
    "phrase_leak": 0.3,
    "length": 0.3,
}


def learning_rate(part: float, step: int, highest: float, warm_steps: int = 200) -> float:
    """A short linear warm-up, then half a cosine down to nothing at ``part`` 1 of the time."""
    warm = min(1.0, (step + 1) / warm_steps)
    return highest * warm * (0.5 + 0.5 * math.cos(math.pi * min(part, 1.0))) + 1e-6


class Run:
    """Networks in training, their running means, the optimiser and where the run stands.

    Args:
        words: the vocabulary to teach.
        config: shape of the networks.
        seed: seeds the first weights.
    """

    def __init__(self, words: Vocabulary, config: MiniConfig, seed: int) -> None:
        torch.manual_seed(seed)
        self.words, self.config = words, config
        self.encoder = config.encoder().to(memory_format=torch.channels_last)
        self.text = TextEncoder(len(words.words), config.dim)
        _start_text(words, self.text)
        self.mean_encoder = copy.deepcopy(self.encoder)
        self.mean_text = copy.deepcopy(self.text)
        self.optimiser = torch.optim.AdamW(
            [
                {"params": [p for p in self.encoder.parameters() if p.ndim > 1], "factor": 1.0},
                {
                    "params": [p for p in self.encoder.parameters() if p.ndim <= 1],
                    "weight_decay": 0.0,
                    "factor": 1.0,
                },
                # Words move slowly: features are to gather around them, not they to wander.
                {"params": list(self.text.parameters()), "weight_decay": 0.0, "factor": 0.3},
            ],
            weight_decay=0.03,
            betas=(0.9, 0.98),
        )
        self.step, self.spent = 0, 0.0
        self.history: list[dict[str, float]] = []
        self.terms: dict[str, float] = {}
        self._prompts = Prompts.of(words)
        classes = len(words.names) + len(words.places)
        self._frequency = torch.full((classes,), 1.0 / classes)

    def teach(self, batch: Batch, rate: float) -> None:
        """One step of training on a batch."""
        for group in self.optimiser.param_groups:
            group["lr"] = rate * group["factor"]
        z = self.encoder(batch.image.contiguous(memory_format=torch.channels_last))
        z = z.permute(0, 2, 3, 1).reshape(-1, self.config.dim)
        label = batch.name.flatten()
        share = torch.bincount(label, minlength=len(self._frequency)).float() / len(label)
        self._frequency = 0.99 * self._frequency + 0.01 * share
        # Drawing pixels by their class's weight is as good as weighting all of them, and cheaper.
        weight = class_weights(self._frequency)[label]
        pick = torch.multinomial(weight, PIXELS, replacement=True)
        target = Targets(label[pick], batch.colour.flatten()[pick])
        terms = losses(
            z[pick], target, self.text, self._prompts, self.config.logit_scale, PIXELS // 4
        )
        loss = torch.stack([WEIGHTS[key] * value for key, value in terms.items()]).sum()
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.encoder.parameters(), 3.0)
        self.optimiser.step()
        decay = min(0.998, 1 - 1 / (self.step / 10 + 2))
        _average(self.mean_encoder, self.encoder, decay)
        _average(self.mean_text, self.text, decay)
        self.step += 1
        for key, value in terms.items():
            before = self.terms.get(key, value.item())
            self.terms[key] = before + 0.02 * (value.item() - before)

    def teacher(self) -> MiniTeacher:
        """A teacher of the running means, on weights of its own."""
        return MiniTeacher(
            copy.deepcopy(self.mean_encoder),
            copy.deepcopy(self.mean_text),
            self.words,
            self.config,
        )

    def save(self, path: Path) -> None:
        """Writes everything that carrying on takes; the file is whole or not there."""
        content = {name: part.state_dict() for name, part in self._parts().items()}
        content |= {
            "step": self.step,
            "spent": self.spent,
            "frequency": self._frequency,
            "history": json.dumps(self.history),
        }
        part = path.with_suffix(".part")
        torch.save(content, part)
        part.replace(path)

    def load(self, path: Path) -> None:
        """Reads what `save` wrote."""
        content = torch.load(path, weights_only=True)
        for name, part in self._parts().items():
            part.load_state_dict(content[name])
        self.step, self.spent = content["step"], content["spent"]
        self._frequency = content["frequency"]
        self.history = json.loads(content["history"])

    def _parts(self) -> dict[str, Any]:
        return {
            "encoder": self.encoder,
            "text": self.text,
            "mean_encoder": self.mean_encoder,
            "mean_text": self.mean_text,
            "optimiser": self.optimiser,
        }


def _start_text(words: Vocabulary, text: TextEncoder) -> None:
    """Words begin orthogonal, the canonical ones close to a direction of their own."""
    with torch.no_grad():
        first = words.number(words.canonical[0])
        shared = text.table[first].clone()
        for word in words.canonical[1:]:
            k = words.number(word)
            text.table[k] = F.normalize(shared + 0.3 * text.table[k], dim=0)


@torch.no_grad()
def _average(mean: torch.nn.Module, now: torch.nn.Module, decay: float) -> None:
    for a, b in zip(mean.state_dict().values(), now.state_dict().values(), strict=True):
        if a.is_floating_point():
            a.lerp_(b, 1 - decay)
