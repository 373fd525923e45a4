"""Feature maps of many images: which there are, and sampling them at pixels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from dff.data.feature_file import HEADER_BYTES, MapEntry
from dff.data.feature_rows import MAPPED_BYTES, open_rows

# Pixels sampled at a time, so that a whole image at 512 dimensions needs no gigabytes.
_BLOCK = 1 << 14


class FeatureMaps:
    """Feature maps of a list of images, on disk: memory does not grow with their number.

    With a basis they hold coefficients: ``map @ basis`` is the teacher's feature as far as the
    basis spans it.

    Example:
        >>> maps = FeatureCache(root, teacher).ensure(paths)
        >>> maps.map(0).shape            # (h, w, D), float16
        >>> maps.sample(image, y, x, 480, 640)  # (n, D), float32
    """

    def __init__(
        self,
        entries: Sequence[MapEntry],
        basis: Float[Tensor, "K D"] | None = None,
        mapped_bytes: int = MAPPED_BYTES,
    ) -> None:
        """Open maps of one width D.

        Args:
            entries: the maps, in the order of the images.
            basis: orthonormal rows, if the maps are coefficients on them.
            mapped_bytes: see `open_rows`.

        Raises:
            ValueError: for no maps, maps of different D, or a basis of another width.
        """
        if len({entry.shape[2] for entry in entries}) != 1:
            raise ValueError("feature maps need at least one image and one feature width")
        if basis is not None and basis.shape[0] != entries[0].shape[2]:
            raise ValueError("the basis has another number of rows than the maps have coefficients")
        self.basis = basis
        self._entries = tuple(entries)
        self._rows = open_rows(entries, mapped_bytes)
        self._grid = np.array([entry.shape[:2] for entry in entries], dtype=np.float64)

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def dim(self) -> int:
        """Width of what is stored: D, or K with a basis of K rows."""
        return self._entries[0].shape[2]

    def shape(self, index: int) -> tuple[int, int, int]:
        """(h, w, D) of one map."""
        return self._entries[index].shape

    def map(self, index: int) -> np.memmap:
        """One map, (h, w, D) float16, read-only; features have unit length up to rounding."""
        path, shape, _ = self._entries[index]
        return np.memmap(path, dtype="<f2", mode="r", offset=HEADER_BYTES, shape=shape)

    def sample(
        self,
        image_indices: Tensor | np.ndarray,
        ys: Tensor | np.ndarray,
        xs: Tensor | np.ndarray,
        image_heights: Tensor | np.ndarray | int,
        image_widths: Tensor | np.ndarray | int,
    ) -> Float[Tensor, "n D"]:
        """Features at pixels, bilinear between the centres of the cells of the grid.

        Pixel (y, x) has its centre at (y + 0.5, x + 0.5); cell (i, j) of an (h, w) grid has its
        centre at ((i + 0.5) H / h, (j + 0.5) W / w). Beyond the outermost centres the border
        continues. The same as ``grid_sample(align_corners=False, padding_mode="border")``.

        Args:
            image_indices: (n,) which map.
            ys, xs: (n,) pixel row and column, counted from 0; need not be whole.
            image_heights, image_widths: size of the image the pixels are counted in: one for all
                or (n,).

        Returns:
            (n, D) float32 on the CPU, not normalised again; coefficients, if there is a basis.

        Raises:
            IndexError: for an image that is not there.
        """
        image = _array(image_indices).astype(np.int64)
        if image.size and (image.min() < 0 or image.max() >= len(self)):
            raise IndexError(f"image index out of range: there are {len(self)} feature maps")
        order = np.argsort(image, kind="stable")
        image = image[order]
        grid = self._grid[image]
        y0, fy = _cells(_take(ys, order), _take(image_heights, order), grid[:, 0])
        x0, fx = _cells(_take(xs, order), _take(image_widths, order), grid[:, 1])
        cells = grid.astype(np.int64)
        upper = y0 * cells[:, 1] + x0
        # The two rows of a pixel's cells; the same one twice where the grid has one row only.
        first = np.stack([upper, upper + np.where(cells[:, 0] > 1, cells[:, 1], 0)], axis=1)
        weights = np.stack([(1 - fy) * (1 - fx), (1 - fy) * fx, fy * (1 - fx), fy * fx], axis=1)
        result = torch.empty((len(image), self.dim), dtype=torch.float32)
        for start in range(0, len(image), _BLOCK):
            block = slice(start, start + _BLOCK)
            # Neighbours along x lie side by side in a file: a run of two.
            runs = self._rows.gather(np.repeat(image[block], 2), first[block].reshape(-1))
            mixed = torch.bmm(
                torch.from_numpy(weights[block].astype(np.float32))[:, None, :],
                torch.from_numpy(runs.reshape(-1, 4, self.dim)).float(),
            )
            result[torch.from_numpy(order[block])] = mixed[:, 0]
        return result


def _take(values: Tensor | np.ndarray | int, order: np.ndarray) -> np.ndarray:
    array = _array(values).astype(np.float64)
    return array if array.ndim == 0 else array[order]


def _array(values: Tensor | np.ndarray | int) -> np.ndarray:
    return values.detach().cpu().numpy() if isinstance(values, Tensor) else np.asarray(values)


def _cells(
    pixel: np.ndarray, image_size: np.ndarray, cells: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Lower of two neighbouring cells, and how far towards the upper in [0, 1], along one axis."""
    position = np.clip((pixel + 0.5) * cells / image_size - 0.5, 0.0, cells - 1)
    lower = np.minimum(np.floor(position), np.maximum(cells - 2, 0))
    return lower.astype(np.int64), position - lower
