"""Other trained scenes that edits draw on, loaded once for as long as they stay as they are."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from dff.errors import DffError
from dff.trainer import latest_checkpoint

if TYPE_CHECKING:
    from dff.scene import Scene

# Each is as large as the scene that is edited.
MOST = 4


class OpenedScenes:
    """See the module's docstring.

    Args:
        load: loads one from its configuration, on a device.
        device: where they are to be.
    """

    def __init__(
        self, load: Callable[[Path, torch.device], Scene], device: Callable[[], torch.device]
    ) -> None:
        self._load, self._device = load, device
        self._lock = threading.Lock()
        self._opened: dict[Path, tuple[int, Scene]] = {}

    def has(self, config: Path) -> bool:
        """Whether one is open, and was not trained since."""
        return self._as_it_is(config) is not None

    def open(self, config: Path) -> Scene:
        """One of them; loaded where it is not open, instead of the one that was opened first.

        Args:
            config: its configuration, links followed.

        Raises:
            DffError: it cannot be loaded.
        """
        # Who waits while it is loaded need not load it again.
        with self._lock:
            found = self._as_it_is(config)
            if found is None:
                found = self._load(config, self._device())
                others = [(key, each) for key, each in self._opened.items() if key != config]
                opened = (_written(found.checkpoint), found)
                self._opened = dict([*others, (config, opened)][-MOST:])
            return found

    def _as_it_is(self, config: Path) -> Scene | None:
        written, scene = self._opened.get(config, (0, None))
        if scene is None:
            return None
        try:
            latest = latest_checkpoint(scene.checkpoint.parent)
        except DffError:
            return None
        return scene if latest == scene.checkpoint and _written(latest) == written else None


def _written(path: Path) -> int:
    """When a file was written, in nanoseconds; 0 where it is gone."""
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0
