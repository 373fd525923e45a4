"""Two teachers distilled at once: a head each on one grid, and each query to the right one."""

from __future__ import annotations

import copy

import pytest
import torch

from dff.checkpoint import TeacherRecord
from dff.data.images import load_image
from dff.edits.storage import parse_document
from dff.errors import DffError
from dff.fields.feature_field import FeatureHead
from dff.query.text import TextQuery
from dff.scene import load
from dff.training import train_scene


@pytest.fixture
def scene(both):
    return load(both, device="cpu")


def test_the_checkpoint_knows_both(scene):
    assert scene.model.teacher_records == (
        TeacherRecord("edges", 7, "e0", has_text=False),
        TeacherRecord("colour", 5, "c0", has_text=True),
    )


def test_both_heads_have_learned_their_teacher(scene):
    for name in ("edges", "colour"):
        teacher = scene.teacher_named(name)
        cosines = []
        for view in scene.views("eval") + scene.views("train")[:3]:
            hidden = scene.render(view.camera, hidden=True)["hidden_features"]
            features = scene.model.feature_field.decode(hidden, name).detach()
            wanted = teacher.encode_image(load_image(view.path))
            h, w = wanted.shape[:2]
            step = features.shape[0] // h
            features = features.unflatten(0, (h, step)).unflatten(2, (w, step)).mean((1, 3))
            cosines.append(torch.cosine_similarity(features, wanted, dim=-1).mean())
        assert torch.stack(cosines).mean() > 0.97, name


def test_words_go_to_the_teacher_that_understands_them(scene, truth):
    assert scene.teacher.name == "colour"
    found = scene.select(TextQuery(("red",), ("green", "table", "sky")))
    view = scene.views("train")[0]
    mask = scene.render(view.camera, selection=found)["mask"][..., 0] >= 0.5
    red = torch.from_numpy(truth(view.name) == 2)
    assert (mask & red).sum() / (mask | red).sum() > 0.6


def test_a_teacher_can_be_asked_for_by_name(scene):
    asked = TextQuery(("red",), ("table",), teacher="colour")
    assert scene.teacher_of(asked).name == "colour"
    with pytest.raises(DffError, match="'edges' understands no text"):
        scene.select(TextQuery(("red",), ("table",), teacher="edges"))
    described = {"text": "red", "negative": "table", "teacher": "colour"}
    (step,) = parse_document(
        {"version": 1, "steps": [{"selection": described, "operation": {"type": "delete"}}]}
    ).steps
    assert step.selection.query() == asked
    with pytest.raises(DffError, match="not distilled from teacher 'mini', but from 'edges'"):
        scene.select(TextQuery(("red",), teacher="mini"))


def test_the_same_teachers_in_another_order_still_load(both, colour_teacher):
    text = both.read_text()
    other = both.with_name("other.yml")
    other.write_text(text.replace("edges,colour", "colour,edges"))
    try:
        assert load(other, device="cpu").teacher.name == "colour"
        other.write_text(text.replace("edges,colour", "colour"))
        with pytest.raises(DffError, match=r"--pipeline\.teachers edges,colour"):
            load(other, device="cpu")
    finally:
        other.unlink()


def test_weights_that_could_be_either_teachers_are_refused(shared_capture, small, tmp_path):
    def configure(config) -> None:
        small(config)
        config.pipeline.teachers = "clip,dino"
        options = copy.copy(config.pipeline.teacher)
        object.__setattr__(options, "checkpoint", tmp_path / "w.pt")
        config.pipeline.teacher = options

    with pytest.raises(DffError, match=r"--pipeline\.teacher\.clip\.checkpoint"):
        train_scene(shared_capture, tmp_path / "scene", iterations=1, configure=configure)


@pytest.mark.parametrize("names", ["colour,colour", "colour,", ",", "colour,none"])
def test_a_list_of_teachers_is_checked(names, shared_capture, small, tmp_path, colour_teacher):
    def configure(config) -> None:
        small(config)
        config.pipeline.teachers = names

    with pytest.raises(DffError, match=r"twice|no teacher|no name"):
        train_scene(shared_capture, tmp_path / "scene", iterations=1, configure=configure)


def test_coefficients_give_the_same_inner_products_within_the_subspace():
    head = FeatureHead(6, 11, components=4)
    basis = torch.linalg.qr(torch.randn(11, 4, dtype=torch.float64)).Q.T
    head.basis = basis.float()
    hidden, query = torch.randn(9, 6), torch.randn(11)
    coefficients = head(hidden).double()
    torch.testing.assert_close(
        (hidden @ head.weight.T @ query).double(),
        (coefficients @ basis) @ query.double(),
        rtol=1e-4,
        atol=1e-5,
    )
    inside = (hidden @ head.weight.T).norm(dim=-1).double()
    torch.testing.assert_close(inside, coefficients.norm(dim=-1), rtol=1e-4, atol=1e-5)
    assert head.weight.shape == (11, 6)


def test_going_on_wants_the_basis_it_was_trained_on(
    shared_capture, train_small, tmp_path, colour_teacher, small
):
    """Coefficients on another basis would be wrong targets, in silence."""
    train_small(shared_capture, tmp_path, 4, feature_pca=3)
    on = train_small(shared_capture, tmp_path, 6, feature_pca=3)  # the same cache: goes on
    scene = load(on, device="cpu")
    assert scene.model.teacher_records[0].components == 3
    head = scene.model.feature_field.head("colour")
    assert head.basis.shape == (3, 5)
    torch.testing.assert_close(head.basis @ head.basis.T, torch.eye(3), atol=1e-5, rtol=0)
    for pca in (2, None):
        with pytest.raises(DffError, match="trained on 3 coefficients") as raised:
            train_small(shared_capture, tmp_path, 8, feature_pca=pca)
        assert "\n" not in str(raised.value)
