"""Queries: embeddings in, scores in [0, 1] out, as pure functions on tensors.

Nothing here knows of scenes, cameras, files or windows; a teacher is only asked for embeddings.
"""

from dff.query.folded import FoldedQueries, fold_queries
from dff.query.scores import (
    QueryEmbedding,
    cosine_scores,
    label_probabilities,
    merge_identical,
    query_scores,
    relevancy,
    scores_from_cosines,
)
from dff.query.text import MAX_PROMPT_LENGTH, TextQuery, clean_prompts, embed_query
from dff.query.threshold import otsu_threshold, select_threshold, soft_mask

__all__ = [
    "MAX_PROMPT_LENGTH",
    "FoldedQueries",
    "QueryEmbedding",
    "TextQuery",
    "clean_prompts",
    "cosine_scores",
    "embed_query",
    "fold_queries",
    "label_probabilities",
    "merge_identical",
    "otsu_threshold",
    "query_scores",
    "relevancy",
    "scores_from_cosines",
    "select_threshold",
    "soft_mask",
]
