"""``edited.yml``: the configuration of an edited scene, for nerfstudio's own tools and ours."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import yaml
from nerfstudio.models.base_model import ModelConfig

from dff.edits.compiled import CompiledEdits
from dff.errors import DffError, notice_in_one_line
from dff.files import atomic_write
from dff.model_config import DFFModelConfig
from dff.pipeline import DFFPipeline, DFFPipelineConfig
from dff.scene import Scene, read_config
from dff.stacked_documents import StackedDocuments
from dff.trainer import latest_checkpoint


def edit_files(config: ModelConfig) -> tuple[Path, ...]:
    """The documents that a configuration names."""
    assert isinstance(config, DFFModelConfig)
    if config.edit_file is None:
        return ()
    given = config.edit_file
    return tuple(Path(p) for p in given) if isinstance(given, (tuple, list)) else (Path(given),)


def edit_trust(config: ModelConfig) -> tuple[Path, ...]:
    """The folders with other scenes that a configuration lets its documents insert from."""
    assert isinstance(config, DFFModelConfig)
    return tuple(Path(path) for path in config.edit_trust)


def all_documents(
    config_path: Path, documents: Sequence[Path], trusted: Sequence[Path]
) -> tuple[tuple[Path, ...], tuple[Path, ...]]:
    """What edits a scene: what its configuration names, and then what is given.

    Args:
        config_path: the config.yml that training wrote, or an edited one.
        documents: edit documents.
        trusted: folders with other scenes that they insert from.

    Returns:
        All documents, in the order in which they act, and all trusted folders.

    Raises:
        DffError: the configuration is not there, or not ours.
    """
    model = read_config(config_path).pipeline.model
    return (*edit_files(model), *documents), (*edit_trust(model), *trusted)


def write_edited_config(
    config_path: Path, output: Path, documents: Sequence[Path], trusted: Sequence[Path] = ()
) -> None:
    """Write a configuration with which ns-render, ns-viewer and ns-export show the edited scene.

    All paths in it are absolute, so it may lie anywhere.

    Args:
        config_path: the config.yml that training wrote, or an edited one, whose documents act
            before the ones given.
        output: the file to write.
        documents: edit documents; they are named, not copied.
        trusted: folders with other scenes that they insert from.

    Raises:
        DffError: the configuration is not there, a document is wrong, the file cannot be written.
    """
    config = read_config(config_path)
    assert isinstance(config.pipeline, DFFPipelineConfig)
    model, manager = config.pipeline.model, config.pipeline.datamanager
    original = model.edit_scene or config_path.resolve()
    if output.resolve() == original:
        raise DffError(f"{output} is the scene's own configuration: give the edited one a new name")
    documents = tuple(path.resolve() for path in (*edit_files(model), *documents))
    trusted = (*edit_trust(model), *(path.resolve() for path in trusted))
    StackedDocuments.read(documents, trusted)
    model.edit_file = documents[0] if len(documents) == 1 else documents
    model.edit_scene = original
    model.edit_trust = trusted
    run = config_path.resolve().parent
    config.relative_model_dir = run / config.relative_model_dir
    named = (config.experiment_name, config.method_name, config.timestamp)
    if run.parts[-3:] == named:
        config.output_dir = run.parents[2]
    for holder in (config, manager, manager.dataparser):
        data = getattr(holder, "data", None)
        if data is not None and Path(data) != Path() and Path(data).exists():
            holder.data = Path(data).resolve()
    with atomic_write(output) as stream:
        stream.write(yaml.dump(config).encode("utf-8"))


def compile_edit_file(pipeline: DFFPipeline, step: int) -> CompiledEdits | None:
    """The edits that a pipeline's configuration names, ready to render; None where it names none.

    Args:
        pipeline: with its checkpoint loaded.
        step: of the checkpoint.

    Raises:
        DffError: a document is missing or wrong, or selects what is not there.
    """
    model = pipeline.config.model
    files = edit_files(model)
    if not files:
        return None
    if model.edit_scene is None:
        raise DffError("edit_file needs edit_scene: `dff render --write-config` sets both")
    config = read_config(Path(model.edit_scene))
    folder = Path(model.edit_scene).parent / config.relative_model_dir
    scene = Scene(pipeline, config, folder / f"step-{step:09d}.ckpt")
    return _compiled(scene, files, edit_trust(model))


def compile_for_viewer(pipeline: DFFPipeline, run: Path, document: Path) -> CompiledEdits:
    """One document for a pipeline that nerfstudio's viewer shows.

    Args:
        pipeline: with its last checkpoint loaded.
        run: folder of its ``config.yml``.
        document: the file.

    Raises:
        DffError: the document is missing or wrong, or selects what is not there.
    """
    config = read_config(run / "config.yml")
    checkpoint = latest_checkpoint(run / config.relative_model_dir)
    return _compiled(Scene(pipeline, config, checkpoint), (document,), ())


def _compiled(scene: Scene, documents: Sequence[Path], trusted: Sequence[Path]) -> CompiledEdits:
    return StackedDocuments.read(documents, trusted).compile(scene, trusted, notice_in_one_line)
