"""Whole documents on a trained scene: things moved, copied, inserted, taken out of their scene."""

from __future__ import annotations

import pytest
import torch

from dff.answering import answer
from dff.edits.storage import parse_document
from dff.errors import DffError
from dff.scene import load

RED = {"text": "red", "negative": ["green", "table", "sky"]}
HUE = {"type": "recolor", "function": "hue", "degrees": 120}
GREEN = {"text": "green", "negative": ["red", "table", "sky"]}


def compiled(scene, *steps: tuple[dict, dict], folder=None, **more):
    data = [{"selection": selection, "operation": operation} for selection, operation in steps]
    return scene.compile(parse_document({"version": 1, "steps": data}), folder, **more)


@pytest.fixture
def camera(scene):
    return scene.views(names=["IMG_03"])[0].camera


@pytest.fixture
def labels(truth) -> torch.Tensor:
    return torch.from_numpy(truth("IMG_03"))


def redness(image: torch.Tensor) -> torch.Tensor:
    return (image[..., 0] - image[..., 1]).clamp(min=0)


@pytest.mark.parametrize("kind", ["text", "click", "patch"])
def test_exact_in_a_document_is_exact_in_a_query(scene, camera, truth, tmp_path, kind):
    ys, xs = (truth("IMG_04") == 2).nonzero()
    described = {
        "text": RED,
        "click": {"click": f"IMG_04:{xs.mean() + 0.5},{ys.mean() + 0.5}"},
        "patch": {"patch": f"IMG_04:{xs.min()},{ys.min()},{xs.max() + 1},{ys.max() + 1}"},
    }[kind]
    (step,) = parse_document(
        {"version": 1, "steps": [{"selection": described, "operation": HUE}]}
    ).steps
    made = answer(scene, step.selection.query(), step.selection.softness)
    made.exactly().save(tmp_path / "exact.npz", scene.fingerprint)
    saved = compiled(scene, ({"file": "exact.npz"}, HUE), folder=tmp_path)
    inline = compiled(scene, ({**described, "exact": True}, HUE))
    plain = compiled(scene, (described, HUE))
    pictures = [scene.render(camera, edits)["rgb"] for edits in (saved, inline)]
    assert torch.equal(*pictures)
    # And it is more than the rim that the features are asked about.
    unit = scene.model.feature_field.unit_positions(scene.surface.points)
    asked = [edits.matters[0].places[0](unit)[1] for edits in (plain, inline)]
    assert int((asked[1] & ~asked[0]).sum()) > 5
    assert not (asked[0] & ~asked[1]).any()


def test_there_and_back_again_is_where_it_was(scene, camera):
    away = {"type": "transform", "translate": [0.4, 0.2, 0.3], "rotate": [0, 0, 40]}
    plain = scene.render(camera)["rgb"]
    gone = scene.render(camera, compiled(scene, (RED, away)))["rgb"]
    # The inverse in the world: turned back about its own middle, and shifted back.
    back = {"type": "transform", "translate": [-0.4, -0.2, -0.3], "rotate": [0, 0, -40]}
    same = scene.render(camera, compiled(scene, (RED, away), (RED, back)))["rgb"]
    assert float((gone - plain).abs().mean()) > 3 * float((same - plain).abs().mean())
    assert float((same - plain).square().mean()) < 10**-3


def test_what_is_moved_leaves_its_place_and_is_seen_elsewhere(scene, camera, labels):
    lifted = compiled(scene, (RED, {"type": "transform", "translate": [0.0, 0.0, 0.35]}))
    plain, edited = scene.render(camera)["rgb"], scene.render(camera, lifted, touched=True)
    assert float(redness(edited["rgb"])[labels == 2].mean()) < 0.5 * float(
        redness(plain)[labels == 2].mean()
    )
    marked = edited["touched"][..., 0] > 0.5
    assert int(marked.sum()) > 3
    assert float(redness(edited["rgb"])[marked].mean()) > 0.3
    assert float((edited["rgb"] - plain)[labels == 3].abs().mean()) < 0.03


def test_a_copy_is_red_too_and_can_be_painted_alone(scene, camera, labels):
    copy = {"type": "duplicate", "translate": [0.0, 0.0, 0.35]}
    blue = {"type": "recolor", "function": "set", "color": "#0000ff", "gain": 1.5}
    made = compiled(scene, (RED, copy), ({"step": 1}, blue))
    plain, edited = scene.render(camera)["rgb"], scene.render(camera, made, touched=True)
    marked = edited["touched"][..., 1] > 0.6
    assert int(marked.sum()) > 3
    assert float((edited["rgb"][..., 2] - edited["rgb"][..., 0])[marked].mean()) > 0.2
    original = (labels == 2) & ~(edited["touched"][..., 0] > 0.05)
    assert float((redness(edited["rgb"]) - redness(plain))[original].abs().mean()) < 0.03


def test_a_background_is_a_colour_or_nothing(scene, camera, labels):
    paper = scene.render(camera, compiled(scene, (RED, {"type": "background", "color": "#00ff00"})))
    assert "rgba" not in paper
    away = labels == 3
    assert torch.allclose(paper["rgb"][away][:, 1], torch.ones(int(away.sum())), atol=0.15)
    clear = scene.render(camera, compiled(scene, (RED, {"type": "background"})))
    assert clear["rgba"].shape == (*labels.shape, 4)
    alpha = clear["rgba"][..., 3]
    assert float(alpha[labels == 2].mean()) > 0.7
    assert float(alpha[away].mean()) < 0.15
    # Straight colours: put on black they are the picture over black.
    torch.testing.assert_close(
        clear["rgba"][..., :3] * alpha[..., None], clear["rgb"], atol=1e-5, rtol=0
    )


def test_what_is_taken_out_of_its_scene_has_black_behind_it(scene, camera, labels):
    alone = scene.render(camera, compiled(scene, (RED, {"type": "extract"})))["rgb"]
    assert float(alone[labels == 3].mean()) < 0.05


def test_a_thing_replaced_by_another_has_its_colours(scene, camera, labels):
    swap = compiled(scene, (RED, {"type": "replace", "by": GREEN}))
    edited = scene.render(camera, swap)["rgb"]
    there = labels == 2
    assert float((edited[..., 1] - edited[..., 0])[there].mean()) > 0.2


def test_a_thing_of_another_scene_stands_in_this_one(scene, other, camera, labels, tmp_path):
    insert = {"type": "insert", "scene": "other/config.yml", "translate": [0.0, 0.0, 0.35]}
    made = compiled(scene, (GREEN, insert), folder=tmp_path, trusted=[tmp_path])
    plain, edited = scene.render(camera), scene.render(camera, made, touched=True)
    marked = edited["touched"][..., 0] > 0.5
    assert int(marked.sum()) > 3
    # Its weights are this scene's: inserting there and duplicating here are one and the same.
    copy = {"type": "duplicate", "translate": [0.0, 0.0, 0.35]}
    twin = scene.render(camera, compiled(scene, (GREEN, copy)))
    torch.testing.assert_close(edited["rgb"], twin["rgb"], atol=1e-4, rtol=0)
    assert float((edited["rgb"] - plain["rgb"])[marked].abs().mean()) > 0.05


def test_a_scene_that_is_inserted_is_loaded_once(scene, other, tmp_path, monkeypatch):
    load, loaded = scene.others._load, []
    monkeypatch.setattr(scene.others, "_load", lambda *given: loaded.append(given) or load(*given))
    insert = {"type": "insert", "scene": "other/config.yml"}
    for scale in (1.0, 0.5):
        step = (GREEN, {**insert, "scale": scale})
        compiled(scene, step, folder=tmp_path, trusted=[tmp_path])
    assert len(loaded) == 1


def test_behind_what_is_there_an_inserted_thing_is_hidden(scene, other, camera, tmp_path):
    # Far below the table.
    insert = {"type": "insert", "scene": "other/config.yml", "at": [0.0, 0.0, -1.5]}
    made = compiled(scene, (GREEN, insert), folder=tmp_path, trusted=[tmp_path])
    plain, edited = scene.render(camera)["rgb"], scene.render(camera, made)["rgb"]
    assert float((edited - plain).abs().mean()) < 0.01


def test_scenes_come_only_from_trusted_folders(scene, other, tmp_path):
    insert = {"type": "insert", "scene": "other/config.yml"}
    with pytest.raises(DffError, match="--trust"):
        compiled(scene, (GREEN, insert), folder=tmp_path)
    with pytest.raises(DffError, match="--trust"):
        compiled(scene, (GREEN, insert), folder=tmp_path, trusted=[tmp_path / "elsewhere"])


def test_a_scene_inserted_into_itself_is_refused(scene, trained):
    insert = {"type": "insert", "scene": str(trained)}
    with pytest.raises(DffError, match=r"into itself .* use duplicate"):
        compiled(scene, (GREEN, insert), folder=trained.parent, trusted=[trained.parent])


def test_the_same_document_gives_the_same_pixels(scene, trained, camera):
    steps = (
        (RED, {"type": "duplicate", "translate": [0.0, 0.3, 0.2], "rotate": [0, 0, 30]}),
        (GREEN, {"type": "recolor", "function": "hue", "degrees": 90}),
        (RED, {"type": "delete", "fill": True}),
    )
    first = scene.render(camera, compiled(scene, *steps))
    again = load(trained, device="cpu")
    second = again.render(camera, compiled(again, *steps))
    for name, value in first.items():
        assert torch.equal(value, second[name]), name
