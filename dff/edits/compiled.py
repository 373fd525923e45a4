"""An edit document made ready for one model: each enabled step with its selection resolved."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from dff.edits.apply import apply_edits, apply_operations
from dff.edits.operations import Delete, Extract, Opacity, Operation


class PointMover(Protocol):
    """Says where to ask about points: see `dff.selection.surface_snap`."""

    def __call__(
        self, unit: Float[Tensor, "n 3"], world: Float[Tensor, "n 3"]
    ) -> Float[Tensor, "n 3"]: ...


class Place(Protocol):
    """Where a selection holds: see `dff.selection.at_points`."""

    def __call__(
        self, unit: Float[Tensor, "*batch 3"], mask: Float[Tensor, "*batch"]
    ) -> Float[Tensor, "*batch"]: ...

    def open_at(self, unit: Float[Tensor, "*batch 3"]) -> Bool[Tensor, "*batch"]: ...


class PointSelection(Protocol):
    """Anything that gives a soft mask from hidden features."""

    def mask(self, hidden: Float[Tensor, "*batch H"]) -> Float[Tensor, "*batch"]: ...


@dataclass(frozen=True)
class CompiledEdits:
    """Selections and operations in the order of the document.

    Attributes:
        selections: one per operation.
        operations: what is done.
        snap: where to ask the selections about points no photo shows; None asks at the points.
        places: where each selection holds, one per operation; without, everywhere.
    """

    selections: tuple[PointSelection, ...]
    operations: tuple[Operation, ...]
    snap: PointMover | None = None
    places: tuple[Place, ...] = ()

    @property
    def changes_opacity(self) -> bool:
        """Whether any step changes what light passes through; then the sampler must see it."""
        return any(isinstance(op, (Delete, Extract, Opacity)) for op in self.operations)

    def open_at(self, unit: Float[Tensor, "*batch 3"]) -> Bool[Tensor, "*batch"]:
        """Where some selection has to be asked about features; elsewhere its place says all."""
        if not self.places:
            return torch.ones(unit.shape[:-1], dtype=torch.bool, device=unit.device)
        return torch.stack([place.open_at(unit) for place in self.places]).any(dim=0)

    def masks(
        self, hidden: Float[Tensor, "*batch H"], unit: Float[Tensor, "*batch 3"] | None = None
    ) -> list[Float[Tensor, "*batch"]]:
        """Soft mask of every step at the same points.

        Args:
            hidden: hidden features of the points; zeros will do where nothing is `open_at`.
            unit: the points in the unit cube; without them places are left aside.
        """
        masks = [selection.mask(hidden) for selection in self.selections]
        if unit is None or not self.places:
            return masks
        return [place(unit, mask) for place, mask in zip(self.places, masks, strict=True)]

    def apply(
        self,
        density: Float[Tensor, "*batch samples 1"],
        deltas: Float[Tensor, "*batch samples 1"],
        rgb: Float[Tensor, "*batch samples 3"],
        masks: Sequence[Float[Tensor, "*batch samples"]],
    ) -> tuple[Float[Tensor, "*batch samples 1"], Float[Tensor, "*batch samples 3"]]:
        """Edited alphas and colours of ray samples."""
        return apply_edits(density, deltas, rgb, self.operations, masks)

    def kept_share(self, masks: Sequence[Float[Tensor, "*batch"]]) -> Float[Tensor, "*batch 1"]:
        """Share of the alpha that the steps leave at each point, in [0, 1]."""
        one = torch.ones_like(masks[0])[..., None]
        flat = torch.zeros(*one.shape[:-1], 3, dtype=one.dtype, device=one.device)
        pairs = [
            (op, mask)
            for op, mask in zip(self.operations, masks, strict=True)
            if isinstance(op, (Delete, Extract, Opacity))
        ]
        kept, _ = apply_operations(one, flat, [p[0] for p in pairs], [p[1] for p in pairs])
        return kept
