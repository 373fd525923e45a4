"""A trained scene as matter that edits are made of: its fields, and what its selections say."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from dff.fields.feature_field import FeatureField
from dff.fields.radiance_field import RadianceField
from dff.selection.at_points import Placed
from dff.selection.exact import ExactScorer
from dff.selection.surface_snap import SurfaceSnap

Points = Float[Tensor, "n 3"]


@dataclass(frozen=True, eq=False)
class FieldMatter:
    """See `dff.edits.compiled.Matter`.

    Attributes:
        field: density and colour.
        density_fns: of the proposal networks, from coarse to fine.
        feature_field: asked on the rims of selections.
        places: of each selection, its voxels.
        scorers: of each selection, its query; None where the voxels alone decide.
        snap: where to ask about points no photo shows; None asks at the points.
    """

    field: RadianceField
    density_fns: Sequence[Callable[[Points], Float[Tensor, "n 1"]]]
    feature_field: FeatureField | None = None
    places: tuple[Placed, ...] = ()
    scorers: tuple[ExactScorer | None, ...] = ()
    snap: SurfaceSnap | None = None

    def density(self, positions: Points) -> tuple[Float[Tensor, "n 1"], Float[Tensor, "n C"]]:
        """Density in 1 / world unit, and geometry features."""
        return self.field.density_at(positions)

    def colour(
        self,
        code: Float[Tensor, "n C"],
        directions: Float[Tensor, "rays 3"],
        ray: Int[Tensor, " n"],
    ) -> Float[Tensor, "n 3"]:
        """Colour in [0, 1], in the mean appearance, each seen along the direction of its ray."""
        return self.field.colour_of(code, directions, ray=ray)

    def proposal(self, level: int, positions: Points) -> Float[Tensor, "n 1"]:
        """Density of a proposal network; of the finest where there are fewer."""
        return self.density_fns[min(level, len(self.density_fns) - 1)](positions)

    def masks(
        self, which: Sequence[int], positions: Points, exactly: bool
    ) -> list[Float[Tensor, " n"]]:
        """Soft masks; exactly: with the queries' own borders on the rims of the voxels."""
        assert self.feature_field is not None
        unit = self.feature_field.unit_positions(positions)
        found = [self.places[number](unit) for number in which]
        if not exactly:
            return [values for values, _ in found]
        where = torch.stack([asked for _, asked in found]).any(dim=0)
        if not where.any():
            return [values for values, _ in found]
        hidden = self._hidden(positions, unit, where)
        masks = []
        for number, (values, asked) in zip(which, found, strict=True):
            scorer = self.scorers[number]
            if scorer is not None:
                its = hidden if len(which) == 1 else hidden[asked[where]]
                values = values.masked_scatter(asked, scorer.mask(its))
            masks.append(values)
        return masks

    def _hidden(
        self, positions: Points, unit: Points, where: Bool[Tensor, " n"]
    ) -> Float[Tensor, "k H"]:
        assert self.feature_field is not None
        there = positions[where]
        if self.snap is not None:
            there = self.snap(unit[where], there)
        return self.feature_field.hidden_at(there)
