"""Where to look in an edited scene: proposal densities of its layers, and samples along rays."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from jaxtyping import Bool, Float, Int
from nerfstudio.cameras.rays import RayBundle, RaySamples
from nerfstudio.model_components.ray_samplers import ProposalNetworkSampler
from torch import Tensor

from dff.edited_sampling import LEAST_PASSING, fading_at, masks_of, own_positions
from dff.edits.apply import apply_operations
from dff.edits.compiled import CompiledEdits, Matter
from dff.edits.layers import Act, Layer
from dff.edits.operations import OPACITIES
from dff.rendering import alphas_from_density

# Proposals only say where to look, so that thin fog need not be asked about.
VISIBLE_PROPOSAL_ALPHA = 1e-2
# Optical depth that lets 2% of the light through: few samples find what stops more than that.
OPAQUE_DEPTH = 4.0

Densities = Float[Tensor, "*rays samples 1"]
Rays = Int[Tensor, " k"]


def sample_edited(
    edits: CompiledEdits,
    rays: RayBundle,
    levels: int,
    sampler: ProposalNetworkSampler,
    finer: ProposalNetworkSampler,
) -> list[tuple[Rays, RaySamples]]:
    """Samples where an edited scene stops light.

    Args:
        edits: the layers.
        rays: (n,), with near and far set.
        levels: how many proposal networks there are.
        sampler: of most rays.
        finer: as many proposal samples, but more where the field is asked: of rays at the rims of
            what was put elsewhere, which the proposal networks were trained to find in its own
            place alone.

    Returns:
        Groups of rays, their numbers and their samples; every ray is in one of them.
    """
    densities = [EditedDensity(edits, level) for level in range(levels)]
    samples, _, _ = sampler(rays, density_fns=densities)
    met = torch.stack([density.met for density in densities]).any(dim=0)
    if finer is sampler or not bool(met.any()):
        return [(torch.arange(len(rays), device=met.device), samples)]
    some, others = met.nonzero()[:, 0], (~met).nonzero()[:, 0]
    known = [functools.partial(_known, density.found[some]) for density in densities]
    groups = [(some, finer(rays[some], density_fns=known)[0])]
    return [*groups, (others, samples[others])] if len(others) else groups


def _known(densities: Densities, _: Float[Tensor, "*rays samples 3"]) -> Densities:
    """Proposal densities of rays whose proposal samples were asked about before."""
    return densities


def joined(groups: Sequence[tuple[Rays, Mapping[str, Tensor]]]) -> dict[str, Tensor]:
    """Outputs of all rays from those of groups.

    Args:
        groups: the numbers of each group's rays, and their outputs (k, channels), the same ones in
            all groups; every ray is in one of them.

    Returns:
        The outputs (rays, channels).
    """
    if len(groups) == 1:
        return dict(groups[0][1])
    count = sum(len(index) for index, _ in groups)
    whole: dict[str, Tensor] = {}
    for index, outputs in groups:
        for name, value in outputs.items():
            if name not in whole:
                whole[name] = value.new_empty(count, *value.shape[1:])
            whole[name][index] = value
    return whole


class EditedDensity:
    """A density function for the proposal sampler that sees the layers where they are.

    Args:
        edits: the layers.
        level: of the proposal networks.

    Attributes:
        found: (rays, samples, 1), densities of the last call.
        met: (rays,), its rays at the rim of a thing that was put elsewhere: all that it stops, but
            not all light.
    """

    def __init__(self, edits: CompiledEdits, level: int) -> None:
        self._edits, self._level = edits, level
        self.found, self.met = torch.zeros(0, 0, 1), torch.zeros(0, dtype=torch.bool)

    def __call__(self, positions: Float[Tensor, "*rays samples 3"]) -> Densities:
        edits, level = self._edits, self._level
        along = _Along(positions.reshape(-1, 3), positions.shape[-2])
        total = along.positions.new_zeros(len(along.positions), 1)
        met = torch.zeros(len(total) // along.samples, dtype=torch.bool, device=total.device)
        for layer in edits.layers:
            own, there = own_positions(layer, along.positions, along.samples)
            if there is None:
                total = total + _kept_density(edits, layer, level, own, along)
            elif len(there):
                some = along.at(there)
                near = _kept_density(edits, layer, level, own, some)
                total = total.index_add(0, there, near)
                if layer.brought_by:
                    met |= some.at_rim(near)
        self.found, self.met = total.view(*positions.shape[:-1], 1), met
        return self.found


@dataclass(frozen=True, eq=False)
class _Along:
    """Positions along rays, in the world, or some of them.

    Attributes:
        positions: (n, 3), all of them, ray by ray.
        samples: how many are on each ray.
        index: (k,), which are meant; None: all.
    """

    positions: Float[Tensor, "n 3"]
    samples: int
    index: Int[Tensor, " k"] | None = None

    def at(self, index: Int[Tensor, " k"]) -> _Along:
        """Those that have these numbers among all."""
        return replace(self, index=index)

    @cached_property
    def gaps(self) -> Float[Tensor, "k 1"]:
        """How far each is from the next one; the last of a ray, from the one before."""
        assert self.index is not None
        first = self.index - (self.index % self.samples == self.samples - 1).to(self.index)
        return (self.positions[first + 1] - self.positions[first]).norm(dim=-1, keepdim=True)

    def at_rim(self, density: Float[Tensor, "k 1"]) -> Bool[Tensor, " rays"]:
        """Rays on which densities at these stop light, but not nearly all of it."""
        # One by one into place: sums over rays by index would not be the same every time on CUDA.
        depths = density.new_zeros(len(self.positions))
        depths[self.index] = (density * self.gaps)[:, 0]
        depths = depths.view(-1, self.samples)
        return (depths.amax(dim=1) > VISIBLE_PROPOSAL_ALPHA) & (depths.sum(dim=1) < OPAQUE_DEPTH)


def _kept_density(
    edits: CompiledEdits, layer: Layer, level: int, own: Float[Tensor, "k 3"], along: _Along
) -> Float[Tensor, "k 1"]:
    """Proposal density of one layer, in 1 / world unit, with the alpha that its acts leave.

    Args:
        edits, layer, level: which.
        own: positions in the coordinates of its matter.
        along: the same in the world.
    """
    matter = edits.matters[layer.matter]
    density = matter.proposal(level, own)
    if layer.pose is not None:
        density = density / layer.pose.scale
    if not layer.fades:
        return density
    if along.index is not None:
        return _thinned(matter, layer.fades, density, own, along)
    # Of a whole scene, only where its acts can reach.
    there = fading_at(layer, own, along.samples).nonzero()[:, 0]
    if len(there) == 0:
        return density
    thinner = _thinned(matter, layer.fades, density[there], own[there], along.at(there))
    return density.index_copy(0, there, thinner)


def _thinned(
    matter: Matter,
    acts: tuple[Act, ...],
    density: Float[Tensor, "n 1"],
    own: Float[Tensor, "n 3"],
    along: _Along,
) -> Float[Tensor, "n 1"]:
    """A proposal density with the alpha that acts leave, at positions where they may do so."""
    assert along.index is not None
    alphas = alphas_from_density(density, along.gaps)
    visible = alphas[:, 0] > VISIBLE_PROPOSAL_ALPHA
    masks = masks_of(matter, acts, own, visible, exactly=False)
    left, ray = alphas, along.index // along.samples
    for act, mask in zip(acts, masks, strict=True):
        if isinstance(act.operation, OPACITIES):
            left, _ = apply_operations(left, left, [act.operation], [mask], ray)
    passing = (1.0 - left).clamp_min(LEAST_PASSING)
    thinner = -torch.log(passing) / along.gaps.clamp_min(LEAST_PASSING)
    return torch.where(visible[:, None] & (left < alphas), torch.minimum(thinner, density), density)
