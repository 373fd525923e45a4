"""Why there is a texture: a pattern finer than what geometry features tell apart."""

from __future__ import annotations

import pytest
import torch

from dff.query.text import TextQuery
from dff.repaint.canvas import Canvas
from dff.repaint.losses import picture_loss
from dff.repaint.settings import TrainingSettings
from dff.repaint.trainer import Training

CELL = 0.12


def checks(positions, directions, code, rgb) -> torch.Tensor:
    """White and blue cubes."""
    odd = (positions / CELL).floor().sum(dim=1, keepdim=True) % 2
    return odd * torch.tensor([0.9, 0.9, 0.9]) + (1 - odd) * torch.tensor([0.1, 0.2, 0.7])


class Checks:
    """A guide that knows what every view should look like."""

    facts = ()

    def __init__(self, views) -> None:
        self.views = views
        self.targets = [view.picture - view.light(None) + view.light(checks) for view in views]

    def loss(self, paint, step: int) -> torch.Tensor:
        view, target = self.views[step % len(self.views)], self.targets[step % len(self.views)]
        return picture_loss(view.painted(paint), target, view.share)

    def state(self) -> dict:
        return {}

    def load_state(self, state) -> None: ...


@pytest.fixture
def views(scene):
    canvas = Canvas.of(scene, scene.select(TextQuery(("red",), ("green", "table", "sky"))))
    random = canvas.random_views(32, 0)
    return canvas, [random(number) for number in range(4)]


def error_in_an_unseen_view(views, texture: bool, rate: float) -> float:
    canvas, prepared = views
    settings = TrainingSettings(steps=60, learning_rate=rate, texture=texture)
    training = Training(canvas.new_paint(texture, 0), Checks(prepared[:3]), settings)
    for number in range(settings.steps):
        training.step(number)
    with torch.no_grad():
        return float(Checks(prepared[3:]).loss(training.paint, 0))


def test_checks_need_the_texture(views):
    fine = error_in_an_unseen_view(views, True, 0.05)
    alone = min(error_in_an_unseen_view(views, False, rate) for rate in (0.03, 0.1))
    assert fine < 0.6 * alone
