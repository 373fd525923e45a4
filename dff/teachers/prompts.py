"""Text prompts of a teacher: checked, put into templates, encoded in batches, remembered."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from dff.errors import DffError
from dff.teachers.options import DEFAULT_TEMPLATES

PLACE = "{}"
MAX_LENGTH = 1000  # characters; no text tower sees more than a few hundred


class PromptEncoder:
    """Unit embeddings of phrases by a text tower.

    With several templates an embedding is the unit vector along the mean of the unit embeddings of
    the filled templates (prompt ensembling, arXiv 2103.00020, section 3.1.4).

    Args:
        encode: gives (n, D) embeddings, any length, of n sentences; may raise `DffError`.
        templates: sentences with ``{}`` where the phrase goes.
        batch: sentences encoded at once.
        capacity: phrases whose embeddings are kept, the least recently used going first.

    Raises:
        DffError: for a template without ``{}``, or no template.
    """

    def __init__(
        self,
        encode: Callable[[list[str]], Tensor],
        templates: Sequence[str] = DEFAULT_TEMPLATES,
        batch: int = 64,
        capacity: int = 4096,
    ) -> None:
        if isinstance(templates, str) or not templates:
            raise DffError("prompt templates must be a list of at least one sentence")
        for template in templates:
            if not isinstance(template, str) or template.count(PLACE) != 1:
                raise DffError(f"the prompt template {template!r} must hold {PLACE} exactly once")
        self._encode = encode
        self._templates = tuple(dict.fromkeys(templates))
        self._batch = batch
        self._capacity = capacity
        self._known: OrderedDict[str, Tensor] = OrderedDict()

    def __call__(self, phrases: Sequence[str]) -> Float[Tensor, "phrases dim"]:
        """Embeddings of phrases, float32, one row each in their order.

        Raises:
            DffError: for no phrases, an empty one, one that is no text or too long.
        """
        if isinstance(phrases, str) or not phrases:
            raise DffError("a text query needs a list of at least one phrase")
        cleaned = [clean_phrase(phrase) for phrase in phrases]
        rows = {phrase: self._known[phrase] for phrase in cleaned if phrase in self._known}
        new = [phrase for phrase in dict.fromkeys(cleaned) if phrase not in rows]
        rows.update(zip(new, self._embed(new), strict=True))
        for phrase in rows:
            self._known[phrase] = rows[phrase]
            self._known.move_to_end(phrase)
        while len(self._known) > self._capacity:
            self._known.popitem(last=False)
        return torch.stack([rows[phrase] for phrase in cleaned])

    def _embed(self, phrases: list[str]) -> list[Tensor]:
        sentences = [
            template.replace(PLACE, phrase) for phrase in phrases for template in self._templates
        ]
        parts = [
            F.normalize(self._encode(sentences[start : start + self._batch]).float(), dim=-1)
            for start in range(0, len(sentences), self._batch)
        ]
        if not parts:
            return []
        mean = torch.cat(parts).unflatten(0, (len(phrases), len(self._templates))).mean(dim=1)
        return list(F.normalize(mean, dim=-1).detach())


def clean_phrase(phrase: str) -> str:
    """A phrase with single spaces.

    Raises:
        DffError: it is no text, empty, or longer than 1000 characters.
    """
    if not isinstance(phrase, str):
        raise DffError(f"a text query must be text, not {type(phrase).__name__}")
    words = " ".join(phrase.split())
    if not words:
        raise DffError("a text query is empty: write at least one word")
    if len(words) > MAX_LENGTH:
        raise DffError(f"a text query of {len(words)} characters is too long: at most {MAX_LENGTH}")
    return words
