"""The samples of an edited scene: each layer where it now lies, and all of them together."""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from dff.edits.apply import apply_operations
from dff.edits.compiled import CompiledEdits, Matter
from dff.edits.layers import Act, Layer
from dff.edits.operations import OPACITIES, Extract, Repaint
from dff.rendering import alphas_from_density, transmittance

# Dozens of samples that stop less light than this change no 8-bit pixel, whatever is done to them.
VISIBLE_ALPHA = 1e-4
# Nor do as many that give less to a pixel, behind what is opaque: they get no colour.
VISIBLE_WEIGHT = 1e-4
# Optical depth is the logarithm of what passes, which must not be nothing.
LEAST_PASSING = 1e-7


@dataclass(frozen=True, eq=False)
class _Asked:
    """Samples that are asked about, flattened to (n, ...); as `edited_samples` takes them.

    Attributes:
        ray: number of each sample's ray.
        per_ray: samples of each ray; None where they are not as many on every ray.
    """

    positions: Float[Tensor, "n 3"]
    directions: Float[Tensor, "rays 3"]
    deltas: Float[Tensor, "n 1"]
    last: Bool[Tensor, " n"]
    ray: Int[Tensor, " n"]
    per_ray: int | None

    def at(self, index: Int[Tensor, " k"], positions: Float[Tensor, "k 3"]) -> _Asked:
        """Some of them, at other positions."""
        given = {name: getattr(self, name)[index] for name in ("deltas", "last", "ray")}
        return replace(self, **given, positions=positions, per_ray=None)

    def coloured(
        self, alphas: Float[Tensor, "n 1"], fading: Bool[Tensor, " n"] | None = None
    ) -> Bool[Tensor, " n"]:
        """Which of them can show in a picture.

        Args:
            alphas: what they stop.
            fading: which may yet be made to stop less; None: none are.
        """
        if self.per_ray is None:
            return (alphas[:, 0] > VISIBLE_ALPHA) | self.last
        sure = alphas if fading is None else alphas.masked_fill(fading[:, None], 0.0)
        passed = transmittance(sure.view(-1, self.per_ray, 1))
        return ((passed.view(-1) * alphas[:, 0]) > VISIBLE_WEIGHT) | self.last


@dataclass(frozen=True, eq=False)
class EditedSamples:
    """Ray samples of the edited scene, flattened to (n, ...).

    Attributes:
        alphas: (n, 1) in [0, 1].
        rgb: (n, 3) in [0, 1].
        far: (n, 1), share that the edits leave of what a sample of the scene itself stops, asked
            of the samples that are said to be last.
        touched: (n, K), share of what each sample stops that a step changed; None unless asked.
    """

    alphas: Float[Tensor, "n 1"]
    rgb: Float[Tensor, "n 3"]
    far: Float[Tensor, "n 1"]
    touched: Float[Tensor, "n K"] | None

    @classmethod
    def nothing(cls, positions: Float[Tensor, "n 3"], steps: int) -> EditedSamples:
        """Empty space at positions; ``steps`` is K, 0 when what was touched is not asked."""
        n = len(positions)
        alphas, rgb, far = (positions.new_zeros(n, channels) for channels in (1, 3, 1))
        return cls(alphas, rgb, far, positions.new_zeros(n, steps) if steps else None)

    def spread(self, there: Int[Tensor, " n"], samples: int) -> EditedSamples:
        """As those of m samples that have these numbers; empty space elsewhere."""

        def over(part: Float[Tensor, "n C"]) -> Float[Tensor, "m C"]:
            whole = part.new_zeros(samples, part.shape[1])
            whole[there] = part
            return whole

        touched = None if self.touched is None else over(self.touched)
        return EditedSamples(over(self.alphas), over(self.rgb), over(self.far), touched)


def edited_samples(
    edits: CompiledEdits,
    positions: Float[Tensor, "n 3"],
    directions: Float[Tensor, "rays 3"],
    deltas: Float[Tensor, "n 1"],
    last: Bool[Tensor, " n"],
    touched: bool = False,
    per_ray: int = 1,
) -> EditedSamples:
    """Alphas and colours of all layers together.

    Layers l with alphas a_l stop ``1 - prod_l (1 - a_l)`` of the light, and their colours mix by
    their optical depths ``-log(1 - a_l)``: as densities in one place add. Where one layer alone is,
    its alpha and colour are what they were, bit for bit.

    Args:
        edits: the layers.
        positions: of samples, in world units, ray by ray, from near to far.
        directions: unit view directions of the rays.
        deltas: lengths of the samples along their rays, in world units.
        last: which samples are the last of their rays.
        touched: whether to find what each step changed.
        per_ray: samples of each ray.
    """
    ray = rays_of(positions, per_ray)
    asked = _Asked(positions, directions, deltas, last, ray, per_ray)
    steps = len(edits.operations) if touched else 0
    if not edits.layers:
        return EditedSamples.nothing(positions, steps)
    # One at a time: no more than two layers' samples are held.
    layers = (_layer_samples(edits, layer, asked, steps) for layer in edits.layers)
    return functools.reduce(_together, layers)


def _together(a: EditedSamples, b: EditedSamples) -> EditedSamples:
    """Two layers in one place."""
    here = b.alphas[:, 0] > 0
    if not here.any():
        return a
    first, second = a.alphas[here], b.alphas[here]
    depths = [-torch.log((1 - alpha).clamp_min(LEAST_PASSING)) for alpha in (first, second)]
    share = depths[1] / (depths[0] + depths[1]).clamp_min(LEAST_PASSING)
    # Alone, each layer's own values: sums and quotients would round them.
    alone = first == 0
    alphas, rgb = a.alphas.clone(), a.rgb.clone()
    alphas[here] = torch.where(alone, second, 1 - (1 - first) * (1 - second))
    rgb[here] = torch.where(alone, b.rgb[here], (1 - share) * a.rgb[here] + share * b.rgb[here])
    marks = None
    if a.touched is not None and b.touched is not None:
        marks = a.touched.clone()
        marks[here] = (1 - share) * a.touched[here] + share * b.touched[here]
    return EditedSamples(alphas, rgb, torch.maximum(a.far, b.far), marks)


def _layer_samples(edits: CompiledEdits, layer: Layer, asked: _Asked, steps: int) -> EditedSamples:
    """What one layer alone has at the samples."""
    own, there = own_positions(layer, asked.positions, asked.per_ray)
    if there is None:
        return _at(edits, layer, replace(asked, positions=own), steps)
    if len(there) == 0:
        return EditedSamples.nothing(asked.positions, steps)
    near = _at(edits, layer, asked.at(there, own), steps)
    return near.spread(there, len(asked.positions))


def own_positions(
    layer: Layer, positions: Float[Tensor, "n 3"], per_ray: int | None = None
) -> tuple[Float[Tensor, "k 3"], Int[Tensor, " k"] | None]:
    """Positions that can matter in a layer, in the coordinates of its matter, and which they are.

    The second is None where all of them can.
    """
    there = None
    if layer.ball is not None:
        ball = layer.ball if layer.pose is None else layer.ball.moved(layer.pose)
        there = ball.among(positions, per_ray)
        positions = positions[there]
    return positions if layer.pose is None else layer.pose.inverse().apply(positions), there


def _at(edits: CompiledEdits, layer: Layer, asked: _Asked, steps: int) -> EditedSamples:
    """What a layer has at samples whose positions are in its matter's coordinates."""
    matter = edits.matters[layer.matter]
    own, directions, deltas, ray = asked.positions, asked.directions, asked.deltas, asked.ray
    density, code = matter.density(own)
    if layer.pose is not None:
        directions = layer.pose.inverse().turn(directions)
        deltas = deltas / layer.pose.scale
    alphas = alphas_from_density(density, deltas)
    visible = alphas[:, 0] > VISIBLE_ALPHA
    opaque = layer.matter == 0 and layer.pose is None
    # The last sample of a ray stands for all that lies behind it: it is asked about as if opaque.
    far = asked.last[:, None].to(alphas) if opaque else torch.zeros_like(alphas)
    # What lies behind something that no act reaches stays unseen, whatever they do.
    fading = fading_at(layer, own, asked.per_ray) if layer.fades else None
    coloured = asked.coloured(alphas, fading)
    visible = (visible | asked.last if opaque else visible) & coloured
    if fading is not None and len(layer.fades) == len(layer.acts):
        # Spares gathering what `masks_of` would find to be out of reach.
        visible = visible & fading
    masks = masks_of(matter, layer.acts, own, visible)
    acts = list(zip(layer.acts, masks, strict=True))
    for act, mask in acts:
        if isinstance(act.operation, OPACITIES):
            far, _ = apply_operations(far, far, [act.operation], [mask])
            alphas, _ = apply_operations(alphas, alphas, [act.operation], [mask], ray)
    # Where nothing was done, as in an unedited scene, whose pixels would not be the same otherwise.
    if fading is not None:
        coloured = asked.coloured(alphas)
    shown = coloured.nonzero()[:, 0]
    rgb = own.new_zeros(len(own), 3)
    rgb[shown] = matter.colour(code[shown], directions, ray[shown])
    for act, mask in acts:
        there = ((mask > 0) & coloured).nonzero()[:, 0]
        if len(there) == 0:
            continue
        before, m = rgb[there], mask[there]
        if isinstance(act.operation, Repaint):
            paint = edits.paints[act.step]
            painted = paint(own[there], directions[ray[there]], code[there], before)
            rgb[there] = (1 - m[:, None]) * before + m[:, None] * painted
        elif not isinstance(act.operation, OPACITIES):
            rgb[there] = apply_operations(alphas[there], before, [act.operation], [m])[1]
    if not steps:
        return EditedSamples(alphas, rgb, far, None)
    marks = own.new_zeros(len(own), steps)
    for act, mask in acts:
        marks[:, act.step] = torch.maximum(marks[:, act.step], mask)
    for step in layer.made_by:
        marks[:, step] = 1.0
    return EditedSamples(alphas, rgb, far, marks)


def masks_of(
    matter: Matter,
    acts: tuple[Act, ...],
    own: Float[Tensor, "n 3"],
    visible: Bool[Tensor, " n"],
    exactly: bool = True,
) -> list[Float[Tensor, " n"]]:
    """Soft mask of every act at the visible positions, zero elsewhere.

    Args:
        matter: asked once, for those visible positions where some act can hold.
        acts: whose masks are wanted.
        own: positions in the matter's coordinates.
        visible: which of them count.
        exactly: as in `Matter.masks`.
    """
    masks = []
    for act in acts:
        if act.region is not None:
            masks.append((visible & act.region.holds(own)).to(own))
        else:
            masks.append(visible.to(own) if act.mask is None else own.new_zeros(len(own)))
    asked = [number for number, act in enumerate(acts) if act.mask is not None]
    if not asked:
        return masks
    there = visible.nonzero()[:, 0]
    positions = own[there]
    balls = [acts[number].ball for number in asked]
    near = [None if ball is None else ball.holds(positions) for ball in balls]
    if all(held is not None for held in near):
        some = torch.stack([held for held in near if held is not None]).any(dim=0).nonzero()[:, 0]
        there, positions = there[some], positions[some]
        near = [None if held is None else held[some] for held in near]
    if len(there) == 0:
        return masks
    which = sorted({mask for number in asked if (mask := acts[number].mask) is not None})
    found = dict(zip(which, matter.masks(which, positions, exactly), strict=True))
    for number, held in zip(asked, near, strict=True):
        values = found[acts[number].mask or 0].to(own)
        masks[number][there] = values if held is None else values * held
    return masks


def rays_of(flat: Float[Tensor, "n C"], samples: int) -> Int[Tensor, " n"]:
    """The number of the ray of each sample, where every ray has as many."""
    return torch.arange(len(flat) // samples, device=flat.device).repeat_interleave(samples)


def fading_at(layer: Layer, own: Float[Tensor, "n 3"], per_ray: int | None) -> Bool[Tensor, " n"]:
    """At which positions a layer's acts may change what is stopped.

    Args:
        layer: which; at least one of its acts does so.
        own: positions in the coordinates of its matter.
        per_ray: how many there are of each ray; None where they are not as many on every ray.
    """
    balls = [None if isinstance(act.operation, Extract) else act.ball for act in layer.fades]
    near = torch.zeros(len(own), dtype=torch.bool, device=own.device)
    for ball in balls:
        if ball is None:
            return torch.ones_like(near)
        near[ball.among(own, per_ray)] = True
    return near
