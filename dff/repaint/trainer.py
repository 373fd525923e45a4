"""Training of a paint, step by step; a run that goes on is bit for bit an unbroken one."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from dff.errors import DffError
from dff.repaint.guide import Guide
from dff.repaint.paint import FieldPaint
from dff.repaint.seeds import seed_of
from dff.repaint.settings import TrainingSettings

# The colour network holds all of the scene's colours: it is moved with more care than the texture.
NETWORK_SHARE = 0.1
BETAS = (0.9, 0.99)
PAINT, MOMENTS, GUIDE = "paint.", "adam.", "guide."


class Training:
    """A paint on its way.

    Args:
        paint: is trained.
        guide: says what to lower.
        settings: how.
    """

    def __init__(self, paint: FieldPaint, guide: Guide, settings: TrainingSettings) -> None:
        self.paint = paint
        self.guide = guide
        self.settings = settings
        groups = [{"params": list(paint.colour_mlp.parameters()), "share": NETWORK_SHARE}]
        if paint.texture is not None:
            groups.append({"params": list(paint.texture.parameters()), "share": 1.0})
        self._optimizer = torch.optim.Adam(groups, betas=BETAS)

    def step(self, number: int) -> float:
        """One step.

        Args:
            number: of the step, from 0.

        Returns:
            Its loss.

        Raises:
            DffError: the loss is not finite.
        """
        for group in self._optimizer.param_groups:
            group["lr"] = group["share"] * self.settings.rate(number)
        self._optimizer.zero_grad(set_to_none=True)
        # Whatever a network draws at random depends on the step alone.
        with torch.random.fork_rng():
            torch.manual_seed(seed_of(self.settings.seed, "paint", number))
            loss = self.guide.loss(self.paint, number)
            if not torch.isfinite(loss):
                raise DffError(
                    f"the loss of step {number + 1} is no number: lower --training.learning-rate"
                )
            loss.backward()
        self._optimizer.step()
        return float(loss)

    def state(self) -> dict[str, Tensor]:
        """Everything that the next step depends on, as tensors by name."""
        found = {PAINT + name: value for name, value in self.paint.state_dict().items()}
        for number, moments in self._optimizer.state_dict()["state"].items():
            found |= {f"{MOMENTS}{number}.{name}": value for name, value in moments.items()}
        return found | {GUIDE + name: value for name, value in self.guide.state().items()}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Go on from a state.

        Raises:
            KeyError, RuntimeError, ValueError: it is not of such a training.
        """
        moments: dict[int, dict[str, Tensor]] = {}
        for name, value in _within(state, MOMENTS).items():
            number, _, kind = name.partition(".")
            moments.setdefault(int(number), {})[kind] = value
        self.paint.load_state_dict(_within(state, PAINT), strict=True)
        groups = self._optimizer.state_dict()["param_groups"]
        self._optimizer.load_state_dict({"state": moments, "param_groups": groups})
        self.guide.load_state(_within(state, GUIDE))


def _within(state: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {
        name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)
    }
