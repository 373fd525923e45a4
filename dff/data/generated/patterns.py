"""Figures over space that paint is mixed by: clouds, stripes, checks, dots, grain and veins."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dff.errors import DffError

Array = NDArray[np.float64]

# Kinds of the second figure, and how often a thing gets each. "metal" leaves the figure soft: such
# a surface mirrors its surroundings, which is up to whoever lights it.
_SHARES: dict[str, float] = {
    "soft": 0.32,
    "specks": 0.1,
    "stripes": 0.1,
    "checks": 0.09,
    "spots": 0.09,
    "grain": 0.1,
    "veins": 0.09,
    "metal": 0.11,
}
FIGURES: tuple[str, ...] = tuple(_SHARES)


@dataclass(frozen=True)
class Pattern:
    """Two scalar figures over space, each given by a handful of plane waves.

    Attributes:
        blotch_waves: (K, 4) wave vectors and phases of the first, soft and cloudy.
        figure_waves: (L, 4) the same for the second.
        hard: whether the second is cut to bands rather than left soft.
        figure: kind of the second, one of `FIGURES`.
    """

    blotch_waves: Array
    figure_waves: Array
    hard: bool
    figure: str = "soft"


def sample_figure(rng: np.random.Generator, flat: bool = False) -> str:
    """A kind of figure; a table (``flat``) is not of metal."""
    shares = np.array([0.0 if flat and f == "metal" else p for f, p in _SHARES.items()])
    return str(rng.choice(FIGURES, p=shares / shares.sum()))


def sample_pattern(
    rng: np.random.Generator, flat: bool = False, figure: str | None = None
) -> Pattern:
    """A random pattern for a thing about 1 unit across.

    Args:
        rng: source of the variation.
        flat: for a table: varies in x and y only.
        figure: kind of the second figure; ``None`` draws one.

    Raises:
        DffError: for a figure that is not in `FIGURES`.
    """
    figure = sample_figure(rng, flat) if figure is None else figure
    blotch = _waves(rng, flat, 7, 4.0, 14.0)
    hard = figure in ("stripes", "checks", "spots") or bool(rng.random() < 0.5)
    return Pattern(blotch, _figure_waves(rng, flat, figure), hard, figure)


def _waves(rng: np.random.Generator, flat: bool, count: int, low: float, high: float) -> Array:
    direction = rng.normal(size=(count, 3))
    if flat:
        direction[:, 2] = 0.0
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    frequency = rng.uniform(low, high, (count, 1))
    return np.concatenate([direction * frequency, rng.uniform(0, 6.283, (count, 1))], 1)


def _figure_waves(rng: np.random.Generator, flat: bool, figure: str) -> Array:
    if figure in ("soft", "metal"):
        return _waves(rng, flat, 1, 1.5, 3.0)
    if figure == "specks":
        return _waves(rng, flat, 9, 25.0, 60.0)
    if figure == "stripes":
        return _waves(rng, flat, 1, 14.0, 32.0)
    if figure == "veins":
        return _waves(rng, flat, 5, 3.0, 9.0)
    if figure not in ("checks", "spots", "grain"):
        raise DffError(f"no figure is called '{figure}'; known: {', '.join(FIGURES)}")
    # Two or three waves at right angles, in a frame of their own.
    frame = np.eye(3)
    if not flat and figure != "checks":
        frame = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    elif flat:
        turn = rng.uniform(0, np.pi)
        frame[:2, :2] = [[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]]
    low, high = {"checks": (9.0, 18.0), "spots": (15.0, 28.0), "grain": (22.0, 44.0)}[figure]
    axes = frame[:2] if flat else frame
    phases = rng.uniform(0, 6.283, (len(axes), 1))
    return np.concatenate([axes * rng.uniform(low, high), phases], 1)


def pattern_values(pattern: Pattern, points: Array) -> tuple[Array, Array]:
    """The two pattern values in [0, 1] at (N, 3) points: two arrays of shape (N,)."""
    blotch = 0.5 + 0.5 * np.tanh(0.9 * _field(pattern.blotch_waves, points))
    return blotch, _figure(pattern, points)


def _field(waves: Array, points: Array) -> Array:
    phase = points @ waves[:, :3].T + waves[:, 3]
    # The sum of K cosines has standard deviation sqrt(K / 2).
    return np.cos(phase).sum(1) / np.sqrt(len(waves) / 2.0)


def _figure(pattern: Pattern, points: Array) -> Array:
    waves, figure = pattern.figure_waves, pattern.figure
    if figure == "veins":
        # Thin lines where a slow, bent field passes through nought.
        field = _field(waves, points) + 0.35 * _field(pattern.blotch_waves, points)
        return np.exp(-((field / 0.22) ** 2))
    phase = points @ waves[:, :3].T + waves[:, 3]
    if figure == "checks":
        return 0.5 + 0.5 * np.tanh(8.0 * np.cos(phase).prod(1))
    if figure == "spots":
        return 0.5 + 0.5 * np.tanh(4.0 * (np.cos(phase).sum(1) - 0.33 * phase.shape[1]))
    if figure == "grain":
        # Year rings, drawn out along the frame's last axis and bent by the clouds; fibres on top.
        pitch = np.linalg.norm(waves[0, :3])
        bend = 0.9 * _field(pattern.blotch_waves, points * 0.45)
        across = phase[:, 0] if phase.shape[1] == 2 else np.hypot(phase[:, 0], phase[:, 1] + pitch)
        fibres = np.cos(3.1 * phase[:, 0] + 2.0 * bend) * np.cos(2.3 * phase[:, 1])
        return np.clip(0.5 + 0.36 * np.cos(across + 2.2 * bend) + 0.14 * fibres, 0.0, 1.0)
    return 0.5 + 0.5 * np.tanh((6.0 if pattern.hard else 0.9) * _field(waves, points))
