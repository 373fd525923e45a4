"""Repainting guided by an image-editing model: the training pictures are edited one by one.

The dataset update of Instruct-NeRF2NeRF (arXiv 2303.12789): every few steps one view's target is
replaced by the model's edited picture of it, and the paint is trained on the targets there are.
Edited pictures disagree with each other; what they have in common is what the paint learns. The
model is always given the view as it was trained, so that edits do not pile up.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from dff.edits.compiled import Paint
from dff.pictures import to_bytes
from dff.repaint.image_editing import PictureEditor
from dff.repaint.losses import picture_loss, preserving_loss
from dff.repaint.seeds import generator_for, seed_of
from dff.repaint.settings import EditorOptions
from dff.repaint.views import PreparedView


class EditingGuide:
    """See `dff.repaint.guide.Guide`.

    Args:
        editor: edits pictures.
        views: training views by number.
        count: how many there are.
        prompt: what the editor is told.
        options: how often, and how many pixels.
        preserve: weight of `preserving_loss`.
        seed: of the run.
    """

    def __init__(
        self,
        editor: PictureEditor,
        views: Callable[[int], PreparedView],
        count: int,
        prompt: str,
        options: EditorOptions,
        preserve: float = 1.0,
        seed: int = 0,
    ) -> None:
        self._editor = editor
        self._views = views
        self._count = count
        self._prompt = prompt
        self._options = options
        self._preserve = preserve
        self._seed = seed
        self._targets: dict[int, Tensor] = {}
        self.facts: Mapping[str, Any] = {"by": "instruct-pix2pix", **asdict(options)}

    def loss(self, paint: Paint, step: int) -> Float[Tensor, ""]:
        """Loss of some pixels of one edited view; first another one is edited, if it is time."""
        if step % self._options.every == 0:
            self._edit(step // self._options.every)
        generator = generator_for(self._seed, "step", step)
        known = sorted(self._targets)
        number = known[int(torch.randint(len(known), (1,), generator=generator))]
        view = self._views(number)
        seen = torch.nonzero(view.share.reshape(-1).cpu() > 0)[:, 0]
        order = torch.randperm(len(seen), generator=generator)[: self._options.rays]
        pixels = seen[order].sort().values.to(view.picture.device)
        part = view.at(pixels)
        target = self._targets[number].to(part.picture).reshape(-1, 3)[pixels][None] / 255
        painted = part.painted(paint)
        loss = picture_loss(painted, target, part.share)
        return loss + self._preserve * preserving_loss(painted, part.picture, part.share)

    def _edit(self, turn: int) -> None:
        """Replace one view's target; all views have their turn before any has a second one."""
        cycle, place = divmod(turn, self._count)
        order = torch.randperm(self._count, generator=generator_for(self._seed, "order", cycle))
        number = int(order[place])
        seed = seed_of(self._seed, "editor", turn)
        edited = self._editor(self._views(number).picture, self._prompt, seed)
        self._targets[number] = torch.from_numpy(to_bytes(edited))

    def state(self) -> dict[str, Tensor]:
        """The edited pictures, in 8 bits, by the numbers of their views."""
        return {str(number): target for number, target in self._targets.items()}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Go on with edited pictures that were saved."""
        self._targets = {int(number): target for number, target in state.items()}
