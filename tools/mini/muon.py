"""An optimiser for convolutions: steps of one size in every direction.

The momentum of each kernel, as a matrix of (outputs, inputs x height x width), is replaced by the
nearest matrix whose singular values are all alike (Jordan et al. 2024, "Muon"), and scaled so that
its entries are as large as Adam's would be (Liu et al. 2025).
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

# Of x -> a x + b x^3 + c x^5, which drives singular values in (0, 1] towards 1.
_A, _B, _C = 3.4445, -4.7750, 2.0315
_LIKE_ADAM = 0.2


class Muon(torch.optim.Optimizer):
    """See the top of the module.

    Args:
        params: kernels of two dimensions or more.
        lr: learning rate, as large as for Adam.
        momentum: of the gradients.
        weight_decay: decoupled, per step and learning rate.
        rounds: of the iteration that evens out singular values.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        momentum: float = 0.95,
        weight_decay: float = 0.03,
        rounds: int = 5,
    ) -> None:
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "weight_decay": weight_decay,
            "rounds": rounds,
        }
        super().__init__(params, defaults)

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:
        """One step along the gradients at hand."""
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is None:
                    continue
                state = self.state[weight]
                mean = state.setdefault("mean", torch.zeros_like(weight))
                mean.mul_(group["momentum"]).add_(weight.grad)
                step = weight.grad.add(mean, alpha=group["momentum"]).flatten(1)
                even = evened(step, group["rounds"]).reshape(weight.shape)
                weight.mul_(1 - group["lr"] * group["weight_decay"])
                weight.add_(even, alpha=-group["lr"] * _LIKE_ADAM * math.sqrt(max(step.shape)))


def evened(matrix: Tensor, rounds: int) -> Tensor:
    """The matrix with all its singular values brought near 1; Newton and Schulz's iteration.

    Args:
        matrix: (m, n).
        rounds: 5 bring singular values down to a thousandth of the largest into (0.7, 1.2).
    """
    x = matrix.t() if matrix.shape[0] > matrix.shape[1] else matrix
    x = x / (x.norm() + 1e-7)
    for _ in range(rounds):
        gram = x @ x.t()
        x = torch.addmm(x, torch.addmm(gram, gram, gram, beta=_B, alpha=_C), x, beta=_A)
    return x.t() if matrix.shape[0] > matrix.shape[1] else x
