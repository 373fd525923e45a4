"""Our own format: a folder of masks, PNG of class numbers named like the photos, and labels.json.

    labels/IMG_0001.png     uint8 (H, W), the number of the class at each pixel; 255 is not known
    labels/labels.json      {"classes": {"0": "background", "1": "apple"}, "background": ["..."]}

``background`` lists classes that are told apart from the others but not averaged over; where it is
missing, the class called background is. A value that has no class is an error.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from dff.errors import DffError
from dff.evaluate.benchmarks.frames import (
    Benchmark,
    Frame,
    files_in,
    leaving_out,
    read_json,
    read_values,
)

UNKNOWN = 255
FILE = "labels.json"


def is_labels(folder: Path) -> bool:
    """Whether a folder looks like this format."""
    return (folder / FILE).is_file() and any(folder.glob("*.png"))


def read_labels_folder(folder: Path, names: Sequence[str] = ()) -> Benchmark:
    """Read the format.

    Args:
        folder: with the masks.
        names: of the values from 0 on, in place of labels.json.

    Raises:
        DffError: no masks, no names, or a mask with a value that has no name.
    """
    paths = {path.stem: path for path in files_in(folder, (".png",), "label masks")}
    classes, background = _classes(folder, names)

    def read(image: str) -> Frame:
        values = torch.from_numpy(read_values(paths[image]).astype("int64"))
        found = [int(value) for value in values.unique() if int(value) != UNKNOWN]
        unknown = [value for value in found if value not in classes]
        if unknown:
            raise DffError(
                f"{paths[image]} has the value {unknown[0]}, which has no class: name it in "
                f"{folder / FILE} or with --names ({', '.join(map(str, classes))} have one)"
            )
        if not found:
            raise DffError(
                f"{paths[image]} is empty: none of its pixels has a class; label some, or "
                f"{leaving_out(image)}"
            )
        masks = {classes[value]: values == value for value in found}
        return Frame(image, masks, values != UNKNOWN)

    listed = tuple(dict.fromkeys(classes.values()))
    return Benchmark(
        format="labels",
        classes=listed,
        images=tuple(paths),
        read=read,
        asked=tuple(name for name in listed if name not in background),
        label_list=True,
        same_size=True,
    )


def _classes(folder: Path, names: Sequence[str]) -> tuple[dict[int, str], tuple[str, ...]]:
    """Class of each value, and the classes that are background."""
    path = folder / FILE
    if names:
        return dict(enumerate(names)), tuple(names[:1])
    if not path.exists():
        raise DffError(
            f"{folder} has no {FILE}: name the values of its masks from 0 on, as in "
            "--names background apple banana"
        )
    try:
        content = read_json(path)
        classes = {int(value): str(name) for value, name in content["classes"].items()}
        listed = content.get("background", ["background"])
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise DffError(
            f'{path} must hold {{"classes": {{"0": "background", "1": "apple"}}}}: {error}'
        ) from error
    if not isinstance(listed, list):
        raise DffError(
            f'{path}: background must be a list of classes, {{"background": ["table", "wall"]}}'
        )
    if not classes:
        raise DffError(
            f'{path} names no class: give each value of the masks one, {{"classes": {{"0": ...}}}}'
        )
    unknown = [name for name in listed if name not in classes.values()]
    if unknown and "background" in content:
        raise DffError(f"{path}: background '{unknown[0]}' is none of its classes")
    return classes, tuple(listed)
