"""Which parts of an evaluation a scene and its labels allow, and why not the others."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from dff.errors import DffError
from dff.evaluate.asked import CLICK, PATCH, SCRIBBLES, SHOWN_WAYS, TEXT_WAYS
from dff.evaluate.benchmarks import Benchmark
from dff.evaluate.summary import Summary

VIEWS, LABELS, EDITS = "views", "labels", "edits"
PARTS = (VIEWS, LABELS, *TEXT_WAYS, *SHOWN_WAYS, EDITS)
_OF_LABELS = tuple(part for part in PARTS if part != VIEWS)
# These ask for things by what the labels call them.
_BY_NAME = (LABELS, *TEXT_WAYS, EDITS)
NOT_SHOWN = "no scored image shows what is asked for"


@dataclass(frozen=True)
class SceneFacts:
    """What of a scene decides what can be scored.

    Attributes:
        held_out: it has images that were not trained on.
        features: it was trained with features.
        text: one of its teachers understands text.
    """

    held_out: bool
    features: bool
    text: bool


@dataclass(frozen=True)
class Plan:
    """What an evaluation does.

    Attributes:
        parts: of `PARTS`, those that can be done.
        notes: why the others cannot, in sentences.
    """

    parts: tuple[str, ...]
    notes: tuple[str, ...] = ()


def plan(
    asked: Sequence[str], scene: SceneFacts, benchmark: Benchmark | None, images: Collection[str]
) -> Plan:
    """What can be done of what was asked.

    Args:
        asked: of `PARTS`; none for everything that scene and labels allow.
        scene: what it is like.
        benchmark: its labels.
        images: of the benchmark, those that are not left out.

    Raises:
        DffError: nothing of it can be done.
    """
    hindered = hindrances(scene, benchmark, images)
    wanted = tuple(asked) or PARTS
    parts = tuple(part for part in PARTS if part in wanted and part not in hindered)
    if not parts:
        reasons = {part: hindered[part] for part in wanted}
        raise nothing_scored(reasons, [part for part in PARTS if part not in hindered])
    if asked:
        told = dict.fromkeys(part for part in asked if part in hindered)
        return Plan(parts, tuple(left_out(part, hindered[part]) for part in told))
    return Plan(parts, tuple(_general_notes(scene, benchmark)))


def hindrances(
    scene: SceneFacts, benchmark: Benchmark | None, images: Collection[str]
) -> dict[str, str]:
    """By part, why it cannot be scored; those that can be are not in it."""
    found = {} if scene.held_out else {VIEWS: "the scene has no held-out images"}
    if benchmark is None:
        return found | dict.fromkeys(_OF_LABELS, "there are no labels: give --data")
    scored = [image for image in benchmark.images if image in images]
    clicked = [image for image in benchmark.prompt_images or benchmark.images if image in images]
    scribbled = None if benchmark.scribbles is None else benchmark.scribbles.image
    # The first of them that holds is told.
    checks: tuple[tuple[Sequence[str], bool, str], ...] = (
        ((EDITS,), benchmark.format != "generated", "only scenes of dff generate have their truth"),
        (_OF_LABELS, not scene.features, "the scene was trained without features"),
        (_OF_LABELS, not scored, "every labelled image is left out"),
        (_BY_NAME, not scene.text, "no teacher of the scene understands text"),
        (_BY_NAME, not benchmark.named, "the labels do not say what they show: give --names"),
        (
            (LABELS,),
            not benchmark.label_list,
            f"labels of the format {benchmark.format} do not give each pixel a class",
        ),
        ((*TEXT_WAYS, CLICK, PATCH), not benchmark.clicked, "all classes are background"),
        (
            (CLICK, PATCH),
            not clicked or len({*clicked, *scored}) < 2,
            "it takes two labelled images, one to take the prompt from and another to score",
        ),
        ((SCRIBBLES,), scribbled is None, "the labels bring no scribbles"),
        ((SCRIBBLES,), scribbled not in images, "the image of the scribbles is left out"),
        (
            (SCRIBBLES,),
            all(image == scribbled for image in scored),
            "the image of the scribbles is the only one with labels, and is not scored",
        ),
    )
    for parts, holds, reason in checks:
        for part in parts if holds else ():
            found.setdefault(part, reason)
    return found


def without_figures(parts: Iterable[str], summary: Summary) -> list[str]:
    """Parts that were done, and found nothing that could be counted."""
    tables = {table.part for table in summary.tables}
    return [
        part
        for part in parts
        if part not in tables and not any(name.startswith(f"{part}/") for name in summary.figures)
    ]


def left_out(part: str, reason: str) -> str:
    """A note for a part that was asked for."""
    return f"{part} is left out: {reason}"


def nothing_scored(reasons: Mapping[str, str], allowed: Sequence[str]) -> DffError:
    """The error where nothing that was asked has a figure.

    Args:
        reasons: by part.
        allowed: parts that could be done instead.
    """
    together: dict[str, list[str]] = {}
    for part, reason in reasons.items():
        together.setdefault(reason, []).append(part)
    why = "; ".join(f"{', '.join(parts)}: {reason}" for reason, parts in together.items())
    instead = f"; what can be scored is --parts {' '.join(allowed)}" if allowed else ""
    return DffError(f"nothing that was asked can be scored ({why}){instead}")


def _general_notes(scene: SceneFacts, benchmark: Benchmark | None) -> list[str]:
    """What of everything is missing, where no part was asked for in particular."""
    if benchmark is None:
        return ["no labels were given: views alone are scored"]
    if not scene.features:
        return ["this scene was trained without features: its segmentation is not scored"]
    if benchmark.named and not scene.text:
        return ["no teacher of this scene understands text: nothing was asked by name"]
    return []
