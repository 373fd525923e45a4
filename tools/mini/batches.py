"""Turns picture buffers into painted, photographed and labelled training batches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from dff.data.generated.objects import PART_NAMES, object_names
from dff.data.generated.painter import USUALLY_SHOWN, Paint, Painter
from dff.data.generated.pictures import FIRST_SLOT, LIGHT_RANGE, MAX_THINGS, SLOTS
from mini.crops import bends, close_crop, thing_boxes, wide_crop

TABLE, BACKGROUND = len(object_names()), len(object_names()) + 1
NO_WORD, UNKNOWN = -1, -2
Shard = tuple[np.ndarray, np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Batch:
    """Painted pictures with labels on the stride-4 grid.

    Attributes:
        image: (B, 3, R, R) sRGB in [0, 1].
        name: (B, R/4, R/4) index over names, then table, then background.
        colour: (B, R/4, R/4) colour index, -1 where there is no one colour to name.
        material: (B, R/4, R/4) material index, `NO_WORD` where no word fits, `UNKNOWN` where nobody
            has said.
        thing: (B, R/4, R/4) number of the thing within the picture, 1 and up; 0 elsewhere.
    """

    image: Tensor
    name: Tensor
    colour: Tensor
    material: Tensor
    thing: Tensor


class Batches:
    """An endless source of batches from pictures held in memory.

    Args:
        shards: as `read_shard` gives them.
        seed: seeds the paint, the crops and the noise.
        variants: see `Painter`.
    """

    def __init__(self, shards: Sequence[Shard], seed: int, variants: int = 8) -> None:
        self._planes = [torch.from_numpy(planes) for planes, _, _ in shards]
        self._names = np.concatenate([names for _, names, _ in shards])
        self._figures = np.concatenate([figures for _, _, figures in shards])
        self._boxes = np.concatenate([thing_boxes(planes[:, 0]) for planes, _, _ in shards])
        self._where = [(s, i) for s, shard in enumerate(shards) for i in range(len(shard[0]))]
        self._rng = np.random.default_rng(seed)
        self._noise = torch.Generator().manual_seed(seed)
        self._variants = variants
        self._painter = Painter(self._rng, variants)
        self._order: list[int] = []

    def __len__(self) -> int:
        return len(self._where)

    def refresh(self) -> None:
        """Draws new looks to paint with."""
        self._painter = Painter(self._rng, self._variants)

    def draw(
        self,
        count: int,
        size: int,
        *,
        plain: bool = False,
        close: float = 0.5,
        bent: float = 0.0,
        photographed: float = 1.0,
        shown_on: tuple[float, float] = USUALLY_SHOWN,
    ) -> Batch:
        """The next ``count`` pictures at ``size`` x ``size`` pixels.

        Args:
            plain: whole pictures in order, without crops, flips, noise or blur (for evaluation).
            close: probability that a picture is cropped close around one of its things.
            bent: probability that a picture is turned, stretched and sheared.
            photographed: probability that light, lens and sensor spoil the batch.
            shown_on: see `Painter.paint`.
        """
        rng = self._rng
        if len(self._order) < count:
            fresh = np.arange(len(self)) if plain else rng.permutation(len(self))
            self._order += fresh.tolist()
        chosen, self._order = self._order[:count], self._order[count:]
        names = self._names[chosen]
        paint = self._painter.paint(names, self._figures[chosen], shown_on)
        full = self._planes[0].shape[-1]
        image, slots = torch.empty(count, 3, size, size), []
        bend = bends(count, bent, rng)
        cells = F.affine_grid(bend, [count, 1, size // 4, size // 4], align_corners=False)
        for k, picture in enumerate(chosen):
            shard, index = self._where[picture]
            top, left, side = 0, 0, full
            if not plain:
                near = rng.random() < close
                box = self._boxes[picture]
                top, left, side = close_crop(box, full, rng) if near else wide_crop(full, rng)
            part = self._planes[shard][index, :, top : top + side, left : left + side]
            if not plain and rng.random() < 0.5:
                part = part.flip(-1)
            part = part.contiguous()
            image[k] = _resized(_paint(part, paint.rows[k], _exposure(rng, plain)), size)
            at = ((cells[k] + 1) * (side / 2)).long().clamp(0, side - 1)
            slots.append(part[0][at[..., 1], at[..., 0]])
        if bent > 0 and not plain:
            where = F.affine_grid(bend, list(image.shape), align_corners=False)
            image = F.grid_sample(image, where, padding_mode="border", align_corners=False)
        if not plain and rng.random() < photographed:
            image = self._photograph(image)
        slot = torch.stack(slots).long()
        return Batch(image.clamp(0, 1), *_labels(slot, names, paint))

    def _photograph(self, image: Tensor) -> Tensor:
        """What light, lens and sensor do, differently for each picture of a batch."""
        rng, batch, size = self._rng, len(image), image.shape[-1]

        def each(values: np.ndarray) -> Tensor:
            return torch.from_numpy(values.astype(np.float32)).reshape(batch, -1, 1, 1)

        balance = each(rng.normal(1.0, 0.05, (batch, 3)))
        # Light that falls off across the picture: a ramp in any direction.
        s = torch.linspace(-1, 1, size)
        ramp = (
            1 + each(rng.normal(0, 0.13, batch)) * s + each(rng.normal(0, 0.13, batch)) * s[:, None]
        )
        image = (image * (balance * ramp.clamp(0.4, 1.6))).clamp_(0, 1)
        # Contrast curve: between the square (dark) and the inverted square (bright).
        bend = each(rng.uniform(-0.45, 0.45, batch))
        image = image + bend * (image.square() - image)
        if rng.random() < 0.5:
            grey = image.mean(1, keepdim=True)
            image = grey + (image - grey) * each(rng.uniform(0.75, 1.2, batch))
        if rng.random() < 0.5:
            soft = F.avg_pool2d(image, 3, 1, 1, count_include_pad=False)
            image = torch.lerp(image, soft, each(rng.uniform(-0.5, 1.0, batch)))
        sigma = each(np.abs(rng.normal(0, 0.014, batch)))
        noise = torch.randn(image.shape, generator=self._noise)
        if rng.random() < 0.4:
            # Grain of two pixels, as compression and texture leave it; the same in all channels.
            half = torch.randn((batch, 1, size // 2, size // 2), generator=self._noise)
            noise = noise * 0.5 + 2.0 * F.interpolate(half, (size, size), mode="bilinear")
        return image + sigma * noise


def _resized(image: Tensor, size: int) -> Tensor:
    side = image.shape[-1]
    if side == size:
        return image
    return F.interpolate(
        image[None], (size, size), mode="bilinear", align_corners=False, antialias=side > size
    )[0]


def _exposure(rng: np.random.Generator, plain: bool) -> float:
    return 0.85 if plain else float(np.exp(rng.normal(-0.2, 0.25)))


def _paint(planes: Tensor, rows: np.ndarray, exposure: float) -> Tensor:
    """(3, S, S) sRGB of (5, S, S) buffers painted with (SLOTS, ROW_LENGTH) rows.

    The transfer curve is gamma 2: albedo and result are squared and rooted, which is quick and
    close to sRGB's. The camera exposes for the mean light of the picture.
    """
    side = planes.shape[-1]
    # Columns of the table, taken by numpy: three times as quick as rows by torch.
    columns = np.ascontiguousarray(rows.T)
    row = torch.from_numpy(columns.take(planes[0].reshape(-1).numpy(), 1, mode="clip"))
    byte = planes[1:].reshape(4, -1).float().mul_(1 / 255)
    mix = (row[6] * byte[2]).add_(row[7] * byte[3]).sub_(row[8]).mul_(row[9]).clamp_(0, 1)
    albedo = (row[3:6] * mix).add_(row[:3])
    light = byte[0].square().mul_(LIGHT_RANGE)
    light = light * (exposure / max(0.25, float(light.mean())) * 0.85)
    linear = albedo.square_().mul_(light).add_(byte[1].square().mul_(row[10]))
    return linear.clamp_(0, 1).sqrt_().reshape(3, side, side)


def _labels(slot: Tensor, names: np.ndarray, paint: Paint) -> tuple[Tensor, ...]:
    """Name, colour, material and number of the thing, each (B, h, w), of (B, h, w) slots."""
    batch, parts = len(slot), len(PART_NAMES)
    name_of = torch.full((batch, SLOTS), BACKGROUND)
    name_of[:, 1] = TABLE
    code = torch.from_numpy(names.astype(np.int64))
    name_of[:, FIRST_SLOT:] = code.repeat_interleave(parts, 1)
    thing_of = torch.zeros((batch, SLOTS), dtype=torch.long)
    thing_of[:, FIRST_SLOT:] = torch.arange(1, MAX_THINGS + 1).repeat_interleave(parts)
    tables = (
        name_of,
        _of_bodies(paint.colours, NO_WORD),
        _of_bodies(paint.materials, UNKNOWN),
        thing_of,
    )
    flat = slot.reshape(batch, -1)
    return tuple(table.gather(1, flat).reshape(slot.shape) for table in tables)


def _of_bodies(values: np.ndarray, elsewhere: int) -> Tensor:
    """(B, SLOTS) of the (B, 1 + MAX_THINGS) values of the table and the things' bodies.

    The other parts (stem, pages, cap ...) have paint of their own; only the body has the named.
    """
    batch, parts = len(values), len(PART_NAMES)
    slots = torch.full((batch, SLOTS), elsewhere)
    slots[:, 1] = torch.from_numpy(values[:, 0])
    body = torch.full((batch, MAX_THINGS, parts), elsewhere)
    body[:, :, 0] = torch.from_numpy(values[:, 1:])
    slots[:, FIRST_SLOT:] = body.reshape(batch, -1)
    return slots
