"""Repainting guided by CLIP: random views of the selection come to look like the words."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from dff.edits.compiled import Paint
from dff.repaint.augment import Augmentation, draw, taken
from dff.repaint.losses import directional_loss, plain_loss, preserving_loss
from dff.repaint.seeds import generator_for
from dff.repaint.settings import PatchSettings
from dff.repaint.tower import Judge
from dff.repaint.views import PreparedView

ANYTHING = "a photo"


class ClipGuide:
    """See `dff.repaint.guide.Guide`.

    Args:
        judge: sees pictures and reads words.
        views: random views by number.
        prompt, source: words for after and before.
        loss: by the direction of the change from source to prompt, or plainly by the prompt.
        patches: what the judge is shown.
        preserve: weight of `preserving_loss`.
        seed: of the run.
        name: of the judge.
    """

    def __init__(
        self,
        judge: Judge,
        views: Callable[[int], PreparedView],
        prompt: str,
        source: str = ANYTHING,
        loss: Literal["directional", "plain"] = "directional",
        patches: PatchSettings | None = None,
        preserve: float = 1.0,
        seed: int = 0,
        name: str = "clip",
    ) -> None:
        self._judge = judge
        self._views = views
        self._prompt, self._source = judge.words([prompt, source])
        self._directional = loss == "directional"
        self._patches = patches or PatchSettings()
        self._preserve = preserve
        self._seed = seed
        self.facts: Mapping[str, Any] = {
            "by": name,
            "loss": loss,
            "source_prompt": source if self._directional else None,
            **asdict(self._patches),
        }

    def loss(self, paint: Paint, step: int) -> Float[Tensor, ""]:
        """Loss of one view in several augmentations, and of its surroundings."""
        generator = generator_for(self._seed, "step", step)
        number = int(torch.randint(self._patches.cameras, (1,), generator=generator))
        view = self._views(number)
        ways = [draw(generator) for _ in range(self._patches.augmentations)]
        light = view.light(paint)
        painted = view.picture + light - view.light(None)
        edited = self._judge.pictures(self._shown(ways, painted, light, view.share))
        if self._directional:
            with torch.no_grad():
                before = self._shown(ways, view.picture, view.light(None), view.share)
                original = self._judge.pictures(before)
            loss = directional_loss(edited, original, self._prompt, self._source)
        else:
            loss = plain_loss(edited, self._prompt)
        return loss + self._preserve * preserving_loss(painted, view.picture, view.share)

    def _shown(
        self, ways: list[Augmentation], picture: Tensor, light: Tensor, share: Tensor
    ) -> Float[Tensor, "n 3 H W"]:
        size = self._judge.size
        return torch.stack([taken(way, picture, light, share, size) for way in ways])

    def state(self) -> dict[str, Tensor]:
        """Nothing: every step draws its own."""
        return {}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Nothing to go on from."""
