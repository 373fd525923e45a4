"""Which of a scene's views a benchmark's images are, and whether the labels fit them."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from dff.errors import DffError
from dff.evaluate.benchmarks import Benchmark, Frame
from dff.evaluate.benchmarks.single_masks import image_number
from dff.scene import Scene, View

# Labels may be reduced; the two sides by the same factor, up to rounding.
_SAME_PROPORTIONS = 0.02


def views_of(scene: Scene, benchmark: Benchmark, leave_out: Sequence[str] = ()) -> dict[str, View]:
    """The view of each image of a benchmark, those to be prompted with included.

    A label belongs to the image of its name. Where there is none, ``7_IMG`` belongs to ``IMG``,
    and ``image007`` or ``07`` to the eighth image by name, as some of the formats count.

    Args:
        scene: trained.
        benchmark: whose images are looked for.
        leave_out: images not to look for.

    Raises:
        DffError: an image is not in the scene, or one that is left out is not in the benchmark.
    """
    wanted = dict.fromkeys([*benchmark.images, *benchmark.prompt_images])
    if benchmark.scribbles is not None:
        wanted[benchmark.scribbles.image] = None
    strangers = [name for name in leave_out if name not in wanted]
    if strangers:
        raise DffError(f"--leave-out {strangers[0]}: the labels have no such image")
    views = scene.views()
    by_name = {view.name: view for view in views}
    found = {}
    for name in wanted:
        if name in leave_out:
            continue
        view = by_name.get(name) or _counted(name, views, by_name)
        if view is None:
            known = ", ".join(list(by_name)[:4])
            raise DffError(
                f"there are labels of {name}, but the scene has no such image ({known}, ...): "
                f"leave it out with --leave-out {name}, or give the labels of this scene"
            )
        found[name] = view
    return found


def evenly(views: Sequence[View], most: int) -> list[View]:
    """At most so many of some views, spread evenly; one at least, where there are any."""
    chosen = np.linspace(0, len(views) - 1, min(max(1, most), len(views))).round()
    return [views[int(place)] for place in chosen]


def _counted(name: str, views: Sequence[View], by_name: dict[str, View]) -> View | None:
    """By the other ways in which formats name images."""
    prefix, _, rest = name.partition("_")
    if prefix.isdigit() and rest in by_name:
        return by_name[rest]
    number = int(name) if name.isdigit() else image_number(name)
    return views[number] if number is not None and number < len(views) else None


def check_size(frame: Frame, view: View, same_size: bool) -> None:
    """Refuse labels that cannot be of a view.

    Raises:
        DffError: they are of another size, or, where that may differ, of other proportions.
    """
    (height, width), (tall, wide) = frame.size, view.size
    if (height, width) == (tall, wide):
        return
    ratio = (height / tall) / (width / wide)
    if same_size or abs(ratio - 1) > _SAME_PROPORTIONS:
        raise DffError(
            f"the labels of {frame.image} are {width}x{height} pixels, its image {wide}x{tall}: "
            "labels must be of the image's size"
        )


def restricted(benchmark: Benchmark, classes: Sequence[str]) -> Benchmark:
    """A benchmark of which some classes only are asked for, clicked and averaged over.

    The others stay in the label list and in the truth: what is taken for a chosen class where it
    is not counts against it, and a name has as many rivals as without the choice.

    Args:
        benchmark: whole.
        classes: background among them, if it is to be scored too; none for the benchmark as it is.

    Raises:
        DffError: it has no such class.
    """
    unknown = [name for name in classes if name not in benchmark.classes]
    if unknown:
        listed = ", ".join(benchmark.classes)
        raise DffError(f"the labels have no class '{unknown[0]}': there are {listed}")
    if not classes:
        return benchmark
    return dataclasses.replace(
        benchmark,
        asked=tuple(name for name in benchmark.classes if name in classes),
        things={thing: name for thing, name in benchmark.things.items() if name in classes},
    )
