"""Turns picture buffers into painted, photographed and labelled training batches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from dff.data.generated.materials import colour_names
from dff.data.generated.objects import PART_NAMES, object_names
from dff.data.generated.pictures import FIRST_SLOT, LIGHT_RANGE, MAX_THINGS, SLOTS, Painter

TABLE, BACKGROUND = len(object_names()), len(object_names()) + 1


@dataclass(frozen=True)
class Batch:
    """Painted pictures with labels on the stride-4 grid.

    Attributes:
        image: (B, 3, R, R) sRGB in [0, 1].
        name: (B, R/4, R/4) index over names, then table, then background.
        colour: (B, R/4, R/4) colour index, -1 where there is no one colour to name.
        thing: (B, R/4, R/4) number of the thing within the picture, 1 and up; 0 elsewhere.
    """

    image: Tensor
    name: Tensor
    colour: Tensor
    thing: Tensor


class Batches:
    """An endless source of batches from pictures held in memory.

    Args:
        planes: (N, 5, S, S) uint8 buffers of shards, in a list.
        names: (N, K) int8 of the same shards.
        seed: seeds the paint, the crops and the noise.
    """

    def __init__(
        self, planes: Sequence[np.ndarray], names: Sequence[np.ndarray], seed: int
    ) -> None:
        self._planes = [torch.from_numpy(p) for p in planes]
        self._names = np.concatenate(names)
        self._where = [(s, i) for s, p in enumerate(planes) for i in range(len(p))]
        self._rng = np.random.default_rng(seed)
        self._noise = torch.Generator().manual_seed(seed)
        self._painter = Painter(self._rng)
        self._order: list[int] = []

    def __len__(self) -> int:
        return len(self._where)

    def refresh(self) -> None:
        """Draws new looks to paint with."""
        self._painter = Painter(self._rng)

    def draw(self, count: int, size: int, *, plain: bool = False) -> Batch:
        """The next ``count`` pictures at ``size`` x ``size`` pixels.

        Args:
            plain: whole pictures in order, without crops, flips, noise or blur (for evaluation).
        """
        rng = self._rng
        if len(self._order) < count:
            fresh = np.arange(len(self)) if plain else rng.permutation(len(self))
            self._order += fresh.tolist()
        chosen, self._order = self._order[:count], self._order[count:]
        names = self._names[chosen]
        rows, colours = self._painter.paint(names)
        full = self._planes[0].shape[-1]
        side = full if plain else int(rng.integers(int(0.62 * full), full + 1))
        images, slots = [], []
        cell = ((torch.arange(size // 4) + 0.5) * (side / (size // 4))).long()
        for k, picture in enumerate(chosen):
            shard, index = self._where[picture]
            y, x = rng.integers(0, full - side + 1, 2)
            part = self._planes[shard][index, :, y : y + side, x : x + side]
            if not plain and rng.random() < 0.5:
                part = part.flip(-1)
            part = part.contiguous()
            images.append(_paint(part, rows[k], _exposure(rng, plain)))
            slots.append(part[0][cell][:, cell])
        image = torch.stack(images)
        if side != size:
            image = F.interpolate(
                image, (size, size), mode="bilinear", align_corners=False, antialias=side > size
            )
        if not plain:
            image = self._photograph(image)
        slot = torch.stack(slots).long()
        return Batch(image.clamp(0, 1), *_labels(slot, names, colours))

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


def _labels(slot: Tensor, names: np.ndarray, colours: np.ndarray) -> tuple[Tensor, Tensor, Tensor]:
    batch, parts = len(slot), len(PART_NAMES)
    name_of = torch.full((batch, SLOTS), BACKGROUND)
    colour_of = torch.full((batch, SLOTS), -1)
    thing_of = torch.zeros((batch, SLOTS), dtype=torch.long)
    name_of[:, 1] = TABLE
    colour_of[:, 1] = torch.from_numpy(colours[:, 0])
    code = torch.from_numpy(names.astype(np.int64))
    name_of[:, FIRST_SLOT:] = code.repeat_interleave(parts, 1)
    # The other parts (stem, pages, cap ...) have colours of their own; only the body has the named.
    body = torch.full((batch, MAX_THINGS, parts), -1)
    body[:, :, 0] = torch.from_numpy(colours[:, 1:])
    colour_of[:, FIRST_SLOT:] = body.reshape(batch, -1)
    thing_of[:, FIRST_SLOT:] = torch.arange(1, MAX_THINGS + 1).repeat_interleave(parts)
    flat = slot.reshape(batch, -1)
    return tuple(  # type: ignore[return-value]
        table.gather(1, flat).reshape(slot.shape) for table in (name_of, colour_of, thing_of)
    )


def colour_count() -> int:
    """Number of colours a label can name."""
    return len(colour_names())
