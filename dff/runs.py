"""Which runs there are."""

from __future__ import annotations

from pathlib import Path

from dff.errors import DffError


def last_run(folder: Path) -> Path:
    """The ``config.yml`` of the dff run below a folder that was trained last.

    Args:
        folder: as ns-train's ``--output-dir``.

    Raises:
        DffError: there is none that has a checkpoint.
    """
    found = [
        (max(path.stat().st_mtime_ns for path in checkpoints), config)
        for config in folder.glob("**/dff/*/config.yml")
        if (checkpoints := list(config.parent.glob("*/step-*.ckpt")))
    ]
    if not found:
        raise DffError(
            f"no trained dff scene below {folder}: give --load-config, or train one with "
            "`ns-train dff --data CAPTURE` (or `dff demo`)"
        )
    return max(found)[1]
