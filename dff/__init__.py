"""dff: select anything in a captured 3D scene by naming it, then change only that.

``scene = dff.load("outputs/.../config.yml")`` gives a trained scene to ask and render; see
`dff.scene.Scene`. The command line is in `dff.cli`, the nerfstudio method in `dff.method`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dff.errors import DffError

if TYPE_CHECKING:
    from dff.scene import Scene, load

__all__ = ["DffError", "Scene", "load"]


def __getattr__(name: str) -> Any:
    # nerfstudio takes seconds to import; `import dff` alone should not.
    if name in ("Scene", "load"):
        from dff import scene

        return getattr(scene, name)
    raise AttributeError(f"module 'dff' has no attribute '{name}'")
