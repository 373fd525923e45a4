"""A trained scene that a script can hold: load once, then ask and render."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Literal

import torch
import yaml
from jaxtyping import Float
from nerfstudio.cameras.cameras import Cameras
from nerfstudio.engine.trainer import TrainerConfig
from torch import Tensor

from dff.answering import Query, answer
from dff.answers import Answers
from dff.baking import RAYS as BAKED_RAYS
from dff.baking import bake, fingerprint_of, load_grid, save_grid
from dff.document_sources import compile_in
from dff.edits.compiled import CompiledEdits
from dff.edits.document import EditDocument
from dff.errors import DffError, notice_in_one_line
from dff.fields.feature_field import FeatureField
from dff.files import DAMAGED
from dff.lifted_field import LiftedField
from dff.lifted_scene import attach_lifted
from dff.nerfacto import as_scene_config, is_nerfacto, read_state
from dff.opened_scenes import OpenedScenes
from dff.pipeline import DFFPipeline, DFFPipelineConfig
from dff.query.routing import text_teacher
from dff.query.text import TextQuery
from dff.rendered_rays import render_rays
from dff.seen_view import SeenView
from dff.selection.exact import BakedFeatures
from dff.selection.selection import Selection
from dff.selection.surface_grid import RESOLUTION, SurfaceGrid
from dff.teachers import Teacher, get_teacher
from dff.trainer import latest_checkpoint
from dff.views import Split, View, tell_apart

# What a config.yml that is whole has.
NEEDED = ("pipeline.model", "pipeline.datamanager")


class Scene:
    """A trained scene.

    Example:
        >>> scene = dff.load("outputs/fruit/dff/2026-01-01_120000/config.yml")
        >>> apple = scene.select(TextQuery(("apple",), ("banana", "table")))
        >>> outputs = scene.render(scene.views("eval")[0].camera, selection=apple)
        >>> outputs["rgb"].shape, outputs["relevancy"].shape  # (h, w, 3), (h, w, 1)
    """

    def __init__(self, pipeline: DFFPipeline, config: TrainerConfig, checkpoint: Path) -> None:
        self.pipeline = pipeline
        self.config = config
        self.checkpoint = checkpoint
        self.model = pipeline.dff_model
        self._teachers: dict[str, Teacher] = {}
        self._baked: dict[str, BakedFeatures] = {}
        self.answers = Answers()
        self.others = OpenedScenes(load, lambda: self.model.device)
        attach_lifted(self)

    @property
    def teacher(self) -> Teacher:
        """The teacher that answers text queries.

        Raises:
            DffError: none does, or its weights are not there.
        """
        return self.teacher_named(text_teacher(self.model.teacher_records))

    def teacher_named(self, name: str) -> Teacher:
        """One of the scene's teachers, loaded when first needed.

        Raises:
            DffError: the scene was not distilled from it, its weights are not there, or are others.
        """
        if name not in self._teachers:
            config = self.pipeline.config
            records = {record.name: record for record in self.model.teacher_records}
            if name not in records:
                text_teacher(self.model.teacher_records, name)  # says which there are
            field = self.model.feature_field
            lifted = field.options if isinstance(field, LiftedField) else {}
            options = lifted.get(name, config.teacher)
            teacher = get_teacher(name, str(self.model.device), options)
            expected = records[name].fingerprint
            if expected != teacher.fingerprint:
                raise DffError(
                    f"this scene was distilled from teacher '{name}' with other weights or options "
                    f"({expected[:12]}, here {teacher.fingerprint[:12]}): train it again"
                )
            self._teachers[name] = teacher
        return self._teachers[name]

    def teacher_of(self, query: TextQuery) -> Teacher:
        """The teacher that answers a text query."""
        return self.teacher_named(text_teacher(self.model.teacher_records, query.teacher))

    @cached_property
    def fingerprint(self) -> str:
        """Hash of the checkpoint."""
        return fingerprint_of(self.checkpoint)

    @cached_property
    def surface(self) -> SurfaceGrid:
        """What the training views show, baked once and then kept beside the checkpoint."""
        field = self.features
        path = self.checkpoint.parent.parent / "surface.safetensors"
        key = f"{self.fingerprint} {BAKED_RAYS} {RESOLUTION}"
        kept = load_grid(path, key)
        if kept is not None:
            return kept
        cameras = self.pipeline.datamanager.train_dataset.cameras
        grid = bake(
            cameras, field, lambda rays: render_rays(self.model, rays, hidden=True), BAKED_RAYS
        )
        try:
            save_grid(grid, path, key)
        except (OSError, DffError):
            # Read-only, or no space: it will be found again next time.
            return grid
        # As every later session will: how memory is aligned shows in the last bits of a score.
        return load_grid(path, key) or grid

    @property
    def features(self) -> FeatureField:
        """The feature field, to be asked.

        Raises:
            DffError: there is none.
        """
        return self.model.asked_features

    @property
    def voxel_hidden(self) -> Float[Tensor, "n H"]:
        """Hidden features of the surface's voxels, as wide as those that rendering gives."""
        field = self.features
        return (
            field.on_voxels(self.surface) if isinstance(field, LiftedField) else self.surface.hidden
        )

    def baked(self, teacher: str) -> BakedFeatures:
        """A teacher's features on the voxels of the surface."""
        if teacher not in self._baked:
            weight = self.features.head(teacher).weight
            self._baked[teacher] = BakedFeatures.bake(self.voxel_hidden, weight)
        return self._baked[teacher]

    def load_selection(self, path: Path) -> Selection:
        """Read a saved selection of this scene.

        Raises:
            DffError: it is missing, damaged, or of another checkpoint.
        """
        return Selection.load(path, self.surface, self.fingerprint)

    def surface_at(self, camera: Cameras, x: float, y: float) -> tuple[Float[Tensor, " 3"], float]:
        """First surface behind a pixel.

        Args:
            camera: one camera.
            x, y: column and row in its pixels, (0, 0) being the upper left corner of the picture.

        Returns:
            World position, by median depth, and the accumulation of the ray in [0, 1].
        """
        coordinates = torch.tensor([[y, x]])
        rays = camera.to("cpu").generate_rays(camera_indices=0, coords=coordinates)
        outputs = render_rays(self.model, rays)
        point = rays.origins[0] + outputs["depth"][0] * rays.directions[0]
        return point.cpu(), float(outputs["accumulation"])

    @property
    def training_cameras(self) -> Cameras:
        """All training cameras, at the size of the images on disk."""
        return self.pipeline.datamanager.train_dataparser_outputs.cameras

    def views(self, split: Split = "all", names: Sequence[str] | None = None) -> list[View]:
        """The capture's own cameras.

        Args:
            split: which of them; ignored where ``names`` are given.
            names: stems of image files, in the order wanted.

        Raises:
            DffError: a name that no image has, or a split without images.
        """
        found = self._views
        if names is not None:
            by_name = {view.name: view for view in found}
            unknown = [name for name in names if name not in by_name]
            if unknown:
                known = ", ".join(sorted(by_name)[:8])
                raise DffError(f"no image is called '{unknown[0]}': there are {known}, ...")
            return [by_name[name] for name in names]
        chosen = [view for view in found if split in ("all", view.split)]
        if not chosen:
            raise DffError(f"the capture has no images in split '{split}'")
        return sorted(chosen, key=lambda view: view.name)

    @cached_property
    def _views(self) -> list[View]:
        """All of them; parsing the capture takes long on large ones."""
        return tell_apart([*self._split("train"), *self._split("eval")])

    def _split(self, split: Literal["train", "eval"]) -> list[View]:
        manager = self.pipeline.datamanager
        outputs = manager.dataparser.get_dataparser_outputs("train" if split == "train" else "val")
        return [
            View(path.stem, path, outputs.cameras[index : index + 1], split)
            for index, path in enumerate(outputs.image_filenames)
        ]

    def select(self, query: Query, softness: float = 0.0) -> Selection:
        """What words, clicks or pictures select; see `dff.answering.answer`.

        Raises:
            DffError: whatever is wrong with the query in this scene, in one line.
        """
        return answer(self, query, softness)

    def compile(
        self,
        document: EditDocument,
        folder: Path | None = None,
        trusted: Sequence[Path] = (),
        notice: Callable[[str], None] = notice_in_one_line,
    ) -> CompiledEdits:
        """Make an edit document ready to render; the document stays as it is.

        Args:
            document: what to do.
            folder: the only one whose files the document may name; without, it may name none.
            trusted: folders below which it may name other trained scenes (their configuration can
                run code).
            notice: told of steps that do nothing.

        Raises:
            DffError: a selection cannot be made, or something that the document names is not there
                or may not be read.
        """
        return compile_in(self, document, [folder] * len(document.steps), trusted, notice)

    def render(
        self,
        camera: Cameras,
        edits: CompiledEdits | None = None,
        selection: Selection | None = None,
        hidden: bool = False,
        on_rows: Callable[[float], None] | None = None,
        touched: bool = False,
    ) -> dict[str, Tensor]:
        """Render one camera.

        Args:
            camera: one camera; its height and width are the size of the result.
            edits: what is changed.
            selection: adds ``relevancy`` and ``mask`` (h, w, 1), both in [0, 1].
            hidden: adds ``hidden_features`` (h, w, H).
            on_rows: told the share of the picture that is done.
            touched: adds ``touched`` (h, w, K), share of the light that each step changed.

        Returns:
            ``rgb`` (h, w, 3) in [0, 1], ``accumulation``, ``depth``, ``expected_depth`` (h, w, 1);
            where the edits make the background transparent also ``rgba`` (h, w, 4), straight.
        """
        rays = camera.to(self.model.device).generate_rays(camera_indices=0, keep_shape=True)
        features = hidden or selection is not None
        outputs = render_rays(self.model, rays, edits, features, on_rows, touched)
        if selection is not None:
            seen = SeenView.of(self.features, rays, outputs)
            outputs["relevancy"], outputs["mask"] = seen.asked(selection)
            if not hidden:
                del outputs["hidden_features"]
        return outputs

    def see(self, camera: Cameras) -> SeenView:
        """Render one camera, to look at any number of selections in it.

        Args:
            camera: one camera; its height and width are the size of the result.

        Raises:
            DffError: the scene has no features.
        """
        rays = camera.to(self.model.device).generate_rays(camera_indices=0, keep_shape=True)
        return SeenView.of(self.features, rays, render_rays(self.model, rays, hidden=True))


def load(config_path: Path | str, device: str | torch.device | None = None) -> Scene:
    """Load a trained scene.

    Args:
        config_path: the ``config.yml`` that training wrote.
        device: where to; CUDA where it is there, else the CPU.

    Raises:
        DffError: the file is not there or not a dff configuration, there is no checkpoint, or it
            does not fit.
    """
    config_path = Path(config_path)
    if config_path.is_dir():
        config_path = config_path / "config.yml"
    config = read_config(config_path)
    checkpoint = latest_checkpoint(config_path.parent / config.relative_model_dir)
    if device is None:
        device = "cuda" if torch.cuda.is_available() else "cpu"
    pipeline = config.pipeline.setup(device=device, test_mode="inference")
    assert isinstance(pipeline, DFFPipeline)
    pipeline.eval()
    try:
        state = read_state(checkpoint)
        weights, step = state["pipeline"], state["step"]
    except DAMAGED as error:
        raise DffError(f"cannot read checkpoint {checkpoint}: the file is damaged") from error
    pipeline.load_weights(weights, step)
    return Scene(pipeline, config, checkpoint)


def read_config(path: Path) -> TrainerConfig:
    """Read a ``config.yml`` of ours, or of nerfacto.

    It is nerfstudio's own format, which can name any Python object: load only files you trust.

    Raises:
        DffError: missing, unreadable, or of another method.
    """
    if not path.exists():
        raise DffError(f"no such configuration: {path} (training prints where it wrote config.yml)")
    try:
        config = yaml.load(path.read_text(encoding="utf-8"), Loader=yaml.Loader)
    except (yaml.YAMLError, OSError, ValueError, ImportError, AttributeError) as error:
        raise DffError(f"cannot read {path}: it is not a nerfstudio config.yml") from error
    if isinstance(config, TrainerConfig):
        try:
            operator.attrgetter(*NEEDED)(config)
        except AttributeError as error:
            raise DffError(f"{path} was cut short: copy it again, or train again") from error
        if is_nerfacto(config):
            return as_scene_config(config)
    if not isinstance(config, TrainerConfig) or not isinstance(config.pipeline, DFFPipelineConfig):
        raise DffError(
            f"{path} is not the configuration of a dff or nerfacto scene: train with `ns-train dff`"
        )
    return config
