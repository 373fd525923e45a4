"""What there is to do before the cache is complete, and how it is said."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from dff.data.feature_basis import Fidelity
from dff.data.feature_file import readable_size

LEAST_COSINE = 0.95
"""A basis that keeps less than this of the features is warned of."""


@dataclass(frozen=True)
class Survey:
    """What one process found of its share.

    Attributes:
        ready: number of maps that are there and whole.
        encode, project: numbers of maps to make by the teacher, or from features at hand.
        size: bytes of the maps to make.
        passing: bytes of the features that are kept only until the basis is fitted.
        damaged: names of images whose map is there and no good, and what is wrong with it.
    """

    ready: int = 0
    encode: int = 0
    project: int = 0
    size: int = 0
    passing: int = 0
    damaged: tuple[tuple[str, str], ...] = ()

    def __add__(self, other: Survey) -> Survey:
        return Survey(
            self.ready + other.ready,
            self.encode + other.encode,
            self.project + other.project,
            self.size + other.size,
            self.passing + other.passing,
            self.damaged + other.damaged,
        )

    @property
    def missing(self) -> int:
        """Number of maps to make."""
        return self.encode + self.project


def damage_lines(survey: Survey) -> list[str]:
    """A warning for each kind of damage."""
    lines = []
    for reason in sorted({reason for _, reason in survey.damaged}):
        names = [name for name, said in survey.damaged if said == reason]
        more = f" and {len(names) - 3} more" if len(names) > 3 else ""
        lines.append(
            f"warning: the cached features of {', '.join(names[:3])}{more} are {reason}; rebuilding"
        )
    return lines


def work_line(survey: Survey, teacher: str, root: Path, pca: int | None, dim: int) -> str:
    """How much there is to make, and how large it is."""
    parts = [f"{survey.encode} to encode"]
    if survey.project:
        parts.append(f"{survey.project} to project")
    each = readable_size(survey.size / survey.missing)
    size = f"{readable_size(survey.size)}, {each} an image"
    if survey.passing:
        size += f"; {readable_size(survey.passing)} more while the basis is fitted"
    kept = f"{dim} features" if pca is None else f"{pca} coefficients of {dim} features"
    images = survey.ready + survey.missing
    return (
        f"Features of {images} images by teacher {teacher!r}: {', '.join(parts)} ({size}), "
        f"{survey.ready} ready; {kept} a cell, float16, in {root}"
    )


def fidelity_line(fidelity: Fidelity, pca: int, dim: int) -> str:
    """What the coefficients keep; a warning where it is little."""
    said = (
        f"{pca} coefficients of {dim} features: cosine of reconstructed to original features "
        f"{fidelity.mean:.4f} on average, {fidelity.least:.4f} at least"
    )
    if fidelity.mean < LEAST_COSINE:
        return f"warning: {said}; more coefficients (pca) keep more"
    return said
