"""The state of a training run and one step of it."""

from __future__ import annotations

import copy
import json
import math
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from dff.teachers.mini import MiniConfig, MiniTeacher
from dff.teachers.mini_network import TextEncoder
from dff.teachers.mini_vocabulary import Vocabulary
from mini.batches import Batch
from mini.losses import Emphasis, Prompts, Targets, class_weights, losses
from mini.muon import Muon

PIXELS, ASKED = 5000, 1200
ADAM_SHARE = 0.6
WEIGHTS = {
    "name": 1.0,
    "colour": 0.3,
    "material": 0.3,
    "phrase": 0.25,
    "name_leak": 0.6,
    "colour_leak": 0.2,
    "material_leak": 0.2,
    "phrase_leak": 0.2,
    "length": 0.3,
    "apart": 2.0,
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
        kernels = [p for p in self.encoder.parameters() if p.ndim > 1]
        others = [p for p in self.encoder.parameters() if p.ndim <= 1]
        self.kernel_optimiser = Muon(kernels)
        # Words move slowly: features are to gather around them, not they to wander.
        words_group = {"params": list(self.text.parameters()), "factor": 0.3}
        self.optimiser = torch.optim.AdamW(
            [{"params": others, "factor": 1.0}, words_group],
            weight_decay=0.0,
            betas=(0.9, 0.98),
        )
        self.step, self.seen, self.spent = 0, 0, 0.0
        self._remembered: dict[str, dict[str, Tensor]] = {}
        self.history: list[dict[str, float]] = []
        self.terms: dict[str, float] = {}
        self._prompts = Prompts.of(words)
        classes = len(words.names) + len(words.places)
        self._frequency = torch.full((classes,), 1.0 / classes)

    def teach(self, batch: Batch, rate: float, emphasis: Emphasis) -> None:
        """One step of training on a batch, at that learning rate."""
        for group in self.kernel_optimiser.param_groups:
            group["lr"] = rate
        for group in self.optimiser.param_groups:
            group["lr"] = ADAM_SHARE * rate * group["factor"]
        z = self.encoder(batch.image.contiguous(memory_format=torch.channels_last))
        z = z.permute(0, 2, 3, 1).reshape(-1, self.config.dim)
        label = batch.name.flatten()
        share = torch.bincount(label, minlength=len(self._frequency)).float() / len(label)
        self._frequency = 0.99 * self._frequency + 0.01 * share
        # Drawing pixels by their class's weight is as good as weighting all of them, and cheaper.
        weight = class_weights(self._frequency, emphasis.places)[label]
        pick = torch.multinomial(weight, PIXELS, replacement=True)
        target = Targets(label[pick], batch.colour.flatten()[pick], batch.material.flatten()[pick])
        terms = losses(
            z[pick], target, self.text, self._prompts, self.config.logit_scale, ASKED, emphasis
        )
        loss = torch.stack([WEIGHTS[key] * value for key, value in terms.items()]).sum()
        self.kernel_optimiser.zero_grad(set_to_none=True)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.encoder.parameters(), 3.0)
        self.kernel_optimiser.step()
        self.optimiser.step()
        decay = min(0.998, 1 - 1 / (self.step / 10 + 2))
        _average(self.mean_encoder, self.encoder, decay)
        _average(self.mean_text, self.text, decay)
        self.step += 1
        for key, value in terms.items():
            before = self.terms.get(key, value.item())
            self.terms[key] = before + 0.02 * (value.item() - before)

    def teacher(self, config: MiniConfig | None = None) -> MiniTeacher:
        """A teacher of the running means, on weights of its own; of the run's configuration, or of
        another that the weights fit."""
        return MiniTeacher(
            copy.deepcopy(self.mean_encoder),
            copy.deepcopy(self.mean_text),
            self.words,
            config or self.config,
        )

    def remember(self) -> None:
        """Keeps the running means as they are now, once, for `settled_teacher`."""
        if not self._remembered:
            for name, part in self._means().items():
                state = part.state_dict()
                self._remembered[name] = {key: value.clone() for key, value in state.items()}

    def settled_teacher(self) -> MiniTeacher:
        """A teacher half way between the remembered running means and those of now.

        What training on changed pictures gains is mostly kept half way, and so is what it loses
        elsewhere (Wortsman et al. 2022); the running means of now if none were remembered.
        """
        means = copy.deepcopy(self._means())
        for name, before in self._remembered.items():
            for key, value in means[name].state_dict().items():
                if value.is_floating_point():
                    value.lerp_(before[key], 0.5)
        return MiniTeacher(means["mean_encoder"], means["mean_text"], self.words, self.config)

    def _means(self) -> dict[str, Any]:
        return {"mean_encoder": self.mean_encoder, "mean_text": self.mean_text}

    def save(self, path: Path) -> None:
        """Writes everything that carrying on takes; the file is whole or not there."""
        content = {name: part.state_dict() for name, part in self._parts().items()}
        content |= {
            "step": self.step,
            "seen": self.seen,
            "spent": self.spent,
            "frequency": self._frequency,
            "remembered": self._remembered,
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
        self.step, self.seen = content["step"], content["seen"]
        self.spent = content["spent"]
        self._frequency, self._remembered = content["frequency"], content["remembered"]
        self.history = json.loads(content["history"])

    def _parts(self) -> dict[str, Any]:
        return {
            "encoder": self.encoder,
            "text": self.text,
            **self._means(),
            "optimiser": self.optimiser,
            "kernel_optimiser": self.kernel_optimiser,
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
    pairs = zip(mean.state_dict().values(), now.state_dict().values(), strict=True)
    a, b = zip(*((x, y) for x, y in pairs if x.is_floating_point()), strict=True)
    torch._foreach_lerp_(list(a), list(b), 1 - decay)
