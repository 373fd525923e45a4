"""The capture's own cameras, with the images that they took."""

from __future__ import annotations

import dataclasses
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from nerfstudio.cameras.cameras import Cameras

Split = Literal["train", "eval", "all"]


@dataclass(frozen=True)
class View:
    """One of the capture's own cameras.

    Attributes:
        name: stem of the image file.
        path: the image file.
        camera: one camera, at the size of the image on disk.
        split: ``train`` or ``eval``.
    """

    name: str
    path: Path
    camera: Cameras
    split: Literal["train", "eval"]

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return int(self.camera.height.item()), int(self.camera.width.item())


def tell_apart(views: list[View]) -> list[View]:
    """Give views whose images share a stem longer names, so that none overwrites another's files.

    ``a/0001.png`` and ``b/0001.png`` become ``a_0001`` and ``b_0001``; where that is not enough
    the suffix is added too.
    """
    for longer in (
        lambda path: f"{path.parent.name}_{path.stem}",
        lambda path: f"{path.parent.name}_{path.name}".replace(".", "_"),
    ):
        counts = Counter(view.name for view in views)
        views = [
            dataclasses.replace(view, name=longer(view.path)) if counts[view.name] > 1 else view
            for view in views
        ]
    return views
