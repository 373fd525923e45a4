"""LSeg's published multi-scale inference, planned as windows and small matrices.

The published evaluator (that of PyTorch-Encoding) resizes the normalised image so that its longer
side has ``ceil(520 s)`` pixels for each scale s (``align_corners=True``, no low-pass), pads what is
smaller than the crop of 480 on the right and below with black, slides the crop by two thirds of
its side, adds the outputs of each crop and of its mirror image turned back, divides by the number
of crops that saw a pixel, cuts the padding off, resizes to the image (``align_corners=True``) and
adds the scales up.

Here the outputs are features before they are normalised. All of the above is then linear and
separable after the network's last nonlinear layer, so a window needs one matrix for its rows and
one for its columns, which also average over the cells of the map. The paper's own code
normalises each crop's features before it adds them; where windows agree that is the same.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from dff.teachers.lseg_resampling import bilinear, cell_average, doubled_twice

SCALES = (0.75, 1.0, 1.25, 1.75)
BASE = 520  # pixels of the longer side at scale 1
CROP = 480
BLACK = -1.0  # a black pixel, normalised


@dataclass(frozen=True)
class Window:
    """A crop of a resized image, and where its features go.

    Attributes:
        image: normalised, padded with black to the crop's full size.
        rows, columns: take features at a quarter of the crop's resolution to their share of the
            map's cells.
    """

    image: Float[Tensor, "3 crop crop"]
    rows: Float[Tensor, "grid_height crop/4"]
    columns: Float[Tensor, "grid_width crop/4"]


def windows(
    image: Float[Tensor, "3 height width"],
    grid: tuple[int, int],
    scales: tuple[float, ...] = SCALES,
    base: int = BASE,
    crop: int = CROP,
) -> Iterator[Window]:
    """Every crop of an image at every scale, one after another.

    The map is the sum over windows of ``rows q columns^T``, q being the features of the crop; the
    weights of a cell sum to the number of scales.

    Args:
        image: normalised as the network takes it.
        grid: (h, w) of the map.
        scales, base, crop: see the module's docstring; crop is what the network takes.
    """
    height, width = image.shape[1:]
    for scale in scales:
        scaled = scaled_size(height, width, math.ceil(base * scale))
        resized = F.interpolate(image[None], scaled, mode="bilinear", align_corners=True)[0]
        lines = _along(height, scaled[0], crop, grid[0])
        across = _along(width, scaled[1], crop, grid[1])
        for top, rows in lines:
            for left, columns in across:
                part = resized[:, top : top + crop, left : left + crop]
                padding = (0, crop - part.shape[2], 0, crop - part.shape[1])
                yield Window(F.pad(part, padding, value=BLACK), rows, columns)


def scaled_size(height: int, width: int, long_side: int) -> tuple[int, int]:
    """Size with its longer side given and the other rounded, halves upwards; at least 1."""
    if height > width:
        return long_side, max(1, int(width * long_side / height + 0.5))
    return max(1, int(height * long_side / width + 0.5)), long_side


def _along(size: int, scaled: int, crop: int, cells: int) -> list[tuple[int, Tensor]]:
    """Where crops start along an axis, and each one's matrix (cells, crop / 4).

    Args:
        size: of the image along this axis.
        scaled: of the resized image.
        crop: side of a crop.
        cells: of the map.
    """
    padded = max(scaled, crop)
    stride = int(crop * 2 / 3)
    starts = [stride * k for k in range(math.ceil((padded - crop) / stride) + 1)]
    places = torch.arange(padded)
    seen = torch.stack([(places >= start) & (places < start + crop) for start in starts])
    to_cells = F.pad(cell_average(cells, size) @ bilinear(size, scaled), (0, padded - scaled))
    shares = to_cells / seen.sum(dim=0)
    matrices = []
    for start in starts:
        inside = shares[:, start : start + crop]
        inside = F.pad(inside, (0, crop - inside.shape[1]))
        matrices.append((start, inside @ doubled_twice(crop // 4)))
    return matrices
