"""The closed vocabulary of the mini teacher."""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field

from dff.errors import DffError

_SPELLINGS = {
    "grey": "gray",
    "doughnut": "donut",
    "wood": "wooden",
    "metallic": "metal",
    "dotted": "spotted",
    "chequered": "checked",
    "checkered": "checked",
}


@dataclass(frozen=True)
class Vocabulary:
    """The words that a mini teacher knows, by kind; a new kind is a new field.

    Attributes:
        names: things.
        colours: colours that things and the table come in.
        materials: what they are made of, or how their surface is figured.
        places: what is not a thing.
        canonical: words that fit anything, the default negatives of a query.
        fillers: words that are dropped.
        same: other spellings of known words.
    """

    names: tuple[str, ...]
    colours: tuple[str, ...]
    materials: tuple[str, ...] = ()
    places: tuple[str, ...] = ("table", "background")
    canonical: tuple[str, ...] = ("object", "things", "stuff", "texture")
    fillers: tuple[str, ...] = ("a", "an", "the")
    same: Mapping[str, str] = field(default_factory=lambda: dict(_SPELLINGS))

    @property
    def words(self) -> tuple[str, ...]:
        """All words, in the order of their numbers."""
        return (*self.names, *self.places, *self.colours, *self.materials, *self.canonical)

    def number(self, word: str) -> int:
        """The number of a known word."""
        return self.words.index(word)

    def tokens(self, phrase: str) -> tuple[int, ...]:
        """The numbers of a phrase's words, without fillers; case does not matter.

        Raises:
            DffError: for a phrase without words, or with a word that is not known.
        """
        numbers = []
        for raw in phrase.lower().split():
            word = raw.strip(".,;:!?\"'")
            word = self.same.get(word, word)
            if not word or word in self.fillers:
                continue
            if word not in self.words:
                raise DffError(self._unknown(word))
            numbers.append(self.number(word))
        if not numbers:
            raise DffError(f"the query '{phrase}' has no words; try one of: {self._listing()}")
        return tuple(numbers)

    def _listing(self) -> str:
        known = ", ".join((*self.names, *self.places)) + "; colours: " + ", ".join(self.colours)
        return known + ("; materials: " + ", ".join(self.materials) if self.materials else "")

    def _unknown(self, word: str) -> str:
        near = difflib.get_close_matches(word, self.words, n=1)
        hint = f" (did you mean '{near[0]}'?)" if near else ""
        return f"teacher 'mini' does not know the word '{word}'{hint}; it knows: {self._listing()}"

    def to_json(self) -> str:
        """The vocabulary as JSON text, for the metadata of a weights file."""
        return json.dumps(
            {k: v for k, v in asdict(self).items() if k != "same"} | {"same": dict(self.same)}
        )

    @staticmethod
    def from_json(text: str) -> Vocabulary:
        """Reads `to_json`'s text; raises ValueError, TypeError or KeyError for anything else."""
        data = json.loads(text)
        same = data.pop("same")
        return Vocabulary(**{k: tuple(v) for k, v in data.items()}, same=dict(same))


def pad_tokens(rows: Sequence[Sequence[int]], padding: int) -> list[list[int]]:
    """Rows of one length, filled up with ``padding``."""
    longest = max(len(row) for row in rows)
    return [list(row) + [padding] * (longest - len(row)) for row in rows]
