"""How well features match a query: cosine similarity and the rules that make scores of it.

Written with ``s`` for the scale (one over the temperature) and ``c`` for cosine similarities:

* label list: ``p_k = exp(s c_k) / sum_j exp(s c_j)``, the softmax of LSeg and of distilled feature
  fields (arXiv 2201.03546, 2205.15585);
* likeness to what was shown: ``max_p c_p`` where that is not below ``max_n c_n``, else 0: the
  nearest prototype decides whose a point is, and its cosine how much;
* pairwise: ``max_p min_n exp(s c_p) / (exp(s c_p) + exp(s c_n))``, the relevancy of LERF
  (arXiv 2303.09553).

Features may arrive at any length: they are composited first and normalised here, without changing
the caller's tensors. A zero vector has cosine 0 with everything, so its score is well defined.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

Rule = Literal["softmax", "pairwise", "likeness"]

# Two unit vectors nearer than this are one label: text towers give the same phrase embeddings that
# differ in the last bits, depending on what else was in the batch.
IDENTICAL_DISTANCE = 1e-5


@dataclass(frozen=True)
class QueryEmbedding:
    """A query in the teacher's space, ready to be compared with features.

    Attributes:
        positives: (p, D), what is looked for; at least one row.
        negatives: (n, D), what it is told apart from; may have no rows under ``softmax``.
        scale: multiplies cosine similarity; one over the temperature.
        rule: ``softmax``: the summed probability of the positives among all rows;
            ``pairwise``: LERF's relevancy; ``likeness``: cosine with the nearest prototype.
    """

    positives: Float[Tensor, "p D"]
    negatives: Float[Tensor, "n D"]
    scale: float
    rule: Rule = "softmax"

    @property
    def embeddings(self) -> Float[Tensor, "m D"]:
        """Positives, then negatives: the order in which ``scores_from_cosines`` expects them."""
        return torch.cat([self.positives, self.negatives], dim=0)

    @cached_property
    def distinct(self) -> tuple[Int[Tensor, " u"], Int[Tensor, " v"]]:
        """Rows of ``embeddings`` to count under ``softmax``: one of each kind on either side."""
        count = len(self.positives)
        return merge_identical(self.positives)[0], count + merge_identical(self.negatives)[0]


def normalise(vectors: Float[Tensor, "*batch D"]) -> Float[Tensor, "*batch D"]:
    """Unit vectors, at least float32; the zero vector stays zero."""
    wide = vectors if vectors.dtype in (torch.float32, torch.float64) else vectors.float()
    return F.normalize(wide, dim=-1, eps=1e-12)


def cosine_scores(
    features: Float[Tensor, "*batch D"], embeddings: Float[Tensor, "n D"]
) -> Float[Tensor, "*batch n"]:
    """Cosine similarity of every feature with every embedding.

    Args:
        features: (..., D), any length, zero allowed.
        embeddings: (n, D), any length.

    Returns:
        (..., n) in [-1, 1], in the features' dtype (at least float32) and on their device.
    """
    unit = normalise(features)
    return (unit @ normalise(embeddings).to(unit).T).clamp(-1.0, 1.0)


def merge_identical(
    embeddings: Float[Tensor, "n D"],
) -> tuple[Int[Tensor, " u"], Int[Tensor, " n"]]:
    """Find rows that are the same label (same direction up to rounding).

    Returns:
        ``keep`` (u,): row indices of the first of each kind, in order; ``group`` (n,): for every
        row the position in ``keep`` of its kind. ``embeddings[keep][group]`` equals ``embeddings``.
    """
    unit = normalise(embeddings.detach().double())
    squared = (2.0 - 2.0 * unit @ unit.T).clamp_min(0.0)
    both_zero = (unit.norm(dim=-1) == 0)[:, None] & (unit.norm(dim=-1) == 0)[None, :]
    same = (squared < IDENTICAL_DISTANCE**2) | both_zero
    same = same | torch.eye(len(unit), dtype=torch.bool, device=unit.device)
    first = same.int().argmax(dim=1)  # the lowest row each one equals
    keep, group = torch.unique(first, sorted=True, return_inverse=True)
    return keep, group


def label_probabilities(
    features: Float[Tensor, "*batch D"], embeddings: Float[Tensor, "n D"], scale: float
) -> Float[Tensor, "*batch n"]:
    """Probability of each label of a list, the paper's way: a softmax over the labels.

    Identical labels are one label: each copy is given the probability of the whole, so naming a
    label twice changes nobody's probability. Over distinct labels the probabilities sum to 1.

    Args:
        features: (..., D).
        embeddings: (n, D), n >= 1.
        scale: multiplies cosine similarity, > 0.

    Returns:
        (..., n) in [0, 1].
    """
    keep, group = merge_identical(embeddings)
    cosines = cosine_scores(features, embeddings[keep])
    return torch.softmax(scale * cosines, dim=-1)[..., group.to(cosines.device)]


def relevancy(
    features: Float[Tensor, "*batch D"],
    positives: Float[Tensor, "p D"],
    negatives: Float[Tensor, "n D"],
    scale: float,
) -> Float[Tensor, "*batch"]:
    """LERF's relevancy: pairwise softmax, minimum over negatives, maximum over positives.

    Args:
        features: (..., D).
        positives: (p, D), p >= 1.
        negatives: (n, D), n >= 1.
        scale: multiplies cosine similarity, > 0.

    Returns:
        (...) in [0, 1]; 0.5 where the best positive and the best negative match equally well.
    """
    return query_scores(features, QueryEmbedding(positives, negatives, scale, "pairwise"))


def query_scores(
    features: Float[Tensor, "*batch D"], query: QueryEmbedding
) -> Float[Tensor, "*batch"]:
    """How well each feature matches the query: the one score that everything else uses.

    Args:
        features: (..., D), already composited, not necessarily of unit length.
        query: positives, negatives, scale and rule.

    Returns:
        (...) in [0, 1]. Duplicated rows and the order of rows change nothing.
    """
    return scores_from_cosines(cosine_scores(features, query.embeddings), query)


def scores_from_cosines(
    cosines: Float[Tensor, "*batch m"], query: QueryEmbedding
) -> Float[Tensor, "*batch"]:
    """As `query_scores`, from cosine similarities with ``query.embeddings``.

    ``softmax`` and ``pairwise`` are a logistic function of a difference: of the log-sum-exp of
    positives and negatives, and of their maxima (``exp(a)/(exp(a)+exp(b)) = sigmoid(a-b)`` grows
    with a and falls with b, so the extremes can be taken before it). This never overflows.
    """
    count = len(query.positives)
    if count == 0:
        raise ValueError("a query needs at least one positive")
    if cosines.shape[-1] != count + len(query.negatives):
        raise ValueError("cosines do not belong to this query")
    positive, negative = cosines[..., :count], cosines[..., count:]
    if query.rule == "likeness":
        best = positive.amax(dim=-1)
        if negative.shape[-1]:
            best = torch.where(best >= negative.amax(dim=-1), best, torch.zeros_like(best))
        return best.clamp_min(0.0)
    if query.rule == "pairwise":
        if negative.shape[-1] == 0:
            raise ValueError("the pairwise rule needs at least one negative")
        margin = positive.amax(dim=-1) - negative.amax(dim=-1)
        return torch.sigmoid(query.scale * margin)
    if negative.shape[-1] == 0:
        return torch.ones_like(positive[..., 0])
    logits = query.scale * cosines
    wanted, unwanted = (rows.to(logits.device) for rows in query.distinct)
    inside = torch.logsumexp(logits[..., wanted], dim=-1)
    outside = torch.logsumexp(logits[..., unwanted], dim=-1)
    return torch.sigmoid(inside - outside)
