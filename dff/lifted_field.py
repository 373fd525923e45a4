"""Features that were lifted onto the surface, beside those that were trained (if any were)."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from dff.checkpoint import TeacherRecord
from dff.fields.feature_field import FeatureField
from dff.selection.surface_grid import SurfaceGrid
from dff.teachers.options import DEFAULT_OPTIONS, TeacherOptions


@dataclass(frozen=True, eq=False)
class LiftedFeatures:
    """One teacher's features on the voxels of a surface.

    Attributes:
        teacher: which one.
        values: (n, K), of each voxel.
        weight: (D, K), from these to the teacher's own space.
        options: with which the teacher was loaded.
    """

    teacher: TeacherRecord
    values: Float[Tensor, "n K"]
    weight: Float[Tensor, "D K"]
    options: TeacherOptions = DEFAULT_OPTIONS


class BareField(FeatureField):
    """A feature field that has nothing to say: of a scene that was trained without features.

    Args:
        aabb: scene box, ``(2, 3)``.
        contracted: whether unbounded space is contracted into a cube.
    """

    def __init__(self, aabb: Float[Tensor, "2 3"], contracted: bool) -> None:
        nn.Module.__init__(self)
        self.register_buffer("aabb", aabb)
        self.contracted = contracted
        self.hidden_dim = 0
        self.heads = nn.ModuleDict()

    def hidden_at(self, positions: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch hidden"]:
        """No numbers at all."""
        return positions.new_zeros(*positions.shape[:-1], 0)


class LiftedField(FeatureField):
    """A feature field whose hidden features are those of another one, then lifted ones.

    Everything that asks a feature field can ask this one. Between voxels lifted features are
    trilinear among the occupied ones; far from all of them, those of the nearest.

    Args:
        base: what was trained; its heads stay, but for those of lifted teachers.
        grid: the surface.
        lifted: by name of the teacher.
    """

    def __init__(
        self, base: FeatureField, grid: SurfaceGrid, lifted: Mapping[str, LiftedFeatures]
    ) -> None:
        nn.Module.__init__(self)
        self.options = {name: part.options for name, part in lifted.items()}
        self.register_buffer("aabb", base.aabb)
        self.contracted = base.contracted
        self.base = base
        self.resolution = grid.resolution
        values = [part.values.float() for part in lifted.values()]
        self.register_buffer("values", torch.cat(values, dim=1).to(base.aabb))
        self.register_buffer("nearest", grid.snap.nearest.view(-1).to(base.aabb.device))
        self.register_buffer("seen", grid.snap.seen.to(base.aabb.device))
        widths = [base.hidden_dim, *(part.shape[1] for part in values)]
        self.hidden_dim = sum(widths)
        self.heads = nn.ModuleDict()
        for name in base.heads:
            self._add(name, base.head(name).weight, 0)
        for number, (name, part) in enumerate(lifted.items(), 1):
            self._add(name, part.weight, sum(widths[:number]))

    values: Tensor
    nearest: Tensor
    seen: Tensor

    def _add(self, name: str, weight: Float[Tensor, "D K"], start: int) -> None:
        """A head that looks at some of the hidden features alone."""
        head = self.add_head(name, weight.shape[0])
        behind = self.hidden_dim - start - weight.shape[1]
        whole = F.pad(weight.detach().float(), (start, behind)).to(self.aabb)
        head.decoder.weight = nn.Parameter(whole, requires_grad=False)

    def hidden_at(self, positions: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch hidden"]:
        """Hidden features at world positions, without gradient for the lifted ones."""
        unit = self.unit_positions(positions.detach()).reshape(-1, 3)
        voxels, shares = self.around(unit)
        lifted = F.embedding_bag(voxels, self.values, per_sample_weights=shares, mode="sum")
        lifted = lifted.view(*positions.shape[:-1], -1)
        return torch.cat([self.base.hidden_at(positions), lifted.to(positions)], dim=-1)

    def around(self, unit: Float[Tensor, "m 3"]) -> tuple[Int[Tensor, "m 8"], Float[Tensor, "m 8"]]:
        """The voxels that count at positions in the unit cube, and their shares, which sum to 1."""
        size = self.resolution
        offsets = torch.tensor(
            list(itertools.product((0, 1), repeat=3)), dtype=torch.long, device=unit.device
        )
        low = (unit * size - 0.5).floor()
        part = (unit * size - 0.5 - low)[:, None, :]
        place = (low.long()[:, None, :] + offsets).clamp(0, size - 1)
        cell = (place[..., 0] * size + place[..., 1]) * size + place[..., 2]
        voxels = self.nearest[cell].long()
        shares = torch.where(offsets.bool(), part, 1 - part).prod(dim=-1)
        shares = shares * (self.seen[voxels] == cell)
        total = shares.sum(dim=1, keepdim=True)
        own = (unit * size).long().clamp(0, size - 1)
        alone = self.nearest[(own[:, 0] * size + own[:, 1]) * size + own[:, 2]].long()
        empty = total <= 1e-6
        one = F.one_hot(torch.zeros_like(alone), 8).to(shares)
        shares = torch.where(empty, one, shares / total.clamp_min(1e-6))
        return torch.where(empty, alone[:, None], voxels), shares

    def on_voxels(self, grid: SurfaceGrid) -> Float[Tensor, "n hidden"]:
        """Hidden features of the voxels of the surface that this was lifted onto."""
        return torch.cat([grid.hidden, self.values.cpu()], dim=1)
