"""The basis a teacher's features are projected on, so that a map takes K numbers a cell, not D.

It spans the first K right singular vectors of the features as they are, not centred: inner products
with whatever is projected too stay exact within the subspace. Bases are files named by the hash of
their content, in a folder per teacher and K: ``bases/<teacher and K>/<hash>.safetensors``.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from dff.files import atomic_write

ENDING = ".safetensors"


@dataclass(frozen=True)
class Fidelity:
    """Cosines of reconstructed to original features, over cells.

    Attributes:
        cells: how many.
        total: their sum.
        least: the smallest.
    """

    cells: int = 0
    total: float = 0.0
    least: float = math.inf

    def __add__(self, other: Fidelity) -> Fidelity:
        return Fidelity(
            self.cells + other.cells, self.total + other.total, min(self.least, other.least)
        )

    @property
    def mean(self) -> float:
        """The mean cosine."""
        return self.total / self.cells


def fit_basis(maps: Iterable[NDArray[np.float16]], components: int) -> Float[Tensor, "K D"]:
    """First right singular vectors of the cells of all maps, one below the other, not centred.

    They are the eigenvectors of the second moment ``sum f f^T`` (D x D, float64) with the largest
    eigenvalues, so the maps are seen one at a time. A vector's largest entry is positive.

    Args:
        maps: (h, w, D) each.
        components: K, at most D.

    Returns:
        (K, D) float32, orthonormal rows.
    """
    moment: Tensor | None = None
    for values in maps:
        cells = torch.from_numpy(values.reshape(-1, values.shape[-1]).astype(np.float64))
        product = cells.T @ cells
        moment = product if moment is None else moment + product
    if moment is None:
        raise ValueError("a basis needs at least one map")
    _, vectors = torch.linalg.eigh(moment)
    rows = vectors.T.flip(0)[:components]
    largest = rows.gather(1, rows.abs().argmax(dim=1, keepdim=True))
    return (rows * largest.sign()).float().contiguous()


def project(
    values: NDArray[np.float16], basis: Float[Tensor, "K D"]
) -> tuple[NDArray[np.float16], Fidelity]:
    """Coefficients of a map on the basis, as they are stored, and what they keep of it.

    Args:
        values: (h, w, D).
        basis: orthonormal rows.

    Returns:
        (h, w, K), and the cosines of the reconstructed features to the given ones.
    """
    features = torch.from_numpy(values.astype(np.float32))
    exact = features @ basis.T
    stored = exact.half()
    kept = stored.float()
    # With orthonormal rows <f, B^T c> = <B f, c> and |B^T c| = |c|.
    cosine = torch.nn.functional.cosine_similarity(exact, kept, dim=-1) * (
        exact.norm(dim=-1) / features.norm(dim=-1).clamp_min(1e-12)
    )
    fidelity = Fidelity(cosine.numel(), float(cosine.double().sum()), float(cosine.min()))
    return stored.numpy(), fidelity


def basis_place(folder: Path, digest: str) -> Path:
    """The file of a basis in the folder of its teacher and K."""
    return folder / (digest + ENDING)


def save_basis(folder: Path, basis: Float[Tensor, "K D"]) -> str:
    """Write a basis into the folder of its teacher and K; its hash is returned.

    Raises:
        DffError: when the disk is full.
    """
    digest = _digest(basis)
    with atomic_write(basis_place(folder, digest)) as stream:
        stream.write(save({"basis": basis.contiguous()}))
    return digest


def load_basis(folder: Path, digest: str) -> Float[Tensor, "K D"] | None:
    """Read a basis; None when it is missing or not what its name says."""
    try:
        basis = load(basis_place(folder, digest).read_bytes())["basis"]
    except (OSError, SafetensorError, KeyError, ValueError):
        return None
    return basis if _digest(basis) == digest else None


def list_bases(folder: Path) -> list[str]:
    """Hashes of the bases in the folder of a teacher and K, sorted, whole or not."""
    return sorted(path.name[: -len(ENDING)] for path in folder.glob("?" * 64 + ENDING))


def _digest(basis: Tensor) -> str:
    shape = str(tuple(basis.shape)).encode()
    return hashlib.sha256(shape + basis.contiguous().numpy().tobytes()).hexdigest()
