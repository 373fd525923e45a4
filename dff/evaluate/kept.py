"""What an evaluation keeps of each frame, so that a later run goes on from there."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dff.evaluate.benchmarks import label_files
from dff.evaluate.metrics_file import plain
from dff.evaluate.pieces import ReportPicture
from dff.files import atomic_write, plain_name
from dff.scene import Scene

if TYPE_CHECKING:
    from dff.evaluate.run import EvalOptions

# Another one than a file's: its frame is scored again.
_VERSION = 2


def identity_of(scene: Scene, options: EvalOptions, data: Path | None) -> str:
    """Another one of anything that changes a frame's numbers gives another identity."""
    facts = asdict(options) | {"output": None, "config": None, "data": data}
    files = []
    if data is not None:
        # What an evaluation writes may lie there too, and changes with every frame.
        written = options.output.absolute()
        listed = [p for p in label_files(data) if written not in p.absolute().parents]
        files = [(str(p), p.stat().st_size, p.stat().st_mtime_ns) for p in listed]
    text = json.dumps(plain([_VERSION, scene.fingerprint, facts, files]), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def read_kept(output: Path, name: str, key: str, folder: str = "frames") -> dict[str, Any] | None:
    """What an earlier run kept of a frame; None where it is not there, not whole or of another."""
    path = output / folder / f"{plain_name(name)}.json"
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        same = content["key"] == key and content["name"] == name
        whole = all((output / each["path"]).is_file() for each in content["pictures"])
        return content if same and whole else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def keep(
    output: Path, name: str, key: str, content: Mapping[str, Any], folder: str = "frames"
) -> None:
    """Keep what was found of a frame for a later run."""
    with atomic_write(output / folder / f"{plain_name(name)}.json") as stream:
        stream.write(json.dumps({"key": key, "name": name, **content}).encode())


def portable(shown: ReportPicture) -> dict[str, str]:
    """A picture as it is kept: by its place in the output folder."""
    return {"path": f"pictures/{shown.path.name}", "caption": shown.caption, "part": shown.part}


def shown_of(output: Path, kept: Mapping[str, str]) -> ReportPicture:
    """A picture that was kept."""
    return ReportPicture(output / kept["path"], kept["caption"], kept["part"])
