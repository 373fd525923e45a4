"""Sets of training pictures on disk: shards of a few hundred, each written whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from dff.data.generated.decks import NameDeck
from dff.data.generated.pictures import render_buffers


def write_shard(path: Path, count: int, seed: int, *, views: int = 3, size: int = 192) -> None:
    """Writes ``count`` pictures as an ``.npz`` with ``planes`` (N, 5, H, W), ``names`` (N, K) and
    ``figures`` (N, 1 + K).

    Args:
        path: the file; it appears only once complete.
        count: number of pictures.
        seed: seeds everything in the shard.
        views: pictures taken of one layout.
        size: height and width of a picture in pixels.
    """
    rng = np.random.default_rng(seed)
    deck = NameDeck(rng)
    buffers = []
    while len(buffers) < count:
        buffers += render_buffers(deck.deal(int(rng.integers(2, 6))), rng, views=views, size=size)
    buffers = buffers[:count]
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(f".{os.getpid()}.part")
    with part.open("wb") as file:
        np.savez(
            file,
            planes=np.stack([b.planes for b in buffers]),
            names=np.stack([b.names for b in buffers]),
            figures=np.stack([b.figures for b in buffers]),
        )
    part.replace(path)


def read_shard(path: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A shard's ``planes`` (N, 5, H, W) uint8, ``names`` (N, K) and ``figures`` (N, 1 + K) int8."""
    with np.load(path) as data:
        return data["planes"], data["names"], data["figures"]
