"""Text queries: what the user typed, checked, and its embedding by a teacher."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dff.errors import DffError
from dff.query.scores import QueryEmbedding
from dff.query.threshold import check_threshold

if TYPE_CHECKING:
    from dff.teachers import Teacher

MAX_PROMPT_LENGTH = 200
MAX_PROMPTS = 1000
# One over the temperature multiplies a cosine; outside this range float32 has nothing left to tell.
TEMPERATURE_RANGE = (1e-3, 100.0)


def clean_prompts(prompts: Sequence[str], what: str = "prompt") -> tuple[str, ...]:
    """Strip and check prompts; the same words twice (in any case) are one prompt.

    Args:
        prompts: what the user typed.
        what: how to call one of them in an error message.

    Returns:
        The prompts with single spaces, in the order of their first mention.

    Raises:
        DffError: for an empty prompt, one over 200 characters, control characters, or over 1000
            prompts.
    """
    if isinstance(prompts, str):
        prompts = [prompts]
    if len(prompts) > MAX_PROMPTS:
        raise DffError(f"{len(prompts)} {what}s are too many: at most {MAX_PROMPTS}")
    found: dict[str, str] = {}
    for prompt in prompts:
        if not isinstance(prompt, str):
            raise DffError(f"a {what} must be text, not {type(prompt).__name__}")
        words = " ".join(prompt.split())
        if not words:
            raise DffError(f"a {what} is empty: write at least one word")
        if len(words) > MAX_PROMPT_LENGTH:
            raise DffError(
                f"a {what} of {len(words)} characters is too long: at most {MAX_PROMPT_LENGTH} "
                f"(it begins {words[:30]!r})"
            )
        if any(unicodedata.category(char) in ("Cc", "Cs") for char in words):
            raise DffError(f"a {what} holds control characters: {words[:30]!r}")
        found.setdefault(words.casefold(), words)
    return tuple(found.values())


def split_phrases(text: str) -> tuple[str, ...]:
    """Phrases that somebody wrote into one field, with commas in between."""
    return tuple(part.strip() for part in text.split(",") if part.strip())


@dataclass(frozen=True)
class TextQuery:
    """What to look for, in words. Checked and cleaned when it is made.

    Attributes:
        positives: phrases that name what is wanted; at least one.
        negatives: phrases that name what is not; none means the teacher's canonical phrases.
        temperature: divides cosine similarity, in [0.001, 100]; None means the teacher's own.
        threshold: scores at or above it are selected, in [0, 1], or a name (see
            `dff.query.threshold.select_threshold`); None means chosen from the scores.
        teacher: whose text tower answers, where several were distilled; None means the first one
            that has a text tower.
    """

    positives: tuple[str, ...]
    negatives: tuple[str, ...] = ()
    temperature: float | None = None
    threshold: float | str | None = None
    teacher: str | None = None

    def __post_init__(self) -> None:
        positives = clean_prompts(self.positives, "text")
        negatives = clean_prompts(self.negatives, "negative text")
        if not positives:
            raise DffError("a query needs at least one text to look for, not only negatives")
        both = {p.casefold() for p in positives} & {n.casefold() for n in negatives}
        if both:
            word = sorted(both)[0]
            raise DffError(f"{word!r} is both wanted and not wanted: take it out of one of the two")
        _check_range("temperature", self.temperature, *TEMPERATURE_RANGE)
        check_threshold(self.threshold)
        object.__setattr__(self, "positives", positives)
        object.__setattr__(self, "negatives", negatives)


def embed_query(teacher: Teacher, query: TextQuery) -> QueryEmbedding:
    """Embed a text query with a teacher's text tower.

    With negatives given, the score is the softmax probability of the positives among all phrases
    (the paper's way); without, it is the pairwise relevancy against the teacher's canonical
    phrases. A canonical phrase that is itself asked for is left out of the negatives.

    Raises:
        DffError: when the teacher has no text tower or does not know a word.
    """
    if not teacher.has_text:
        raise DffError(
            f"teacher {teacher.name!r} understands no text: query by click or patch, "
            "or train with a teacher that has a text tower"
        )
    negatives = query.negatives
    if not negatives:
        asked = {phrase.casefold() for phrase in query.positives}
        negatives = tuple(p for p in teacher.canonical_phrases if p.casefold() not in asked)
    if not negatives:
        raise DffError(
            f"teacher {teacher.name!r} has no canonical phrases to compare with: give negatives"
        )
    embedded = teacher.encode_text([*query.positives, *negatives])
    count = len(query.positives)
    return QueryEmbedding(
        positives=embedded[:count],
        negatives=embedded[count:],
        scale=float(teacher.logit_scale) if query.temperature is None else 1.0 / query.temperature,
        rule="softmax" if query.negatives else "pairwise",
    )


def _check_range(name: str, value: float | None, low: float, high: float) -> None:
    if value is None:
        return
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not number or not math.isfinite(value) or not low <= value <= high:
        raise DffError(f"{name} must be a number from {low:g} to {high:g}, not {value!r}")
