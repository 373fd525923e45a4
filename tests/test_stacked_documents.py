"""Several documents as one: whose steps come when, and what their identity depends on."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from dff.edits.operations import OPERATIONS, RECOLOR_FUNCTIONS
from dff.edits.selections import SELECTIONS
from dff.edits.storage import load_document
from dff.edits.strict import MAX_FILE_NAME
from dff.errors import DffError
from dff.query.text import TextQuery
from dff.repaint.paint import FieldPaint
from dff.repaint.stored import save_paint
from dff.stacked_documents import StackedDocuments

RED = {"text": ["red"], "negative": ["table", "sky", "green"]}
GREEN = {"text": ["green"], "negative": ["table", "sky", "red"]}
DELETE = {"type": "delete"}
HUE = {"type": "recolor", "function": "hue", "degrees": 120}


def write(path: Path, *steps: tuple[object, dict], names: tuple[str | None, ...] = ()) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    made = [
        {"selection": selection, "operation": operation, **({"name": name} if name else {})}
        for (selection, operation), name in zip(
            steps, (*names, *[None] * len(steps))[: len(steps)], strict=True
        )
    ]
    path.write_text(json.dumps({"version": 1, "steps": made}))  # JSON is YAML
    return path


def test_one_document_is_itself(tmp_path):
    path = write(tmp_path / "a.yml", (RED, DELETE), (GREEN, HUE))
    stack = StackedDocuments.read([path])
    assert stack.document == load_document(path)
    assert stack.folders == (tmp_path.resolve(),)


def test_steps_come_one_after_the_other(tmp_path):
    a = write(tmp_path / "a.yml", (RED, DELETE))
    b = write(tmp_path / "b.yml", (GREEN, HUE), (RED, HUE))
    stack = StackedDocuments.read([a, b])
    assert stack.document.steps == load_document(a).steps + load_document(b).steps
    assert StackedDocuments.read([b, a]).document.steps[0].selection.text == ("green",)


def test_a_step_that_follows_an_earlier_one_still_means_the_same(tmp_path):
    move = {"type": "transform", "translate": [0, 0, 1]}
    both = [(RED, move), (GREEN, move), ({"step": 2}, HUE), ({"step": "it"}, DELETE)]
    a = write(tmp_path / "a.yml", *both, names=("it",))
    b = write(tmp_path / "b.yml", *both, names=("it",))
    steps = StackedDocuments.read([a, b]).document.steps
    assert [s.selection.step for s in steps if hasattr(s.selection, "step")] == [2, 1, 6, 5]


def test_together_they_are_as_one_document(tmp_path, scene):
    a = write(tmp_path / "a.yml", (RED, HUE))
    b = write(tmp_path / "b.yml", (GREEN, DELETE))
    both = write(tmp_path / "both.yml", (RED, HUE), (GREEN, DELETE))
    camera = scene.views("eval")[0].camera
    notices: list[str] = []
    pictures = [
        scene.render(camera, StackedDocuments.read(p).compile(scene, (), notices.append))["rgb"]
        for p in ([a, b], [both], [a])
    ]
    assert torch.equal(pictures[0], pictures[1])
    assert not torch.equal(pictures[0], pictures[2])
    assert not notices


@pytest.fixture
def saved(scene, tmp_path) -> Path:
    """Of two folders the one where ``kept.npz`` is the red thing; in the other it is the green."""
    for folder, words in (("one", RED), ("two", GREEN)):
        (tmp_path / folder).mkdir()
        query = TextQuery(tuple(words["text"]), tuple(words["negative"]))
        scene.select(query).save(tmp_path / folder / "kept.npz", scene.fingerprint)
    return tmp_path / "one"


def test_each_document_names_files_of_its_own_folder(tmp_path, scene, saved):
    paint = FieldPaint(scene.model.field, [-1, -1, -1], [1, 1, 1], None)
    save_paint(paint, saved / "same.safetensors", {"checkpoint": scene.fingerprint})
    kept, repaint = {"file": "kept.npz"}, {"type": "repaint", "file": "same.safetensors"}
    a = write(saved / "a.yml", (kept, HUE), (kept, repaint))
    b = write(tmp_path / "two" / "b.yml", (kept, DELETE))
    stack = StackedDocuments.read([a, b])
    assert stack.folders == (saved.resolve(), (tmp_path / "two").resolve())
    edits = stack.compile(scene, (), print)
    red, green = (
        scene.load_selection(tmp_path / name / "kept.npz").values for name in ("one", "two")
    )
    assert not torch.equal(red, green)
    found = [place.selection.values for place in edits.matters[0].places]
    assert all(map(torch.equal, found, (red, red, green)))
    # What lies in the other folder is not there for it, by whatever path.
    for name in ("same.safetensors", "../one/same.safetensors", str(saved / "same.safetensors")):
        b = write(tmp_path / "two" / "b.yml", (kept, {**repaint, "file": name}))
        with pytest.raises(DffError, match=r"^step 3: the document names .*a\.yml has 1 to 2"):
            StackedDocuments.read([a, b]).compile(scene, (), print)


def test_a_scene_is_inserted_from_where_its_document_lies(tmp_path, scene, other):
    insert = {"type": "insert", "scene": "../other/config.yml"}
    a = write(tmp_path / "a.yml", (RED, HUE))
    b = write(tmp_path / "two" / "b.yml", (GREEN, insert))
    stack = StackedDocuments.read([a, b], [other.parent])
    assert len(stack.compile(scene, [other.parent], print).matters) == 2
    with pytest.raises(DffError, match=r"^step 2: .*--trust"):
        stack.compile(scene, [tmp_path / "two"], print)


def test_only_what_names_files_counts_as_one(tmp_path):
    path = write(tmp_path / "a.yml", (RED, DELETE), names=("red",))
    first = StackedDocuments.read([path]).identity
    for name in (*RED["negative"], "red", "delete"):
        (tmp_path / name).write_bytes(b"1")
    assert StackedDocuments.read([path]).identity == first


def test_every_field_that_names_files_is_known_here():
    """A new one has to be added to what the identity follows."""
    models = {**SELECTIONS, **OPERATIONS, **RECOLOR_FUNCTIONS}
    named = {
        f"{kind}.{name}"
        for kind, model in models.items()
        for name, field in model.model_fields.items()
        if str(MAX_FILE_NAME) in repr(field)
    }
    clicks = {"click.click", "click.click_negative"}  # images of the capture, no files
    selected = {"file.file", "patch.patch", "patch.patch_negative"}
    assert named - clicks == selected | {"repaint.file", "insert.scene", "replace.scene"}


@pytest.mark.parametrize(
    "selection", [{"file": "kept.npz"}, {"patch": ["IMG_01:kept.npz"]}, {"patch": ["kept.npz"]}]
)
def test_identity_follows_the_files_that_are_named(tmp_path, selection):
    (tmp_path / "kept.npz").write_bytes(b"1")
    path = write(tmp_path / "a.yml", (selection, DELETE))
    first = StackedDocuments.read([path]).identity
    assert StackedDocuments.read([path]).identity == first
    (tmp_path / "kept.npz").write_bytes(b"2")
    assert StackedDocuments.read([path]).identity != first


def test_identity_follows_the_checkpoint_of_an_inserted_scene(tmp_path):
    other = tmp_path / "other" / "config.yml"
    checkpoint = other.parent / "nerfstudio_models" / "step-000000001.ckpt"
    checkpoint.parent.mkdir(parents=True)
    other.write_text("a configuration")
    checkpoint.write_bytes(b"1")
    path = write(
        tmp_path / "here" / "a.yml", (RED, {"type": "insert", "scene": "../other/config.yml"})
    )

    def identity(*trusted: Path) -> str:
        return StackedDocuments.read([path], trusted).identity

    # Nothing is read from a folder that is not trusted.
    first, trusted = identity(), identity(tmp_path / "other")
    checkpoint.write_bytes(b"12")
    assert identity() == first
    assert identity(tmp_path / "other") != trusted


def test_identity_follows_the_steps_and_their_order(tmp_path):
    a = write(tmp_path / "a.yml", (RED, DELETE))
    b = write(tmp_path / "b.yml", (GREEN, DELETE))
    same = write(tmp_path / "same.yml", (RED, DELETE))
    found = {StackedDocuments.read(p).identity for p in ([a], [b], [a, b], [b, a])}
    assert len(found) == 4
    assert StackedDocuments.read([same]).identity in found


def test_too_many_steps_in_all_are_one_line(tmp_path):
    many = write(tmp_path / "a.yml", *[(RED, DELETE)] * 600)
    with pytest.raises(DffError, match="1200 steps in all: at most 1000"):
        StackedDocuments.read([many, many])


def test_an_error_says_whose_step_it_is(tmp_path, scene):
    a = write(tmp_path / "a.yml", (RED, DELETE), (GREEN, DELETE))
    b = write(tmp_path / "b.yml", ({"text": ["banana"]}, DELETE))
    empty = write(tmp_path / "empty.yml")
    with pytest.raises(DffError, match=r"banana.*a\.yml has 1 to 2, b\.yml has 3 to 3"):
        StackedDocuments.read([a, empty, b]).compile(scene, (), print)
    with pytest.raises(DffError) as raised:
        StackedDocuments.read([b]).compile(scene, (), print)
    assert "counted" not in str(raised.value)
