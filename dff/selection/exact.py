"""A query that the feature field can be asked at any point, and the same baked on voxels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from dff.fields.feature_field import FeatureField
from dff.query.routing import product_of_scores
from dff.query.scores import QueryEmbedding, normalise, scores_from_cosines
from dff.query.threshold import soft_mask
from dff.selection.field_selection import FieldSelection


@dataclass(frozen=True)
class TeacherQuery:
    """An embedded query and the teacher in whose space it is."""

    teacher: str
    query: QueryEmbedding


@dataclass(frozen=True)
class ExactQuery:
    """What is asked; several teachers answer by the product of their scores.

    Attributes:
        parts: one for each teacher that answers; at least one.
        threshold: scores at or above it are selected, in [0, 1].
        softness: half the width of the soft rim in units of score, in [0, 0.5].
    """

    parts: tuple[TeacherQuery, ...]
    threshold: float
    softness: float = 0.0

    @property
    def teachers(self) -> str:
        """Names of the teachers that answer."""
        return " x ".join(part.teacher for part in self.parts)

    def on(self, field: FeatureField) -> ExactScorer:
        """Ready to be asked at points of a field."""
        parts = tuple(
            FieldSelection.make(
                part.query, field.head(part.teacher).weight, self.threshold, self.softness
            )
            for part in self.parts
        )
        return ExactScorer(parts, self.threshold, self.softness)


@dataclass(frozen=True)
class ExactScorer:
    """Scores and soft mask of hidden features."""

    parts: tuple[FieldSelection, ...]
    threshold: float
    softness: float

    def scores(self, hidden: Float[Tensor, "*batch H"]) -> Float[Tensor, "*batch"]:
        """Scores in [0, 1]; a point without features (``h = 0``) scores 0."""
        return product_of_scores([part.scores(hidden) for part in self.parts])

    def mask(self, hidden: Float[Tensor, "*batch H"]) -> Float[Tensor, "*batch"]:
        """Soft mask in [0, 1]."""
        return soft_mask(self.scores(hidden), self.threshold, self.softness)


@dataclass(frozen=True)
class BakedFeatures:
    """One teacher's features on voxels, so that a query is a matrix product.

    Attributes:
        hidden: (n, H), scaled so that ``weight @ hidden`` has unit length; 0 where there is none.
        weight: (D, H), the teacher's head.
    """

    hidden: Float[Tensor, "n H"]
    weight: Float[Tensor, "D H"]

    @classmethod
    def bake(
        cls, hidden: Float[Tensor, "n H"], weight: Float[Tensor, "D H"], block: int = 1 << 15
    ) -> BakedFeatures:
        """From hidden features of any length.

        Args:
            hidden: of the voxels.
            weight: the teacher's head.
            block: voxels decoded at once, to find their lengths.
        """
        weight = weight.detach().float().cpu()
        lengths = torch.cat([(part @ weight.T).norm(dim=-1) for part in hidden.split(block)])
        return cls(hidden / lengths.clamp_min(1e-12)[:, None], weight)

    @cached_property
    def reduced(self) -> Float[Tensor, "n K"]:
        """Unit vectors in as few dimensions as the features have, with the same cosines.

        With ``W = Q R`` and orthonormal columns in Q, ``(W h) . (W g) = (R h) . (R g)``.
        """
        return normalise(self.hidden @ self._factors[1].T)

    def lifted(self, reduced: Float[Tensor, "m K"]) -> Float[Tensor, "m D"]:
        """From the space of `reduced` to the teacher's."""
        return reduced @ self._factors[0].T

    @cached_property
    def _factors(self) -> tuple[Float[Tensor, "D K"], Float[Tensor, "K H"]]:
        q, r = torch.linalg.qr(self.weight)
        return q, r

    def features(self, voxels: Tensor) -> Float[Tensor, "m D"]:
        """Unit features of some voxels."""
        return self.hidden[voxels] @ self.weight.T

    def cosines(self, embeddings: Float[Tensor, "q D"]) -> Float[Tensor, "n q"]:
        """Cosine similarity of every voxel with every embedding."""
        directions = normalise(embeddings.to(self.weight)) @ self.weight
        return (self.hidden @ directions.T).clamp(-1.0, 1.0)

    def likeness(
        self, positives: Float[Tensor, "p D"], negatives: Float[Tensor, "q D"]
    ) -> Float[Tensor, "n p"]:
        """Cosine of every voxel with each positive, in [0, 1]; 0 where a negative is nearer."""
        wanted = self.cosines(positives).clamp_min(0.0)
        if len(negatives) == 0:
            return wanted
        nearer = wanted.amax(dim=1) >= self.cosines(negatives).amax(dim=1)
        return wanted * nearer[:, None]

    @cached_property
    def there(self) -> Bool[Tensor, " n"]:
        """Which voxels have features."""
        return (self.hidden != 0).any(dim=-1)

    def scores(self, query: QueryEmbedding) -> Float[Tensor, " n"]:
        """How well every voxel matches a query, in [0, 1]; 0 where there are no features."""
        return self.scores_of([query])[0]

    def scores_of(self, queries: Sequence[QueryEmbedding]) -> list[Float[Tensor, " n"]]:
        """As `scores`, for several queries in one matrix product; what they share is asked once."""
        rows = torch.cat([query.embeddings for query in queries])
        kinds, which = torch.unique(rows, dim=0, return_inverse=True)
        # A row for each embedding, so that what a query needs lies together.
        cosines = self.cosines(kinds).T.contiguous()
        found, start = [], 0
        for query in queries:
            columns = which[start : start + len(query.embeddings)]
            start += len(columns)
            scores = scores_from_cosines(cosines[columns].T, query)
            found.append(torch.where(self.there, scores, torch.zeros_like(scores)))
        return found
