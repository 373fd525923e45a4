"""What every judge of a repainting offers to the training."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from jaxtyping import Float
from nerfstudio.cameras.cameras import Cameras
from torch import Tensor

from dff.edits.compiled import Paint
from dff.errors import DffError
from dff.repaint.cameras import Region, random_camera
from dff.repaint.seeds import generator_for
from dff.repaint.views import PreparedView

# A view shows something of the selection if it is this share of the frame.
LEAST_SEEN = 0.01
TRIES = 20


class Guide(Protocol):
    """Says how far the paint is from what the words ask for.

    Attributes:
        facts: what it is, as plain data; a run goes on only under the same.
    """

    facts: Mapping[str, Any]

    def loss(self, paint: Paint, step: int) -> Float[Tensor, ""]:
        """What the paint lowers in a step, differentiable; the same for the same step."""
        ...

    def state(self) -> dict[str, Tensor]:
        """What it has gathered so far, to be saved."""
        ...

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Go on from what was saved."""
        ...


class RandomViews:
    """Random views that frame the selection, by number; each is prepared once and then kept.

    Args:
        cameras: the training cameras.
        region: where the selection is.
        prepare: renders a camera.
        size: pixels along each side.
        seed: of the run.
    """

    def __init__(
        self,
        cameras: Cameras,
        region: Region,
        prepare: Callable[[Cameras], PreparedView],
        size: int,
        seed: int,
    ) -> None:
        self._cameras = cameras
        self._region = region
        self._prepare = prepare
        self._size = size
        self._seed = seed
        self._kept: dict[int, PreparedView] = {}

    def __call__(self, number: int) -> PreparedView:
        """The view of a number.

        Raises:
            DffError: something hides the selection from every camera that was tried.
        """
        if number not in self._kept:
            generator = generator_for(self._seed, "camera", number)
            for _ in range(TRIES):
                camera = random_camera(self._cameras, self._region, self._size, generator)
                view = self._prepare(camera)
                if float(view.share.mean()) >= LEAST_SEEN:
                    break
            else:
                raise DffError("the selection is hidden from everywhere the photos were taken")
            self._kept[number] = view
        return self._kept[number]
