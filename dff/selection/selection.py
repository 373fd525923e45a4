"""A selection: a soft mask over the voxels of one scene, and what it was made from.

Its values lie on the surface grid. A selection that is still what a query gave also keeps the
query, so that rendering can ask the feature field itself at every point (`exact`) and rims are as
sharp as the field; refinements that select what the query did not make it a thing of voxels alone.
"""

from __future__ import annotations

import dataclasses
import json
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from dff.errors import DffError
from dff.files import atomic_write
from dff.query.scores import QueryEmbedding
from dff.selection.exact import ExactQuery, TeacherQuery
from dff.selection.refine import SELECTED
from dff.selection.surface_grid import SurfaceGrid

VERSION = 1


@dataclass(frozen=True, eq=False)
class Selection:
    """See the module's docstring.

    Attributes:
        grid: the voxels of the scene it belongs to.
        values: (n,), soft mask in [0, 1].
        scores: (n,), the query's scores on the voxels in [0, 1]; None where there is none.
        exact: asked at each point, inside of what `values` select; None: the voxels alone decide.
        made_by: how it was made, in order, as plain data.
        firm: (n,), voxels whose values hold although there is a query; None: there are none.
        whole: the query is asked in all that is selected, not on its rim alone.
    """

    grid: SurfaceGrid
    values: Float[Tensor, " n"]
    scores: Float[Tensor, " n"] | None = None
    exact: ExactQuery | None = None
    made_by: tuple[str, ...] = ()
    firm: Bool[Tensor, " n"] | None = None
    whole: bool = False

    def __post_init__(self) -> None:
        if self.values.shape != (len(self.grid),):
            raise ValueError("a selection has one value for each voxel")

    @cached_property
    def settled(self) -> Bool[Tensor, " n"]:
        """Voxels whose values hold: those that are no rim, and the firm ones.

        A voxel on a rim, selected beside one that is not or the other way round, holds a bit of
        both sides; the query parts them.
        """
        if self.exact is None:
            return torch.ones(len(self.grid), dtype=torch.bool)
        selected = self.values >= SELECTED
        first, second = self.grid.ends
        across = selected[first] != selected[second]
        settled = torch.ones_like(selected)
        settled[first[across]] = False
        settled[second[across]] = False
        if self.whole:
            settled &= ~selected
        return settled if self.firm is None else settled | self.firm

    @property
    def count(self) -> int:
        """Voxels that are selected."""
        return int((self.values >= SELECTED).sum())

    def exactly(self) -> Selection:
        """The same, with the feature field itself asked at every sample in it and around it.

        Raises:
            DffError: no query is left to be asked.
        """
        if self.exact is None:
            raise DffError(
                "exact needs a selection that is still what a query gave: leave out what selects "
                "more than the query did (add, grow, smooth, fill holes, follow colours, invert)"
            )
        return dataclasses.replace(self, whole=True, made_by=(*self.made_by, "exact"))

    def within(self, change: Callable[[Tensor], Tensor], how: str) -> Selection:
        """A part of this selection: what the query did not select stays out, so it stays exact.

        Args:
            change: gives new values, nowhere larger.
            how: what was done, for people.
        """
        values = torch.minimum(change(self.values), self.values)
        return dataclasses.replace(self, values=values, made_by=(*self.made_by, how))

    def beyond(self, change: Callable[[Tensor], Tensor], how: str) -> Selection:
        """A change that may select more: from here on the voxels alone decide."""
        values = change(self.values).clamp(0.0, 1.0)
        return dataclasses.replace(
            self,
            values=values,
            scores=None,
            exact=None,
            firm=None,
            whole=False,
            made_by=(*self.made_by, how),
        )

    def combined(
        self, other: Selection, change: Callable[[Tensor, Tensor], Tensor], how: str
    ) -> Selection:
        """With another selection of the same scene.

        Raises:
            DffError: the other one belongs to another scene or checkpoint.
        """
        if other.grid is not self.grid and other.grid.fingerprint != self.grid.fingerprint:
            raise DffError("the two selections belong to different scenes or checkpoints")
        made_by = (*self.made_by, how, *(f"  {line}" for line in other.made_by))
        return Selection(self.grid, change(self.values, other.values), made_by=made_by)

    def save(self, path: Path, checkpoint: str) -> None:
        """Write a ``.npz``: values, voxels, query and how it was made.

        Args:
            path: ending in .npz.
            checkpoint: fingerprint of the checkpoint it belongs to.
        """
        if path.suffix != ".npz":
            raise DffError(f"a selection is saved to a file that ends in .npz, not {path.name}")
        facts: dict[str, Any] = {
            "version": VERSION,
            "checkpoint": checkpoint,
            "grid": self.grid.fingerprint,
            "resolution": self.grid.resolution,
            "made_by": list(self.made_by),
        }
        arrays = {
            "values": self.values.numpy().astype(np.float32),
            "voxels": self.grid.snap.seen.numpy(),
            "points": self.grid.points.numpy(),
        }
        if self.exact is not None:
            facts["exact"] = {
                "whole": self.whole,
                "threshold": self.exact.threshold,
                "softness": self.exact.softness,
                "parts": [
                    {"teacher": part.teacher, "scale": part.query.scale, "rule": part.query.rule}
                    for part in self.exact.parts
                ],
            }
            for number, part in enumerate(self.exact.parts):
                arrays[f"positives{number}"] = part.query.positives.cpu().numpy()
                arrays[f"negatives{number}"] = part.query.negatives.cpu().numpy()
        if self.firm is not None:
            arrays["firm"] = self.firm.numpy()
        if self.scores is not None:
            arrays["scores"] = self.scores.numpy()
        text = np.frombuffer(json.dumps(facts).encode(), dtype=np.uint8)
        with atomic_write(path) as stream:
            np.savez_compressed(stream, facts=text, **arrays)

    @classmethod
    def load(cls, path: Path, grid: SurfaceGrid, checkpoint: str) -> Selection:
        """Read what `save` wrote.

        Args:
            path: the file.
            grid: of the scene it is to be used with.
            checkpoint: fingerprint of that scene's checkpoint.

        Raises:
            DffError: the file is missing or damaged, of a later version, or of another checkpoint.
        """
        facts, arrays = _read(path)
        if facts.get("version") != VERSION:
            raise DffError(f"{path} has version {facts.get('version')}: update dff to read it")
        if facts.get("checkpoint") != checkpoint or facts.get("grid") != grid.fingerprint:
            raise DffError(
                f"{path} was made from another checkpoint: make the selection again on this one"
            )
        try:
            exact, whole = None, False
            if "exact" in facts:
                kept = facts["exact"]
                whole = kept.get("whole", False) is True
                parts = tuple(
                    TeacherQuery(
                        part["teacher"],
                        QueryEmbedding(
                            torch.from_numpy(arrays[f"positives{number}"]),
                            torch.from_numpy(arrays[f"negatives{number}"]),
                            float(part["scale"]),
                            part["rule"],
                        ),
                    )
                    for number, part in enumerate(kept["parts"])
                )
                exact = ExactQuery(parts, float(kept["threshold"]), float(kept["softness"]))
            scores = torch.from_numpy(arrays["scores"]) if "scores" in arrays else None
            values = torch.from_numpy(arrays["values"]).float()
            firm = torch.from_numpy(arrays["firm"]).bool() if "firm" in arrays else None
            return cls(grid, values, scores, exact, tuple(facts["made_by"]), firm, whole)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise DffError(f"{path} is damaged: make the selection again") from error


def _read(path: Path) -> tuple[Mapping[str, Any], dict[str, np.ndarray]]:
    if not path.exists():
        raise DffError(f"no such selection: {path}")
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        facts = json.loads(bytes(arrays.pop("facts")).decode())
        if not isinstance(facts, dict):
            raise ValueError("no facts")
        return facts, arrays
    except (OSError, ValueError, KeyError, EOFError, MemoryError, zipfile.BadZipFile) as error:
        raise DffError(f"{path} is damaged or no selection: make it again") from error
