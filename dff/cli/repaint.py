"""``dff repaint``: give what is selected the looks that words describe, as an edit."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from dff.refinement import Refinement
from dff.repaint.settings import EditorOptions, PatchSettings, TowerOptions, TrainingSettings

if TYPE_CHECKING:
    from dff.query.shown import ClickQuery
    from dff.query.text import TextQuery


@dataclass
class Repaint:
    """Train new colours for a selection, so that pictures of it match a prompt.

    Shape and everything else stay as they are. What comes out is a small file and an edit document
    that uses it (dff render --edits). Stopped, the same command goes on where it was.
    """

    load_config: Path
    """The config.yml that training wrote."""
    prompt: str
    """What it should look like ("a rainbow apple"); with --by instruct-pix2pix what to do ("turn
    the apple into a rainbow apple")."""
    output: Path
    """Name of the result: NAME.safetensors, NAME.yml and what belongs to them are written."""
    selection: Path | None = None
    """What is painted: a selection that dff query --save wrote."""
    text: tuple[str, ...] = ()
    """Select by words instead."""
    negative: tuple[str, ...] = ()
    """What it is to be told apart from."""
    click: tuple[str, ...] = ()
    """Select by pixels instead, as FRAME:x,y."""
    refine: Annotated[Refinement, tyro.conf.arg(name="")] = field(default_factory=Refinement)
    """Refinements of the selection, in the order in which they are listed."""
    by: Literal["clip", "instruct-pix2pix"] = "clip"
    """Who judges: a CLIP, or an image-editing model (needs the packages of dff[repaint])."""
    loss: Literal["directional", "plain"] = "directional"
    """Of CLIP: the change from the source prompt to the prompt, or plainly the prompt."""
    source_prompt: str | None = None
    """What it looks like now; by default the words it was selected by, or "a photo"."""
    clip: TowerOptions = field(default_factory=TowerOptions)
    """Which CLIP."""
    patches: PatchSettings = field(default_factory=PatchSettings)
    """What CLIP is shown."""
    editor: EditorOptions = field(default_factory=EditorOptions)
    """The image-editing model."""
    training: TrainingSettings = field(default_factory=TrainingSettings)
    """How the colours are trained."""
    overwrite: bool = False
    """Begin anew, whatever is there."""

    def run(self) -> None:
        """Find the weights, select, train, write."""
        from dff.answering import answer
        from dff.query.text import clean_prompts
        from dff.repaint.canvas import Canvas
        from dff.repaint.files import RepaintFiles
        from dff.repaint.guides import clip_guide, editing_guide
        from dff.repaint.image_editing import find_editor, load_editor
        from dff.repaint.run import repaint
        from dff.repaint.tower import find_tower, load_tower
        from dff.scene import load

        for settings in (self.patches, self.editor, self.training):
            settings.validate()
        query = self._query()
        files = RepaintFiles.of(self.output)
        (prompt,) = clean_prompts((self.prompt,), "prompt")
        found = None
        if self.by == "clip":
            found = find_tower(self.clip)
        else:
            find_editor(self.editor)
        scene = load(self.load_config)
        if query is None:
            assert self.selection is not None
            selection = scene.load_selection(self.selection)
        else:
            selection = answer(scene, query)
        canvas = Canvas.of(scene, self.refine.apply(scene, selection))
        device = scene.model.device
        if found is not None:
            judge = load_tower(found, device)
            guide = clip_guide(
                canvas,
                judge,
                prompt,
                found.facts,
                source=self.source_prompt,
                loss=self.loss,
                patches=self.patches,
                training=self.training,
            )
        else:
            editor = load_editor(self.editor, device)
            guide = editing_guide(canvas, editor, prompt, self.editor, self.training)
        losses = repaint(
            canvas, guide, prompt, self.output, self.training, overwrite=self.overwrite
        )
        if losses:
            few = max(1, len(losses) // 10)
            first, last = sum(losses[:few]) / few, sum(losses[-few:]) / few
            print(f"{len(losses)} steps, loss {first:.4f} -> {last:.4f}: {files.paint}")
        else:
            print(f"nothing left to do: {files.paint} has all its steps")
        print(f"dff render --load-config {self.load_config} --edits {files.document} shows it")

    def _query(self) -> TextQuery | ClickQuery | None:
        """What selects, checked before anything is loaded; None: it is saved."""
        from dff.errors import UsageError
        from dff.query.shown import ClickQuery, parse_click
        from dff.query.text import TextQuery

        asked = {
            "--selection": self.selection is not None,
            "--text": bool(self.text or self.negative),
            "--click": bool(self.click),
        }
        given = [name for name, is_given in asked.items() if is_given]
        if len(given) != 1:
            raise UsageError(
                f"say once what is painted ({' and '.join(given) or 'nothing'} was given): by "
                f"{', '.join(asked)}"
            )
        if self.text or self.negative:
            return TextQuery(self.text, self.negative)
        if self.click:
            return ClickQuery(tuple(map(parse_click, self.click)), ())
        return None
