"""Repainting what is selected by text, beside the editing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import imageio.v3 as imageio
import numpy as np

from dff.editor.compat import ShownPicture
from dff.edits.operations import Repaint
from dff.errors import DffError
from dff.files import plain_name
from dff.query.text import clean_prompts

if TYPE_CHECKING:
    from dff.editor.app import Editor

FOLDER = "repaints"


class RepaintPanel:
    """Prompt, weights, progress and previews.

    Args:
        editor: whose.
    """

    def __init__(self, editor: Editor) -> None:
        self._editor = editor
        gui: Any = editor.server.gui
        self._prompt = gui.add_text("Prompt", initial_value="", hint="what it should look like")
        self._checkpoint = gui.add_text(
            "CLIP weights", initial_value="", hint="a file; else the cache"
        )
        self._steps = gui.add_slider("Training steps", min=20, max=1000, step=10, initial_value=300)
        self._start = gui.add_button("Repaint")
        self._preview = ShownPicture(gui, np.zeros((8, 8, 3), dtype=np.uint8))
        self._preview.visible = False
        editor.on_press(self._start, self._wishes, lambda wishes, _: self._begin(*wishes))

    def _wishes(self) -> tuple[str, str, int]:
        (prompt,) = clean_prompts((self._prompt.value,), "prompt")
        return prompt, self._checkpoint.value.strip(), int(self._steps.value)

    def _begin(self, prompt: str, weights: str, steps: int) -> None:
        from dff.repaint.canvas import Canvas
        from dff.repaint.files import RepaintFiles
        from dff.repaint.guides import clip_guide
        from dff.repaint.run import repaint
        from dff.repaint.settings import PatchSettings, TrainingSettings
        from dff.repaint.tower import TowerOptions, find_tower, load_tower

        session = self._editor.session
        if session.choice is None or session.choice.selection.count == 0:
            raise DffError("nothing is selected: find, pick or frame something first")
        options = TowerOptions(checkpoint=Path(weights)) if weights else TowerOptions()
        selection, described = session.choice.selection, session.described()
        settings = TrainingSettings(steps=steps, preview_every=25)
        output = session.folder / FOLDER / plain_name(prompt)[:60]
        scene = session.scene

        def work(progress: Callable[[float], None]) -> str:
            try:
                tower = find_tower(options)
            except DffError as error:
                raise DffError(in_our_words(str(error))) from error
            progress(0.0)
            canvas = Canvas.of(scene, selection)
            judge = load_tower(tower, scene.model.device)
            guide = clip_guide(
                canvas, judge, prompt, tower.facts, patches=PatchSettings(), training=settings
            )
            files = RepaintFiles.of(output)

            def on_step(number: int, _loss: float) -> None:
                progress((number + 1) / settings.steps)
                path = files.previews / f"{number + 1:06d}.png"
                if path.exists():
                    picture = np.asarray(imageio.imread(path))[..., :3]
                    self._editor.actions.do(lambda: self._show(picture))

            repaint(canvas, guide, prompt, output, settings, on_step=on_step)
            file = files.paint.relative_to(session.folder).as_posix()
            self._editor.do(lambda: session.apply_to(described, Repaint(file=file), prompt))
            return f"repainted: {prompt}"

        self._editor.tasks.start(f"Repainting: {prompt[:40]}", work)

    def _show(self, picture: Any) -> None:
        self._preview.show(picture)
        self._preview.visible = True


def in_our_words(sentence: str) -> str:
    """What is said to people at a command line, for people at this panel."""
    given = sentence.replace("by --clip.checkpoint", "in the field 'CLIP weights'")
    return given.replace("dff repaint wants", "repainting wants")
