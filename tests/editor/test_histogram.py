"""The histogram of scores lies above the slider of their threshold."""

from __future__ import annotations

import numpy as np
import torch

from dff.editor.histogram import CHOSEN, GROUND, WIDTH, histogram


def columns_of(picture: np.ndarray, colour: tuple[int, int, int]) -> np.ndarray:
    return np.flatnonzero((picture == colour).all(axis=-1).any(axis=0))


def test_scores_lie_between_the_ends_of_the_slider():
    first, last = 0.3, 0.8
    picture = histogram(torch.linspace(0, 1, 1000), 0.0, None, (first, last))
    bars = columns_of(picture, CHOSEN)
    assert abs(bars.min() / WIDTH - first) < 0.01
    assert abs(bars.max() / WIDTH - last) < 0.01
    assert (picture[:, : int(0.29 * WIDTH)] == GROUND).all()


def test_the_threshold_is_where_the_slider_has_it():
    for threshold in (0.0, 0.25, 1.0):
        picture = histogram(None, threshold, None, (0.2, 0.6))
        line = columns_of(picture, (255, 255, 255))
        assert abs(line.mean() / WIDTH - (0.2 + 0.4 * threshold)) < 0.005
    assert len(columns_of(histogram(None, 1.0, None), (255, 255, 255)))
