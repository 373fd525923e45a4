"""Sentences as the tokens of CLIP's text tower."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import torch
from jaxtyping import Int
from open_clip.tokenizer import SimpleTokenizer
from torch import Tensor

from dff.errors import DffError


def tokenise(sentences: Sequence[str], context: int) -> Int[Tensor, "sentences context"]:
    """Tokens of sentences: start, words, end, then zeros.

    The vocabulary is in open_clip's package.

    Args:
        sentences: any text.
        context: tokens that the tower reads.

    Raises:
        DffError: a sentence that is longer, of which the tower would silently read the beginning,
            or in which there is nothing to read.
    """
    tokenizer = _tokenizer()
    rows = torch.zeros(len(sentences), context, dtype=torch.long)
    for row, sentence in zip(rows, sentences, strict=True):
        words = tokenizer.encode(sentence)
        if not words:
            raise DffError(f"there are no words in the text query {sentence!r}")
        if len(words) + 2 > context:
            raise DffError(
                f"the text query '{sentence[:40]}...' has {len(words)} tokens: shorten it, "
                f"CLIP reads at most {context - 2}"
            )
        tokens = [tokenizer.sot_token_id, *words, tokenizer.eot_token_id]
        row[: len(tokens)] = torch.tensor(tokens)
    return rows


@cache
def _tokenizer() -> SimpleTokenizer:
    return SimpleTokenizer()
