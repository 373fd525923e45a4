"""Benchmark formats, read from disk as they were published; each becomes a `Benchmark`.

Nothing here knows a model: what lies on disk, and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from dff.errors import DffError
from dff.evaluate.benchmarks.frames import IMAGE_SUFFIXES, Benchmark, Frame, Scribbles
from dff.evaluate.benchmarks.generated import is_generated, read_generated
from dff.evaluate.benchmarks.labels import is_labels, read_labels_folder
from dff.evaluate.benchmarks.lerf_ovs import is_lerf_ovs, read_lerf_ovs
from dff.evaluate.benchmarks.replica import is_replica, name_files, read_replica
from dff.evaluate.benchmarks.single_masks import (
    is_llff_masks,
    is_nvos,
    is_spin_nerf,
    nvos_beside,
    read_llff_masks,
    read_nvos,
    read_spin_nerf,
)
from dff.evaluate.benchmarks.three_d_ovs import is_three_d_ovs, read_three_d_ovs

__all__ = ["FORMATS", "Benchmark", "Frame", "Scribbles", "detect", "label_files", "read_benchmark"]

# In the order in which a folder is tried.
_KINDS: dict[str, Callable[[Path], bool]] = {
    "generated": is_generated,
    "labels": is_labels,
    "lerf-ovs": is_lerf_ovs,
    "3d-ovs": is_three_d_ovs,
    "replica": is_replica,
    "nvos": is_nvos,
    "spin-nerf": is_spin_nerf,
    "llff-masks": is_llff_masks,
}
FORMATS = tuple(_KINDS)
_SUFFIXES = (*IMAGE_SUFFIXES, ".json", ".txt", ".npy")
# As deep as any format goes. Unlike ``**`` these follow links to folders, and end.
_DEPTHS = ("*", "*/*", "*/*/*")


def detect(folder: Path, names: Sequence[str] = ()) -> str:
    """Name of the format that a folder is in.

    Raises:
        DffError: it is in none.
    """
    if not folder.is_dir():
        raise DffError(f"no such folder of labels: {folder}")
    for name, fits in _KINDS.items():
        if fits(folder):
            return name
    if any(folder.glob("*.png")):
        # Class numbers whose names are to be given, or missed in one clear line.
        return "labels"
    if (folder / "labels").is_dir():
        raise DffError(f"{folder} itself holds no labels: give {folder / 'labels'}")
    raise DffError(
        f"{folder} is in none of the formats {', '.join(FORMATS)}: give the folder that holds the "
        "labels of one scene, or say its --format"
    )


def label_files(folder: Path) -> list[Path]:
    """The files that the labels of a folder may be read from, those beside and above it included.

    Whatever format they are in; there may be photos among them, but none that is read is missing.
    """
    places = [folder, *nvos_beside(folder)]
    inside = {path for place in places for depth in _DEPTHS for path in place.glob(depth)}
    found = {path for path in inside if path.suffix.lower() in _SUFFIXES}
    return sorted(path for path in found | set(name_files(folder)) if path.is_file())


def read_benchmark(folder: Path, kind: str = "auto", names: Sequence[str] = ()) -> Benchmark:
    """Read the labels of a scene.

    Args:
        folder: see the module of each format.
        kind: one of `FORMATS`, or ``auto``.
        names: of the values of masks from 0 on, or of the one thing, where the format has none.

    Raises:
        DffError: it is not in that format, or anything in it is missing or damaged.
    """
    if kind == "auto":
        kind = detect(folder, names)
    if not folder.is_dir():
        raise DffError(f"no such folder of labels: {folder}")
    if kind in ("generated", "lerf-ovs", "3d-ovs"):
        if names:
            raise DffError(f"labels of the format {kind} bring their names: leave out --names")
        plain = {"generated": read_generated, "lerf-ovs": read_lerf_ovs, "3d-ovs": read_three_d_ovs}
        return plain[kind](folder)
    readers = {
        "labels": read_labels_folder,
        "replica": read_replica,
        "nvos": read_nvos,
        "spin-nerf": read_spin_nerf,
        "llff-masks": read_llff_masks,
    }
    if kind not in readers:
        raise DffError(f"there is no format '{kind}': {', '.join(FORMATS)}")
    return readers[kind](folder, names)
