"""Deals of what to put in a picture."""

from __future__ import annotations

import numpy as np

from dff.data.generated.objects import object_names


class NameDeck:
    """Deals names so that every name comes up equally often."""

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng
        self._deck: list[str] = []

    def deal(self, count: int) -> list[str]:
        """The next ``count`` names."""
        while len(self._deck) < count:
            self._deck += [str(name) for name in self._rng.permutation(object_names())]
        dealt, self._deck = self._deck[:count], self._deck[count:]
        return dealt
