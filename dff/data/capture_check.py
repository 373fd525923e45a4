"""Checks on a capture before any work is done on it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
from nerfstudio.data.dataparsers.base_dataparser import DataparserOutputs
from numpy.typing import NDArray

from dff.data.images import trainable_image_size
from dff.errors import DffError

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png")


def check_capture(outputs: DataparserOutputs, *, least: int = 2) -> None:
    """Check what a dataparser found: enough images, all readable, poses that go with them.

    Args:
        outputs: of the training split.
        least: images without which nothing can be learned.

    Raises:
        DffError: for fewer images, one that is missing or broken, poses that are not finite or not
            rigid, sizes that do not match, or a number of poses other than that of images.
    """
    files, cameras = outputs.image_filenames, outputs.cameras
    if len(files) < least:
        raise DffError(
            f"the capture has {len(files)} training image{'' if len(files) == 1 else 's'}: "
            f"at least {least} photos from different places are needed"
        )
    if len(cameras) != len(files):
        raise DffError(f"{len(files)} images but {len(cameras)} poses: run ns-process-data again")
    rotation = cameras.camera_to_worlds[..., :3].double()
    if not torch.isfinite(cameras.camera_to_worlds).all():
        raise DffError("a camera pose holds NaN or infinity: run ns-process-data again")
    gram = rotation @ rotation.transpose(-1, -2)
    deviation = (gram - torch.eye(3, dtype=torch.float64)).abs().amax(dim=(-1, -2))
    if float(deviation.max()) > 1e-2:
        name = files[int(deviation.argmax())].name
        raise DffError(f"the pose of {name} is not a rotation and a translation: check its matrix")
    places = cameras.camera_to_worlds[..., 3].double()
    if float((places - places[:1]).abs().max()) < 1e-6:
        raise DffError("all cameras stand in the same place: the poses do not match the images")
    focal = torch.cat([cameras.fx, cameras.fy], dim=-1)
    if not (torch.isfinite(focal) & (focal > 0)).all():
        raise DffError("a focal length is not a number above 0: check fl_x and fl_y")
    heights, widths = cameras.height.flatten().tolist(), cameras.width.flatten().tolist()
    for file, height, width in zip(files, heights, widths, strict=True):
        found = trainable_image_size(file)
        # A dataparser may round sizes it computed from a downscale factor.
        if abs(found[0] - height) > 1 or abs(found[1] - width) > 1:
            raise DffError(
                f"{file.name} is {found[1]}x{found[0]} pixels but its camera says "
                f"{int(width)}x{int(height)}: the poses belong to other images"
            )


def check_transforms(data: Path, *, least: int = 1) -> None:
    """Check a nerfstudio ``transforms.json``, where there is one, before the dataparser reads it.

    Args:
        data: a folder, or the file itself.
        least: images without which nothing can be done.

    Raises:
        DffError: the folder is not there, the file is not JSON, has too few frames, a pose that is
            no finite 4x4 matrix, all cameras in one place, or names images that do not exist.
    """
    if not data.exists():
        raise DffError(f"no such capture: {data}")
    path = data if data.suffix == ".json" else data / "transforms.json"
    if not path.exists():
        return
    try:
        meta = json.loads(path.read_text(encoding="utf-8"))
        frames = meta["frames"]
        names = [Path(frame["file_path"]) for frame in frames]
        poses = [pose_matrix(frame["transform_matrix"]) for frame in frames]
    except (OSError, ValueError, LookupError, TypeError, RecursionError) as error:
        raise DffError(f"{path} is not a nerfstudio transforms.json: {_short(error)}") from error
    if not names:
        raise DffError(f"{path} lists no images: run ns-process-data on your photos first")
    if len(names) < least:
        raise DffError(
            f"{path} lists one image: at least {least} photos from different places are needed"
        )
    for name, pose in zip(names, poses, strict=True):
        if pose is None:
            raise DffError(f"the pose of {name.name} in {path.name} is not a 4x4 matrix")
    places = np.stack([pose[:3, 3] for pose in poses if pose is not None])
    if len(names) > 1 and np.ptp(places, axis=0).max() < 1e-6:
        raise DffError(f"{path}: all cameras stand in the same place; were the poses estimated?")
    missing = [name for name in names if not (path.parent / name).exists()]
    if missing:
        more = f" (and {len(missing) - 1} more)" if len(missing) > 1 else ""
        raise DffError(f"{path.parent / missing[0]} is missing{more}: {path.name} names it")


def pose_matrix(value: object) -> NDArray[np.float64] | None:
    """A 4x4 matrix of numbers, NaN and infinity included, or None for anything else."""
    try:
        matrix = np.asarray(value)
    except (ValueError, TypeError):
        return None
    if matrix.shape != (4, 4) or matrix.dtype.kind not in "fiu":
        return None
    return matrix.astype(np.float64)


def capture_images(data: Path) -> list[Path]:
    """The images of a capture: those its transforms.json names, else those in the folder.

    Raises:
        DffError: as `check_transforms`, or a folder without images.
    """
    check_transforms(data)
    path = data if data.suffix == ".json" else data / "transforms.json"
    if path.exists():
        frames = json.loads(path.read_text(encoding="utf-8"))["frames"]
        return sorted(path.parent / frame["file_path"] for frame in frames)
    if not data.is_dir():
        raise DffError(f"{data} is no folder of images and no transforms.json")
    images = sorted(file for file in data.iterdir() if file.suffix.lower() in IMAGE_SUFFIXES)
    if not images:
        raise DffError(f"{data} holds no images ({', '.join(IMAGE_SUFFIXES)})")
    return images


def _short(error: BaseException) -> str:
    if isinstance(error, KeyError):
        return f"it has no {error.args[0]!r}"
    return " ".join(str(error).split())[:120]
