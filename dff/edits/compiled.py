"""An edit document made ready to render: layers, and the matter that they are made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal, Protocol

from jaxtyping import Float, Int
from torch import Tensor

from dff.edits.layers import Layer, changes_opacity
from dff.edits.operations import Operation

Points = Float[Tensor, "n 3"]


class Matter(Protocol):
    """What layers are made of, in its own coordinates: a trained scene, or a filling."""

    def density(self, positions: Points) -> tuple[Float[Tensor, "n 1"], Float[Tensor, "n C"]]:
        """Density in 1 / unit, and what the colour needs to know of the points."""
        ...

    def colour(
        self,
        code: Float[Tensor, "n C"],
        directions: Float[Tensor, "rays 3"],
        ray: Int[Tensor, " n"],
    ) -> Float[Tensor, "n 3"]:
        """Colour in [0, 1], each seen along the unit direction of its ray."""
        ...

    def proposal(self, level: int, positions: Points) -> Float[Tensor, "n 1"]:
        """Density as a proposal network has it."""
        ...

    def masks(
        self, which: Sequence[int], positions: Points, exactly: bool
    ) -> list[Float[Tensor, " n"]]:
        """Soft masks in [0, 1]; unless exactly, their rims may be off by a voxel."""
        ...


class Paint(Protocol):
    """Colours that a repainting gives."""

    def __call__(
        self,
        positions: Points,
        directions: Points,
        code: Float[Tensor, "n C"],
        rgb: Float[Tensor, "n 3"],
    ) -> Float[Tensor, "n 3"]: ...


@dataclass(frozen=True)
class CompiledEdits:
    """What an edited scene consists of.

    Attributes:
        layers: its parts; none at all is an empty scene.
        matters: what they are made of; the first is the scene itself.
        operations: of the steps that are switched on, in order.
        background: what the light that is left meets: a colour, ``transparent``, or None for
            what the scene itself has there.
        paints: for the numbers of steps that repaint, their colours.
    """

    layers: tuple[Layer, ...]
    matters: tuple[Matter, ...] = ()
    operations: tuple[Operation, ...] = ()
    background: tuple[float, float, float] | Literal["transparent"] | None = None
    paints: Mapping[int, Paint] = field(default_factory=lambda: MappingProxyType({}))

    @property
    def changes_nothing(self) -> bool:
        """Whether the scene is as it was trained."""
        plain = len(self.layers) == 1 and not self.layers[0].acts and self.layers[0].pose is None
        return plain and self.background is None

    @property
    def changes_opacity(self) -> bool:
        """Whether any step changes what light passes through; then the sampler must see it."""
        return changes_opacity(self.layers)


def no_edits() -> CompiledEdits:
    """The scene as it is."""
    return CompiledEdits((Layer(0),))
