"""An edit document made ready for one model: each enabled step with its selection resolved."""

from __future__ import annotations

from collections.abc import Callable, Sequence
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
    """Says a soft mask, and where features have to be asked: see `dff.selection.at_points`."""

    def __call__(
        self, unit: Float[Tensor, "*batch 3"]
    ) -> tuple[Float[Tensor, "*batch"], Bool[Tensor, "*batch"]]: ...


class PointSelection(Protocol):
    """Anything that gives a soft mask from hidden features."""

    def mask(self, hidden: Float[Tensor, "*batch H"]) -> Float[Tensor, "*batch"]: ...


@dataclass(frozen=True)
class CompiledEdits:
    """Selections and operations in the order of the document.

    Attributes:
        selections: one per operation, asked about features; None where its place says all.
        operations: what is done.
        snap: where to ask the selections about points no photo shows; None asks at the points.
        places: where each selection holds, one per operation; without, everywhere.
    """

    selections: tuple[PointSelection | None, ...]
    operations: tuple[Operation, ...]
    snap: PointMover | None = None
    places: tuple[Place, ...] = ()

    @property
    def changes_opacity(self) -> bool:
        """Whether any step changes what light passes through; then the sampler must see it."""
        return any(isinstance(op, (Delete, Extract, Opacity)) for op in self.operations)

    def masks(
        self,
        unit: Float[Tensor, "n 3"],
        hidden_where: Callable[[Bool[Tensor, " n"]], Float[Tensor, "k H"]],
    ) -> list[Float[Tensor, " n"]]:
        """Soft mask of every step at the same points.

        Args:
            unit: the points in the unit cube.
            hidden_where: gives hidden features of some of them; asked once, for those that lie on
                the rim of some selection.
        """
        if self.places:
            found = [place(unit) for place in self.places]
        else:
            everywhere = torch.ones(len(unit), dtype=torch.bool, device=unit.device)
            found = [(unit.new_zeros(len(unit)), everywhere)] * len(self.selections)
        where = torch.stack([asked for _, asked in found]).any(dim=0)
        hidden = hidden_where(where)
        masks = []
        for selection, (values, asked) in zip(self.selections, found, strict=True):
            if selection is not None:
                values = values.masked_scatter(asked, selection.mask(hidden[asked[where]]))
            masks.append(values)
        return masks

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
