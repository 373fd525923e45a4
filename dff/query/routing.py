"""Which of several distilled teachers answers which query.

Words go to a teacher with a text tower. What is shown - a click, a patch - goes to those without
one, such as DINO, which tell things apart by look and have the sharper borders; where all have a
text tower, to all of them. Several answer together by the product of their scores.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
from jaxtyping import Float
from torch import Tensor

from dff.errors import DffError

# Asks all teachers of a scene together.
PRODUCT = "product"
_NO_FEATURES = "this scene was trained without features: add a teacher by `dff features --lift`"


class Distilled(Protocol):
    """What routing has to know of a teacher."""

    @property
    def name(self) -> str:
        """The name it is asked for by."""
        ...

    @property
    def has_text(self) -> bool:
        """Whether it has a text tower."""
        ...


def text_teacher(teachers: Sequence[Distilled], asked: str | None = None) -> str:
    """Name of the teacher that a text query goes to.

    Args:
        teachers: those of the scene, in the order they were given for training.
        asked: the one the user wants.

    Raises:
        DffError: there is none, the scene has not the one that was asked for, or none has a text
            tower.
    """
    if asked == PRODUCT:
        raise DffError(f"words go to one teacher: '{PRODUCT}' is for clicks and patches")
    if asked is not None:
        return _known(teachers, asked)
    for teacher in teachers:
        if teacher.has_text:
            return teacher.name
    if not teachers:
        raise DffError(_NO_FEATURES)
    names = ", ".join(f"'{teacher.name}'" for teacher in teachers)
    raise DffError(
        f"no teacher of this scene understands text ({names}): query by click or patch, or train "
        "with a teacher that has a text tower (--pipeline.teachers clip,dino)"
    )


def likeness_teachers(teachers: Sequence[Distilled], asked: str | None = None) -> tuple[str, ...]:
    """Names of the teachers that a click or patch query goes to.

    Args:
        teachers: those of the scene.
        asked: a name, ``product`` for all of them together, or None for the default above.

    Raises:
        DffError: there is none, or the scene has not the one that was asked for.
    """
    names = tuple(teacher.name for teacher in teachers)
    if asked == PRODUCT and names:
        return names
    if asked is not None:
        return (_known(teachers, asked),)
    if not names:
        raise DffError(_NO_FEATURES)
    return tuple(teacher.name for teacher in teachers if not teacher.has_text) or names


def product_of_scores(
    scores: Sequence[Float[Tensor, "*batch"]],
) -> Float[Tensor, "*batch"]:
    """Geometric mean of scores in [0, 1]: high only where every teacher agrees.

    The mean, not the bare product, so that a threshold means the same for one teacher and two:
    equal scores give that score. A zero anywhere gives zero.
    """
    stacked = torch.stack(list(scores)).clamp_min(0.0)
    return torch.exp(torch.log(stacked).mean(dim=0))


def _known(teachers: Sequence[Distilled], asked: str) -> str:
    names = [teacher.name for teacher in teachers]
    if asked not in names:
        listed = ", ".join(f"'{name}'" for name in names) or "none"
        raise DffError(f"this scene was not distilled from teacher '{asked}', but from {listed}")
    return asked
