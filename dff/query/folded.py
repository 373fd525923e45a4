"""Cosine similarity straight from hidden features, without decoding them.

The feature field ends in a linear layer ``F = W h + b``. A dot product with an embedding ``e`` is
then ``(e W) . h + e . b``, and the length of ``F`` is that of ``R [h, 1]`` where ``[W b] = Q R`` (Q
has orthonormal columns). ``R^T R`` is the Gram matrix of ``[W b]``; going through R instead of the
Gram matrix says the same without squaring the rounding error, and never gives a negative square.
The cost is ``H (n + H)`` per feature instead of ``H D + D n``.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from dff.query.scores import QueryEmbedding, normalise, scores_from_cosines


@dataclass(frozen=True)
class FoldedQueries:
    """Embeddings pulled back through a linear layer.

    Attributes:
        directions: (n, H + 1), row k dotted with ``[h, 1]`` is ``e_k . F``.
        root: (r, H + 1), ``|root [h, 1]|`` is ``|F|``.
    """

    directions: Float[Tensor, "n K"]
    root: Float[Tensor, "r K"]

    def cosines(
        self,
        hidden: Float[Tensor, "*batch H"],
        accumulation: Float[Tensor, "*batch 1"] | None = None,
    ) -> Float[Tensor, "*batch n"]:
        """Cosine similarity of ``W h + b`` with every embedding.

        Args:
            hidden: (..., H).
            accumulation: (..., 1), what the bias is multiplied by: for features composited with
                weights w_i, ``sum w_i (W h_i + b) = W (sum w_i h_i) + b (sum w_i)``. None means 1.

        Returns:
            (..., n) in [-1, 1]; 0 where the decoded feature is zero.
        """
        wide = hidden if hidden.dtype in (torch.float32, torch.float64) else hidden.float()
        last = torch.ones_like(wide[..., :1]) if accumulation is None else accumulation.to(wide)
        extended = torch.cat([wide, last], dim=-1)
        length = torch.linalg.vector_norm(extended @ self.root.to(wide).T, dim=-1, keepdim=True)
        dots = extended @ self.directions.to(wide).T
        return (dots / length.clamp_min(1e-12)).clamp(-1.0, 1.0)

    def scores(
        self,
        hidden: Float[Tensor, "*batch H"],
        query: QueryEmbedding,
        accumulation: Float[Tensor, "*batch 1"] | None = None,
    ) -> Float[Tensor, "*batch"]:
        """As `query_scores` on the decoded features; ``query`` must be the one that was folded."""
        return scores_from_cosines(self.cosines(hidden, accumulation), query)


def fold_queries(
    weight: Float[Tensor, "D H"],
    bias: Float[Tensor, " D"] | None,
    embeddings: Float[Tensor, "n D"],
) -> FoldedQueries:
    """Pull embeddings back through ``F = weight h + bias``, once per query.

    The folding itself is done in float64, on the weight's device. The result does not follow later
    changes of the weight and carries no gradient to it.

    Args:
        weight: (D, H), as in ``torch.nn.Linear``.
        bias: (D,) or None.
        embeddings: (n, D), any length; for a query, ``query.embeddings``.
    """
    with torch.no_grad():
        matrix = weight.double()
        offset = torch.zeros_like(matrix[:, 0]) if bias is None else bias.double()
        augmented = torch.cat([matrix, offset[:, None]], dim=1)
        directions = normalise(embeddings.to(augmented)) @ augmented
        root = torch.linalg.qr(augmented, mode="r").R
        dtype = weight.dtype if weight.dtype == torch.float64 else torch.float32
        return FoldedQueries(directions=directions.to(dtype), root=root.to(dtype))
