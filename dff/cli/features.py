"""``dff features``: compute the feature cache of a capture beforehand, and look after the cache."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from dff.errors import DffError, UsageError
from dff.teachers.options import DEFAULT_OPTIONS, TeacherOptions


@dataclass
class Features:
    """Encode a capture's photos with a teacher, once; training then starts at once.

    With --lift a scene that is already trained gets the teacher's features without training again:
    ours, trained with features or without, and nerfacto's.

    Each photo's features are found again by its content: an interrupted run carries on, and a photo
    that was edited is encoded alone. To share the work between processes or machines, start it with
    torchrun --nproc-per-node N -m dff.cli features ...
    """

    data: Path | None = None
    """The capture: a folder with transforms.json, or any folder of images."""
    teacher: str | None = None
    """The teacher, by default mini; several are separated by commas (clip,dino)."""
    lift: bool = False
    """Put the teacher's features on the surface of a trained scene, beside its checkpoint."""
    load_config: Path | None = None
    """With --lift: the config.yml that training wrote (ns-train dff, or ns-train nerfacto)."""
    pca: int | None = None
    """Keep so many coefficients of a feature, on a basis fitted to the capture: a smaller cache."""
    device: str = "auto"
    """Where the teacher computes: auto (a GPU if there is one), cpu, cuda."""
    feature_cache: Path | None = None
    """Folder of the cache; by default $DFF_CACHE or ~/.cache/dff/features."""
    list_: Annotated[bool, tyro.conf.arg(name="list")] = False
    """Say what is in the cache, by teacher."""
    verify: bool = False
    """Check every file of the cache; the exit status is 1 if one is damaged."""
    prune: bool = False
    """Remove what is damaged, left over or unused; with --teacher that teacher's maps too."""
    older_than: float | None = None
    """With --prune: remove the maps that were not used for so many days."""
    dry_run: bool = False
    """With --prune: only say what would be removed."""
    teacher_options: Annotated[TeacherOptions, tyro.conf.arg(name="teacher")] = DEFAULT_OPTIONS
    """Options of the teachers."""

    def run(self) -> None:
        """Encode what is missing, or do what else was asked for."""
        from dff.data.feature_cache import default_cache_root

        root = self.feature_cache or default_cache_root()
        self._check()
        if self.list_:
            self._list(root)
        elif self.verify:
            self._verify(root)
        elif self.prune:
            self._prune(root)
        elif self.lift:
            self._lift(root)
        else:
            self._encode(root)

    def _check(self) -> None:
        """Refuse what does not go together."""
        flags = {"--list": self.list_, "--verify": self.verify, "--prune": self.prune}
        asked = [flag for flag, given in flags.items() if given]
        if len(asked) > 1:
            raise UsageError(f"{' and '.join(asked)} are two things: give one at a time")
        if not self.prune and (self.dry_run or self.older_than is not None):
            raise UsageError("--older-than and --dry-run belong to --prune: give it too")
        if asked and self.data is not None:
            raise UsageError(f"{asked[0]} is about the whole cache: leave out --data")
        if self.lift != (self.load_config is not None):
            raise UsageError("--lift and --load-config CONFIG go together: give both")
        if self.lift and (asked or self.data is not None):
            raise UsageError(
                "--lift is about a trained scene: leave out --data (or --list, --verify, --prune)"
            )
        if not asked and not self.lift and self.data is None:
            raise UsageError(
                "give --data SCENE to encode it, or --lift --load-config CONFIG to put features on "
                "a trained scene (or --list, --verify or --prune)"
            )
        if self.pca is not None and self.pca < 1:
            raise UsageError(f"--pca must be at least 1, not {self.pca}")

    def _encode(self, root: Path) -> None:
        from dff.data.capture_check import capture_images
        from dff.data.feature_cache import FeatureCache
        from dff.data.sharding import choose_device, launched_ranks
        from dff.teachers import check_checkpoint, get_teacher, teacher_names

        assert self.data is not None
        images = capture_images(self.data)
        names, options = teacher_names(self.teacher or "mini"), self.teacher_options
        check_checkpoint(names, options, "--teacher")
        device = choose_device(self.device, int(os.environ.get("LOCAL_RANK", "0")))
        # All before the work: weights that are not there should cost no waiting.
        teachers = [get_teacher(name, device, options) for name in names]
        with launched_ranks() as rank:
            for teacher in teachers:
                maps = FeatureCache(root, teacher, pca=self.pca).ensure(images)
                shapes = {maps.shape(index) for index in range(len(maps))}
                if rank == 0:
                    size = "x".join(map(str, maps.shape(0)))
                    if len(shapes) > 1:
                        size = f"{len(shapes)} sizes, {maps.dim} numbers a cell,"
                    print(f"{len(maps)} feature maps of {size} in {root}")

    def _lift(self, root: Path) -> None:
        import time

        from rich.console import Console
        from rich.progress import Progress

        from dff.lifted_scene import lift_teacher
        from dff.scene import load
        from dff.teachers import check_checkpoint, get_teacher, teacher_names

        assert self.load_config is not None
        names, options = teacher_names(self.teacher or "mini"), self.teacher_options
        check_checkpoint(names, options, "--teacher")
        scene = load(self.load_config, None if self.device == "auto" else self.device)
        if options == DEFAULT_OPTIONS:
            options = scene.pipeline.config.teacher
        teachers = [get_teacher(name, str(scene.model.device), options) for name in names]
        trained = {record.name for record in scene.model.teacher_records}
        console = Console()
        for teacher in teachers:
            start = time.perf_counter()
            with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
                task = bar.add_task(f"lifting {teacher.name}", total=1.0)
                path, lifted = lift_teacher(
                    scene,
                    teacher,
                    root,
                    self.pca,
                    options,
                    lambda share, bar=bar, task=task: bar.update(task, completed=share),
                )
            seconds = time.perf_counter() - start
            kept = f", cosine to whole features {lifted.kept:.3f}" if lifted.kept < 1.0 else ""
            print(
                f"{teacher.name}: {lifted.values.shape[1]} numbers on each of {len(lifted.values)} "
                f"voxels in {seconds:.1f} s ({lifted.met:.0%} met by rays{kept}): {path}"
            )
            if teacher.name in trained:
                print(
                    "Queries use these now, not the features that were trained; to go back, remove "
                    f"{path.name}."
                )

    def _list(self, root: Path) -> None:
        from datetime import datetime

        from dff.data.feature_shelf import list_shelves

        shelves, unreadable = list_shelves(root, self.teacher)
        print(f"{'teacher':16} {'weights':8} {'D':>5} {'K':>5} {'maps':>6} {'MB':>9}  last used")
        for shelf in shelves:
            used = datetime.fromtimestamp(shelf.used).strftime("%Y-%m-%d %H:%M")
            width = "-" if shelf.width == shelf.dim else shelf.width
            print(
                f"{shelf.teacher:16} {shelf.fingerprint[:8]:8} {shelf.dim:5} {width:>5} "
                f"{shelf.maps:6} {shelf.size / 1e6:9.1f}  {used}"
            )
        maps, size = sum(s.maps for s in shelves), sum(s.size for s in shelves)
        print(f"{maps} maps, {size / 1e6:.1f} MB, in {root}")
        if unreadable:
            print(f"{unreadable} more cannot be read: see --verify, or remove them with --prune")

    def _verify(self, root: Path) -> None:
        from rich.console import Console
        from rich.progress import Progress

        from dff.data.feature_shelf import basis_files, damaged_files, map_files

        if self.teacher is not None:
            raise DffError("--verify is about the whole cache: leave out --teacher")
        count = len(map_files(root)) + len(basis_files(root))
        console = Console()
        with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
            task = bar.add_task("verifying", total=count)
            damaged = damaged_files(root, lambda: bar.advance(task))
        for path, reason in damaged:
            print(f"{path}: {reason}")
        if damaged:
            raise DffError(
                f"{len(damaged)} of {count} files in {root} are damaged: run `dff features --data "
                "SCENE --teacher NAME` to build a scene's anew, or --prune to remove them"
            )
        print(f"{count} files in {root}: all whole")

    def _prune(self, root: Path) -> None:
        from dff.data.feature_shelf import prune

        cleared = prune(root, self.teacher, self.older_than, self.dry_run)
        for kind, count in cleared.files.items():
            print(f"{count:6}  {kind}")
        done = "would be freed" if self.dry_run else "freed"
        print(f"{sum(cleared.files.values())} files, {cleared.size / 1e6:.1f} MB {done} in {root}")
