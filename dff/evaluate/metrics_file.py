"""``metrics.json``: figures with where they come from, versioned, read back with care."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dff.errors import DffError
from dff.files import atomic_write

VERSION = 1
NAME = "metrics.json"


@dataclass(frozen=True)
class Metrics:
    """What an evaluation found.

    Attributes:
        made: where it comes from: checkpoint, command, labels, versions.
        figures: numbers by name, such as ``views/psnr``.
        details: everything else, for people and scripts.
    """

    made: Mapping[str, Any]
    figures: Mapping[str, float]
    details: Mapping[str, Any]


def write_metrics(metrics: Metrics, folder: Path) -> Path:
    """Write the file, whole or not at all; what is not a finite number becomes null."""
    content = {
        "version": VERSION,
        "made": metrics.made,
        "figures": metrics.figures,
        "details": metrics.details,
    }
    path = folder / NAME
    with atomic_write(path) as stream:
        text = json.dumps(plain(content), indent=1, allow_nan=False)
        stream.write(f"{text}\n".encode())
    return path


def read_metrics(place: Path) -> Metrics:
    """Read the file, or the one in a folder.

    Raises:
        DffError: it is missing (the run did not finish), damaged, or of another version.
    """
    path = place / NAME if place.is_dir() else place
    if not path.is_file():
        raise DffError(
            f"no {NAME} in {place}: the evaluation did not finish there; run dff eval again with "
            f"--output {place}"
        )
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        version = content["version"]
        figures = {str(k): float(v) for k, v in content["figures"].items() if v is not None}
        made, details = dict(content["made"]), dict(content["details"])
        _check(made, details)
    except (AttributeError, KeyError, OSError, TypeError, ValueError) as error:
        raise DffError(f"{path} is damaged or no file of dff eval: run dff eval again") from error
    if version != VERSION:
        raise DffError(f"{path} has version {version}, this dff reads {VERSION}: evaluate again")
    return Metrics(made, figures, details)


def _check(made: Mapping[str, Any], details: Mapping[str, Any]) -> None:
    """Look at what readers rely on.

    Raises:
        TypeError: something is not what `dff eval` writes.
    """
    frames, options = details.get("frames", []), made.get("options", {})
    named = isinstance(frames, list) and all(
        isinstance(frame, dict) and isinstance(frame.get("image"), str) for frame in frames
    )
    teachers = made.get("teachers", [])
    known = isinstance(teachers, list) and all(isinstance(each, dict) for each in teachers)
    if not (named and known and isinstance(options, dict)):
        raise TypeError("frames without names, or teachers or options that are none")


def plain(value: Any) -> Any:
    """The same for JSON: paths as text, tuples as lists, numbers that are not finite as null."""
    if isinstance(value, Mapping):
        return {str(key): plain(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(each) for each in value]
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
