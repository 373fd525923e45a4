"""Several documents as one: whose steps come when, and what their identity depends on."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from dff.edits.storage import load_document
from dff.errors import DffError
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
    assert stack.folder == tmp_path.resolve()


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


def test_documents_in_different_folders_may_not_name_files(tmp_path):
    a = write(tmp_path / "one" / "a.yml", (RED, DELETE))
    b = write(tmp_path / "two" / "b.yml", (GREEN, DELETE))
    assert StackedDocuments.read([a, b]).folder is None
    (tmp_path / "two" / "kept.npz").write_bytes(b"1")
    b = write(tmp_path / "two" / "b.yml", ({"file": "kept.npz"}, DELETE))
    assert StackedDocuments.read([b]).folder == (tmp_path / "two").resolve()
    with pytest.raises(DffError, match=r"b\.yml names the file 'kept\.npz'.*different folders"):
        StackedDocuments.read([a, b])


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
