"""Queries by showing: clicks in views and patches of pictures, as the user gives them."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

from dff.errors import DffError
from dff.query.threshold import check_threshold

_CLICK = re.compile(r"(?P<frame>.+):(?P<x>[^:,]+),(?P<y>[^:,]+)")
# Not the drive letter of a path.
_MASK = re.compile(r"(?P<image>.{2,}?):(?P<mask>[^:,]+\.(png|PNG))")
_BOX = re.compile(r"(?P<image>.+):(?P<box>[^:,]+,[^:,]+,[^:,]+,[^:,]+)")


@dataclass(frozen=True)
class Click:
    """A pixel of one of the capture's images, as on disk.

    Attributes:
        frame: stem of the image file.
        x, y: column and row in pixels from the top left corner; a pixel's centre is at .5.
    """

    frame: str
    x: float
    y: float

    def __post_init__(self) -> None:
        if not (math.isfinite(self.x) and math.isfinite(self.y)):
            raise DffError(f"a click is at two finite numbers, not {self.x}, {self.y}")

    @classmethod
    def parse(cls, text: str) -> Click:
        """From ``FRAME:x,y``.

        Raises:
            DffError: it is not of that form.
        """
        found = _CLICK.fullmatch(text.strip())
        if found is None:
            raise DffError(
                "a click is written FRAME:x,y (IMG_0001:320,240), or x,y,z in world units, not "
                f"{text!r}"
            )
        return cls(found["frame"], *_numbers(text, [found["x"], found["y"]]))

    def __str__(self) -> str:
        return f"{self.frame}:{self.x:g},{self.y:g}"


@dataclass(frozen=True)
class Spot:
    """A point of a surface, as a click in a view that is none of the capture's gives it.

    Attributes:
        x, y, z: in world units of the scene.
    """

    x: float
    y: float
    z: float

    def __post_init__(self) -> None:
        if not all(map(math.isfinite, (self.x, self.y, self.z))):
            raise DffError(f"a click is at finite numbers, not {self.x}, {self.y}, {self.z}")

    def __str__(self) -> str:
        return f"{self.x:.9g},{self.y:.9g},{self.z:.9g}"


def parse_click(text: str) -> Click | Spot:
    """A click from ``FRAME:x,y``, or from ``x,y,z`` in world units.

    Raises:
        DffError: it is of neither form.
    """
    parts = text.strip().split(",")
    if ":" not in text and len(parts) == 3:
        return Spot(*_numbers(text, parts))
    return Click.parse(text)


@dataclass(frozen=True)
class ClickQuery:
    """What was clicked.

    Attributes:
        positives: on what is wanted; at least one.
        negatives: on what is not.
        connected: keep only what hangs together with a positive click; otherwise everything alike.
        teacher: which of several distilled teachers answers, or ``product`` for all; None is the
            one for likeness (see `dff.query.routing`).
        threshold: scores at or above it are selected, in [0, 1], or a name (see
            `dff.query.threshold.select_threshold`); None means the stable one.
    """

    positives: tuple[Click | Spot, ...]
    negatives: tuple[Click | Spot, ...] = ()
    connected: bool = True
    teacher: str | None = None
    threshold: float | str | None = None

    def __post_init__(self) -> None:
        if not self.positives:
            raise DffError(
                "a click query needs at least one positive click, not only negative ones"
            )
        both = set(self.positives) & set(self.negatives)
        if both:
            raise DffError(f"the click {next(iter(both))} is both wanted and not wanted")
        check_threshold(self.threshold)

    def __str__(self) -> str:
        text = "click " + " ".join(map(str, self.positives))
        return text + "".join(f" not {click}" for click in self.negatives)


@dataclass(frozen=True)
class Patch:
    """A picture, or a part of one.

    Attributes:
        image: stem of one of the capture's images, or path of any image file.
        box: x0, y0, x1, y1 in pixels of the image on disk, x1 and y1 not included; None is all.
        mask: path of a mask of the image's size, not black where it shows the thing.
    """

    image: str
    box: tuple[float, float, float, float] | None = None
    mask: str | None = None

    def __post_init__(self) -> None:
        if self.box is not None and self.mask is not None:
            raise DffError("a patch is a rectangle or a mask, not both")
        if self.box is not None:
            x0, y0, x1, y1 = self.box
            if not all(map(math.isfinite, self.box)) or x0 >= x1 or y0 >= y1:
                raise DffError(
                    f"the patch {self} has no area: it goes from its upper left to its lower right "
                    "corner"
                )

    @classmethod
    def parse(cls, text: str) -> Patch:
        """From ``IMAGE:x0,y0,x1,y1``, ``IMAGE:MASK.png`` or ``IMAGE``.

        Raises:
            DffError: the rectangle is not four numbers, or has no area.
        """
        text = text.strip()
        found = _BOX.fullmatch(text)
        if found is None:
            masked = _MASK.fullmatch(text)
            if masked is not None:
                return cls(masked["image"], mask=masked["mask"])
            if not text or re.search(r":[^:/\\]*,", text):
                raise DffError(
                    f"a patch is written IMAGE:x0,y0,x1,y1, IMAGE:MASK.png or IMAGE, not {text!r}"
                )
            return cls(text)
        x0, y0, x1, y1 = _numbers(text, found["box"].split(","))
        return cls(found["image"], (x0, y0, x1, y1))

    def __str__(self) -> str:
        if self.mask is not None:
            return f"{self.image}:{self.mask}"
        if self.box is None:
            return self.image
        return f"{self.image}:{','.join(f'{side:g}' for side in self.box)}"


@dataclass(frozen=True)
class PatchQuery:
    """What was shown.

    Attributes:
        positives: pictures of what is wanted; at least one.
        negatives: pictures of what is not.
        teacher, threshold: as in `ClickQuery`.
    """

    positives: tuple[Patch, ...]
    negatives: tuple[Patch, ...] = ()
    teacher: str | None = None
    threshold: float | str | None = None

    def __post_init__(self) -> None:
        if not self.positives:
            raise DffError("a patch query needs at least one picture of what is wanted")
        both = set(self.positives) & set(self.negatives)
        if both:
            raise DffError(f"the patch {next(iter(both))} is both wanted and not wanted")
        check_threshold(self.threshold)

    def __str__(self) -> str:
        text = "patch " + " ".join(map(str, self.positives))
        return text + "".join(f" not {patch}" for patch in self.negatives)


def _numbers(text: str, parts: Sequence[str]) -> list[float]:
    try:
        return [float(part) for part in parts]
    except ValueError as error:
        raise DffError(f"in {text!r} pixels must be numbers") from error
