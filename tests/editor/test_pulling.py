"""Handles and cameras in the picture, without a browser."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest
from acting import PATIENCE, set_to

from dff.editor.app import Editor
from dff.edits.operations import Transform


class Pull:
    """Of handles in the picture."""

    def __init__(self, client: Any, phase: str) -> None:
        self.client, self.phase = client, phase


def pulled(editor: Editor, handle: Any, places: Any, client: Any) -> None:
    """Pull a handle along places, in one go."""
    for phase, place in [("start", None), *(("update", place) for place in places), ("end", None)]:
        if place is not None:
            handle.position = tuple(float(each) for each in place)
        for action in handle._impl_aux.update_cb:
            action(Pull(client, phase))
    editor.actions.wait()


@pytest.fixture
def moving(editor, working) -> Any:
    editor.steps_panel.work_on(editor.session.apply(Transform(translate=(0.0, 0.0, 0.1))))
    editor.actions.do(editor.refresh)
    editor.actions.wait()
    return working


@pytest.mark.parametrize("pivot", ["center", "base", (0.1, 0.2, -0.3)])
def test_an_arrow_scales_in_one_action(editor, moving, pivot):
    session = editor.session
    start = Transform(translate=(0.0, 0.0, 0.1), rotate=(0.0, 0.0, 30.0), pivot=pivot)
    session.update(1, start)
    editor.actions.do(editor.refresh)
    editor.actions.wait()
    gizmo = editor.gizmo
    hold, arrow = gizmo._hold, gizmo._scaler
    assert arrow.position == pytest.approx(hold.stays + hold.reach * hold.outward, abs=1e-5)
    pulled(
        editor,
        arrow,
        [hold.stays + share * hold.reach * hold.outward for share in (1.2, 1.5, 2.0)],
        moving,
    )
    operation = session.document.steps[1].operation
    assert operation == start.model_copy(update={"scale": 2.0})
    # What stays does, and the arrow is where it was pulled to.
    assert gizmo._hold.stays == pytest.approx(hold.stays, abs=1e-4)
    assert arrow.position == pytest.approx(hold.stays + 2 * hold.reach * hold.outward, abs=1e-4)
    (slider,) = editor.edit_panel._forms["transform"]._fields["scale"].handles
    assert slider.value == 2.0
    editor.do(session.undo)
    editor.actions.wait()
    assert session.document.steps[1].operation == start
    assert arrow.position == pytest.approx(hold.stays + hold.reach * hold.outward, abs=1e-4)


def test_the_arrow_stays_within_what_scales_may_be(editor, moving):
    hold, arrow = editor.gizmo._hold, editor.gizmo._scaler
    pulled(editor, arrow, [hold.stays - 3 * hold.reach * hold.outward], moving)
    assert editor.session.document.steps[1].operation.scale == 0.01
    assert not moving.said


def test_a_pull_after_another_is_an_action_of_its_own(editor, moving):
    session, gizmo = editor.session, editor.gizmo
    place = np.array(gizmo._mover.position)
    pulled(editor, gizmo._mover, [place + (0.1, 0.0, 0.0), place + (0.2, 0.0, 0.0)], moving)
    pulled(editor, gizmo._mover, [place + (0.2, 0.3, 0.0)], moving)
    shift = session.document.steps[1].operation.translate
    assert shift == pytest.approx((0.2, 0.3, 0.1), abs=1e-4)
    session.undo()
    shift = session.document.steps[1].operation.translate
    assert shift == pytest.approx((0.2, 0.0, 0.1), abs=1e-4)
    session.undo()
    assert session.document.steps[1].operation == Transform(translate=(0.0, 0.0, 0.1))


def test_what_was_pulled_last_counts_while_other_work_waits(editor, moving):
    gizmo, go_on = editor.gizmo, threading.Event()
    place = np.array(gizmo._mover.position)
    editor.do(lambda: go_on.wait(PATIENCE))
    for share in (0.1, 0.2):
        gizmo._mover.position = tuple(place + (share, 0.0, 0.0))
        for action in gizmo._mover._impl_aux.update_cb:
            action(Pull(moving, "update"))
    go_on.set()
    editor.actions.wait()
    shift = editor.session.document.steps[1].operation.translate
    assert shift == pytest.approx((0.2, 0.0, 0.1), abs=1e-4)


def test_cameras_of_the_capture_keep_out_of_the_way(editor, working):
    window = editor.windows[working.client_id]
    set_to(editor.look_panel._shown, True, working)
    eyes = [eye for eye, _ in window._frustums._shown]
    assert len(eyes) == len(editor.session.scene.views("train"))
    window.look_from(eyes[2])
    window.ask()
    hidden = [not handle.visible for _, handle in window._frustums._shown]
    assert hidden[2]
    assert sum(hidden) < len(hidden) / 2
    working.camera.position = (0.0, 0.0, 9.0)
    window.ask()
    assert all(handle.visible for _, handle in window._frustums._shown)
    set_to(editor.look_panel._shown, False, working)
    assert not window._frustums._shown
