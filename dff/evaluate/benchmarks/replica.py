"""Replica as rendered for Semantic-NeRF (arXiv 2103.15875).

    room_0/Sequence_1/traj_w_c.txt                      a 4x4 camera-to-world matrix a line
    room_0/Sequence_1/rgb/rgb_0.png                     640x480, 90 degrees wide
    room_0/Sequence_1/semantic_class/semantic_class_0.png   class numbers
    room_0/info_semantic.json                           {"classes": [{"id", "name"}, ...]}

Cameras look along +z, with y down (OpenCV). nerfstudio has no parser of this layout: `transforms`
gives the capture as a ``transforms.json``, to be written beside the folders and trained on. Class 0
is what no surface has, and is not known. The class names come with Replica, not with the renders:
put ``info_semantic.json`` into the sequence or above it, or give ``--names``.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from dff.data.images import image_size
from dff.errors import DffError
from dff.evaluate.benchmarks.frames import Benchmark, Frame, files_in, read_json, read_values

TRAJECTORY = "traj_w_c.txt"
FIELD_OF_VIEW = 90.0
_NUMBER = re.compile(r"(\d+)$")


def is_replica(folder: Path) -> bool:
    """Whether a folder looks like this format."""
    return (folder / TRAJECTORY).is_file() and (folder / "semantic_class").is_dir()


def read_replica(folder: Path, names: Sequence[str] = ()) -> Benchmark:
    """Read the labels of one sequence.

    Args:
        folder: of the sequence.
        names: of the class numbers from 0 on, in place of info_semantic.json.

    Raises:
        DffError: something is missing, or the trajectory has fewer cameras than there are labels.
    """
    files = files_in(folder / "semantic_class", (".png",), "label images")
    paths = {_number(path): path for path in files if "vis" not in path.stem}
    cameras = len(read_trajectory(folder))
    missing = sorted(number for number in paths if number >= cameras)
    if missing:
        raise DffError(
            f"{folder / TRAJECTORY} has {cameras} cameras, but there is a label image "
            f"{paths[missing[0]].name}: one of the two is incomplete"
        )
    classes = dict(enumerate(names)) if names else _classes(folder)
    by_image = {f"rgb_{number}": path for number, path in sorted(paths.items())}

    def read(image: str) -> Frame:
        values = torch.from_numpy(read_values(by_image[image]).astype("int64"))
        found = [int(value) for value in values.unique() if int(value) > 0]
        unknown = [value for value in found if value not in classes]
        if unknown:
            raise DffError(
                f"{by_image[image]} has class {unknown[0]}, which has no name in info_semantic.json"
            )
        if not found:
            raise DffError(f"{by_image[image]} is empty: none of its pixels has a class")
        return Frame(image, {classes[v]: values == v for v in found}, values > 0)

    listed = tuple(dict.fromkeys(name for value, name in sorted(classes.items()) if value > 0))
    return Benchmark(
        format="replica",
        classes=listed,
        images=tuple(by_image),
        read=read,
        asked=listed,
        label_list=True,
        same_size=True,
    )


def read_trajectory(folder: Path) -> Float[Tensor, "n 4 4"]:
    """Cameras to world as they lie on disk: x right, y down, looking along +z.

    Raises:
        DffError: the file is missing, or no line-wise list of 16 numbers.
    """
    path = folder / TRAJECTORY
    try:
        numbers = np.loadtxt(path, ndmin=2)
        return torch.from_numpy(numbers.reshape(-1, 4, 4))
    except (OSError, ValueError) as error:
        raise DffError(f"cannot read {path}: a line needs the 16 numbers of a matrix") from error


def transforms(folder: Path) -> dict[str, Any]:
    """The sequence as nerfstudio's ``transforms.json``, for training.

    Raises:
        DffError: as `read_trajectory`; there are no images.
    """
    images = sorted(files_in(folder / "rgb", (".png",), "images"), key=_number)
    height, width = image_size(images[0])
    focal = width / 2 / math.tan(math.radians(FIELD_OF_VIEW / 2))
    poses = read_trajectory(folder).clone()
    poses[:, :3, 1:3] *= -1  # OpenCV's axes to OpenGL's
    return {
        "camera_model": "OPENCV",
        "w": width,
        "h": height,
        "fl_x": focal,
        "fl_y": focal,
        "cx": width / 2,
        "cy": height / 2,
        "frames": [
            {"file_path": f"rgb/{path.name}", "transform_matrix": poses[_number(path)].tolist()}
            for path in images
        ],
    }


def name_files(folder: Path) -> list[Path]:
    """Where the names of a sequence's classes are looked for; the first that is there counts."""
    above = folder.absolute().parent
    return [place / "info_semantic.json" for place in (folder, above, above / "habitat")]


def _classes(folder: Path) -> dict[int, str]:
    for path in name_files(folder):
        if path.exists():
            try:
                return {int(one["id"]): str(one["name"]) for one in read_json(path)["classes"]}
            except (KeyError, TypeError, ValueError) as error:
                raise DffError(f'{path} must hold {{"classes": [{{"id", "name"}}]}}') from error
    raise DffError(
        f"{folder} has no info_semantic.json with the names of the classes: copy Replica's there, "
        "or give --names from class 0 on"
    )


def _number(path: Path) -> int:
    found = _NUMBER.search(path.stem)
    if found is None:
        raise DffError(f"{path} has no number in its name: rgb_0.png, semantic_class_0.png")
    return int(found[1])
