"""Guides for a canvas, from what is chosen on the command line."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import cache
from typing import Literal

from dff.camera_paths import rescaled
from dff.errors import DffError
from dff.repaint.cameras import sees
from dff.repaint.canvas import Canvas
from dff.repaint.clip_guide import ANYTHING, ClipGuide
from dff.repaint.editing_guide import EditingGuide
from dff.repaint.image_editing import PictureEditor
from dff.repaint.settings import EditorOptions, PatchSettings, TrainingSettings
from dff.repaint.tower import Judge
from dff.repaint.views import PreparedView
from dff.selection.selection import Selection


def source_words(selection: Selection) -> str:
    """What a selection was asked for by, or "a photo" where it was not asked for by words."""
    found = re.match(r"'(.+?)' against ", selection.made_by[0]) if selection.made_by else None
    return found[1] if found else ANYTHING


def clip_guide(
    canvas: Canvas,
    judge: Judge,
    prompt: str,
    name: str,
    *,
    source: str | None = None,
    loss: Literal["directional", "plain"] = "directional",
    patches: PatchSettings | None = None,
    training: TrainingSettings | None = None,
) -> ClipGuide:
    """A guide by CLIP.

    Args:
        canvas: what is painted.
        judge: sees pictures and reads words.
        prompt: what it should look like.
        name: of the judge and its weights; a run goes on only under the same.
        source: what it looks like now; None: the words it was selected by.
        loss: see `ClipGuide`.
        patches: what the judge is shown.
        training: seed, and weight of the surroundings.

    Raises:
        DffError: source and prompt are the same, so that there is no direction between them.
    """
    patches, training = patches or PatchSettings(), training or TrainingSettings()
    patches.validate()
    source = source_words(canvas.selection) if source is None else source
    if loss == "directional" and source.casefold() == prompt.casefold():
        raise DffError(
            f"'{prompt}' is what it looks like already: give another --prompt or --source-prompt"
        )
    views = canvas.random_views(patches.size, training.seed)
    return ClipGuide(
        judge, views, prompt, source, loss, patches, training.preserve, training.seed, name
    )


def editing_guide(
    canvas: Canvas,
    editor: PictureEditor,
    prompt: str,
    options: EditorOptions,
    training: TrainingSettings | None = None,
) -> EditingGuide:
    """A guide by an image-editing model.

    Args:
        canvas: what is painted.
        editor: edits pictures.
        prompt: what the editor is told.
        options: how many views, how large, how often.
        training: seed, and weight of the surroundings.

    Raises:
        DffError: no training view has the selection in its frame.
    """
    options.validate()
    training = training or TrainingSettings()
    cameras = canvas.scene.training_cameras
    seen = sees(cameras, canvas.region.center).nonzero()[:, 0].tolist()
    if not seen:
        raise DffError("no photo has the middle of the selection in its frame: select less")
    count = min(options.views, len(seen))
    chosen = [seen[number * len(seen) // count] for number in range(count)]

    @cache
    def view(number: int) -> PreparedView:
        camera = cameras[chosen[number] : chosen[number] + 1]
        longer = max(int(camera.height.item()), int(camera.width.item()))
        return canvas.prepare(rescaled(camera, options.size / longer))

    options = replace(options, views=count)
    return EditingGuide(editor, view, count, prompt, options, training.preserve, training.seed)
