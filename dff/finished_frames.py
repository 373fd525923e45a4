"""Which frames are finished: each file says what it shows, so no other edit's is taken for it."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import re
import tempfile
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from nerfstudio.cameras.cameras import Cameras

from dff.depth_images import read_depth_note
from dff.errors import DffError
from dff.files import TEMPORARY_PREFIX
from dff.pictures import read_note

if TYPE_CHECKING:
    from dff.scene import Scene


def identity_of(scene: Scene, documents: Sequence[str]) -> str:
    """What all frames of a rendering have in common, besides the camera.

    Args:
        scene: its checkpoint and how it is sampled count.
        documents: identity of what each picture of a frame is edited with.

    Returns:
        A hash; equal ones mean equal pictures.
    """
    model = dataclasses.replace(scene.model.config, edit_file=None, edit_trust=())
    return _hash(version("dff"), scene.fingerprint, repr(model), *documents)


def frame_note(identity: str, camera: Cameras) -> str:
    """What is written into the files of one frame.

    Args:
        identity: see `identity_of`; an empty one gives an empty note, which is never found again.
        camera: one camera; its lens, pose and size count.
    """
    if not identity:
        return ""
    lens = [camera.distortion_params, camera.times]
    parts = [camera.camera_to_worlds, camera.fx, camera.fy, camera.cx, camera.cy]
    parts += [camera.width, camera.height, camera.camera_type]
    numbers = [None if part is None else part.cpu().tolist() for part in (*parts, *lens)]
    return _hash(identity, json.dumps(numbers))


def is_finished(paths: Sequence[Path], note: str) -> bool:
    """Whether all files of a frame are there, whole, and show what the note says.

    Args:
        paths: its files.
        note: see `frame_note`; with an empty one nothing is finished, and all may be written over.

    Raises:
        DffError: one of the files carries no note: pictures that no rendering made, such as the
            capture's photos, must not be written over.
    """
    if not note:
        return False
    notes = [_note(path) if path.exists() else "" for path in paths]
    for path, found in zip(paths, notes, strict=True):
        if found is None:
            raise DffError(
                f"{path} is there already and was not made by dff render (or is damaged): give "
                "another --output-path, or --overwrite"
            )
    return all(found == note for found in notes)


def prepare_folder(folder: Path) -> None:
    """Make a folder, see that it can be written, and remove what killed processes left there.

    Raises:
        DffError: it cannot be made, or cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder, prefix=TEMPORARY_PREFIX) as stream:
            stream.write(b"\0")
    except OSError as error:
        raise DffError(f"cannot write {folder}: {error.strerror or error}") from error
    for path in folder.glob(f"{TEMPORARY_PREFIX}*"):
        named = re.fullmatch(rf"{re.escape(TEMPORARY_PREFIX)}(\d+)-[0-9a-f]+(\.\w+)?", path.name)
        if named and not _runs(int(named[1])):
            path.unlink(missing_ok=True)


def _note(path: Path) -> str | None:
    return read_depth_note(path) if path.suffix == ".exr" else read_note(path)


def _runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def _hash(*parts: str) -> str:
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()
