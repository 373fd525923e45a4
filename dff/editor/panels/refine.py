"""Refining what was selected."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from dff.editor.compat import ShownPicture
from dff.editor.elements import put
from dff.editor.histogram import histogram
from dff.errors import DffError
from dff.refinement import Refinement

if TYPE_CHECKING:
    from dff.editor.app import Editor
    from dff.editor.asking import Choice


class RefinePanel:
    """Threshold with the histogram of scores, and what `dff.refinement` knows.

    Args:
        editor: whose.
    """

    def __init__(self, editor: Editor) -> None:
        self._editor = editor
        gui: Any = editor.server.gui
        self._histogram = ShownPicture(gui, histogram(None, None, None))
        self._threshold = gui.add_slider(
            "Threshold", min=0.0, max=1.0, step=0.005, initial_value=0.5
        )
        self._automatic = gui.add_button("Automatic threshold")
        self._largest = gui.add_slider(
            "Largest parts (0: all)", min=0, max=10, step=1, initial_value=0
        )
        self._grow = gui.add_slider("Grow", min=0.0, max=0.2, step=0.005, initial_value=0.0)
        self._shrink = gui.add_slider("Shrink", min=0.0, max=0.2, step=0.005, initial_value=0.0)
        self._smooth = gui.add_slider("Smooth", min=0, max=10, step=1, initial_value=0)
        self._holes = gui.add_checkbox("Fill holes", initial_value=False)
        self._colours = gui.add_checkbox("Rim follows colours", initial_value=False)
        self._invert = gui.add_checkbox("Invert", initial_value=False)
        self._undo = gui.add_button("Without refinements")
        session = editor.session
        editor.on_change(self._threshold, self._set_threshold)
        editor.on_click(self._automatic, lambda: session.set_threshold(None))
        editor.on_click(self._undo, lambda: session.refine(Refinement()))
        for handle, name, kind in (
            (self._largest, "keep_largest", lambda value: int(value) or None),
            (self._grow, "grow", float),
            (self._shrink, "shrink", float),
            (self._smooth, "smooth", int),
            (self._holes, "fill_holes", bool),
            (self._colours, "follow_colours", bool),
            (self._invert, "invert", bool),
        ):
            editor.on_change(
                handle, lambda value, name=name, kind=kind: self._refine(**{name: kind(value)})
            )
        self._shown: Choice | None = None
        # Whether an element shows what was refused.
        self._refused = False

    def _set_threshold(self, value: float) -> None:
        with self._shown_again_if_refused():
            self._editor.session.set_threshold(float(value))

    def _refine(self, **changes: Any) -> None:
        session = self._editor.session
        before = Refinement() if session.choice is None else session.choice.refinement
        with self._shown_again_if_refused():
            session.refine(dataclasses.replace(before, **changes))

    @contextmanager
    def _shown_again_if_refused(self) -> Iterator[None]:
        try:
            yield
        except DffError:
            self._refused = True
            raise

    def refresh(self) -> None:
        """Show how the selection is refined now."""
        choice = self._editor.session.choice
        if choice is self._shown and not self._refused:
            return
        self._shown, self._refused = choice, False
        refinement = Refinement() if choice is None else choice.refinement
        for handle, value in (
            (self._largest, refinement.keep_largest or 0),
            (self._grow, refinement.grow),
            (self._shrink, refinement.shrink),
            (self._smooth, refinement.smooth),
            (self._holes, refinement.fill_holes),
            (self._colours, refinement.follow_colours),
            (self._invert, refinement.invert),
        ):
            put(handle, value=value)
        answer = None if choice is None else choice.asked.selection
        threshold = None if answer is None or answer.exact is None else answer.exact.threshold
        has = choice is not None and choice.asked.at is not None
        put(self._threshold, disabled=not has)
        put(self._automatic, disabled=not has)
        if threshold is not None and abs(self._threshold.value - threshold) > 0.0025:
            self._threshold.value = min(max(round(threshold / 0.005) * 0.005, 0.0), 1.0)
        scores = None if answer is None else answer.scores
        suggested = None if choice is None else choice.asked.suggested
        ends = self._histogram.slider_ends
        self._histogram.show(histogram(scores, threshold if has else None, suggested, ends))
