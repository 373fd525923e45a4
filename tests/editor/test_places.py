"""Where the handles are by which a thing is moved."""

from __future__ import annotations

import pytest
import torch

from dff.document_sources import as_source
from dff.editor.asking import ask_text
from dff.editor.places import placing_of
from dff.editor.session import Session
from dff.edits.operations import Transform
from dff.query.text import TextQuery


@pytest.fixture
def session(scene, tmp_path) -> Session:
    """With something red selected."""
    session = Session(scene, tmp_path / "edits")
    session.choose(ask_text(scene, TextQuery(("red",), ("table", "sky"))))
    return session


def test_handles_are_at_the_thing_before_and_after_it_moves(session):
    index = session.apply(Transform())
    before = session.place_of(index)
    points = session.selection.grid.points[session.selection.values > 0.5]
    assert bool((torch.tensor(before) > points.amin(dim=0) - 0.1).all())
    assert bool((torch.tensor(before) < points.amax(dim=0) + 0.1).all())
    session.update(index, Transform(translate=(0.0, 0.1, 0.0), fill=True))
    x, y, z = before
    assert session.place_of(index) == pytest.approx((x, y + 0.1, z), abs=1e-5)
    session.change(lambda stack: stack.toggle(index))
    assert session.place_of(index) is None


@pytest.mark.parametrize("everything", [False, True])
def test_handles_stay_where_they_are_while_a_thing_is_turned(session, everything):
    if everything:
        session.set_threshold(0.0)
    low, high = torch.quantile(
        session.selection.grid.points[session.selection.values >= 0.5],
        torch.tensor([0.01, 0.99]),
        dim=0,
    )
    middle = pytest.approx(((low + high) / 2).tolist(), abs=1e-5)
    index = session.apply(Transform())
    assert session.place_of(index) == middle
    session.update(index, Transform(rotate=(10.0, 20.0, 70.0), scale=0.8))
    assert session.place_of(index) == middle


@pytest.mark.parametrize("pivot", ["center", "base", (0.1, 0.2, -0.3)])
def test_what_stays_is_where_it_was_however_a_thing_is_scaled(session, pivot):
    index = session.apply(Transform(translate=(0.0, 0.1, 0.0), pivot=pivot))
    found = []
    for scale in (1.0, 0.5, 2.0):
        operation = Transform(translate=(0.0, 0.1, 0.0), pivot=pivot, scale=scale)
        session.update(index, operation)
        source = as_source(session.scene, session.folder)
        placing = placing_of(source, session.document.steps, session.work.edits, index)
        assert placing is not None
        found.append((*placing.stays(operation), placing.reach(operation)))
    assert found[1] == pytest.approx(found[0], abs=1e-5)
    assert found[2] == pytest.approx(found[0], abs=1e-5)
    if isinstance(pivot, tuple):
        assert found[0][:3] == pytest.approx((0.1, 0.3, -0.3), abs=1e-5)
