"""Where surfaces of an edited scene were trained: against poses applied by hand."""

from __future__ import annotations

import torch

from dff.edited_surface import trained_places
from dff.edits.storage import parse_document

RED = {"text": ["red"], "negative": ["table", "sky", "green"]}


def compiled(scene, *steps):
    return scene.compile(parse_document({"version": 1, "steps": list(steps)}))


def on_red(scene) -> torch.Tensor:
    """Points of the surface that the words select."""
    from dff.query.text import TextQuery

    selection = scene.select(TextQuery(("red",), ("table", "sky", "green")))
    return selection.grid.points[selection.values >= 0.9]


def lengths(points: torch.Tensor) -> torch.Tensor:
    return torch.full((len(points), 1), 0.05)


def test_without_edits_and_with_mere_colours_they_are_where_they_are(scene):
    points = on_red(scene)
    paint = {"type": "recolor", "function": "hue", "degrees": 90.0}
    for edits in (None, compiled(scene), compiled(scene, {"selection": RED, "operation": paint})):
        places, ours = trained_places(edits, points, lengths(points))
        assert torch.equal(places, points)
        assert ours.all()


def test_what_was_moved_and_copied_is_found_where_it_was(scene):
    points = on_red(scene)
    shift = torch.tensor([0.0, 0.0, 0.4])
    for kind in ("transform", "duplicate"):
        move = {"type": kind, "translate": shift.tolist()}
        edits = compiled(scene, {"selection": RED, "operation": move})
        places, ours = trained_places(edits, points + shift, lengths(points))
        back = (places - points).norm(dim=1) < 1e-5
        # The rim of a soft selection may let something else win.
        assert float(back.float().mean()) > 0.9
        assert bool(ours[back].all())


def test_a_copy_leaves_the_original_where_it_is(scene):
    points = on_red(scene)
    copy = {"type": "duplicate", "translate": [0.0, 0.0, 0.4]}
    edits = compiled(scene, {"selection": RED, "operation": copy})
    places, _ = trained_places(edits, points, lengths(points))
    assert float(((places - points).norm(dim=1) < 1e-6).float().mean()) > 0.9


def test_what_was_deleted_wins_no_point(scene):
    """A copy put over a deleted thing is what is seen there."""
    points = on_red(scene)
    green = {"text": ["green"], "negative": ["table", "sky", "red"]}
    from dff.query.text import TextQuery

    chosen = scene.select(TextQuery(("green",), ("table", "sky", "red")))
    there = chosen.grid.points[chosen.values >= 0.9]
    shift = points.mean(dim=0) - there.mean(dim=0)
    edits = compiled(
        scene,
        {"selection": RED, "operation": {"type": "delete"}},
        {"selection": green, "operation": {"type": "transform", "translate": shift.tolist()}},
    )
    places, _ = trained_places(edits, there + shift, lengths(there))
    assert float(((places - there).norm(dim=1) < 1e-5).float().mean()) > 0.9
